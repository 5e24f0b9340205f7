# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A video that is not whole is told."""

import re
import resource

import cv2
import numpy as np
import pytest

from av_td3_ros.visualization.video import Video, VideoError


@pytest.fixture
def no_room():
    """Let no file grow beyond 20 kB meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(video):
    rng = np.random.default_rng(0)
    for _ in range(30):
        video.write(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))


def test_every_frame_is_in_the_file(tmp_path):
    video = Video(tmp_path / 'a.mp4', 10.0, (160, 120))
    write(video)
    video.close()
    video.close()
    shown = cv2.VideoCapture(str(tmp_path / 'a.mp4'))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == video.frames == 30
    assert shown.get(cv2.CAP_PROP_FPS) == 10.0


def test_a_video_without_a_frame_is_no_error(tmp_path):
    Video(tmp_path / 'a.mp4', 10.0, (160, 120)).close()


def test_what_there_is_no_room_for_is_told(tmp_path, no_room):
    path = tmp_path / 'a.mp4'
    video = Video(path, 10.0, (160, 120))
    write(video)
    with pytest.raises(VideoError, match=rf'{re.escape(str(path))} cannot be shown: \d+ of its 30 '
                                         'frames were written; make room on the disk'):
        video.close()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(VideoError, match='nowhere.*cannot be written: its folder is not there'):
        Video(tmp_path / 'nowhere' / 'a.mp4', 10.0, (160, 120))
