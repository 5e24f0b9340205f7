# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The video of the demonstration holds what it was given."""

import re
import resource

import cv2
import numpy as np
import pytest

from av_td3_ros.demo.video import FRAMES_PER_SECOND, VideoWriter
from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.visualization.overlay import Scene, View
from av_td3_ros.visualization.video import VideoError

VIEW = View(400.0, 400.0, 400.0, 300.0, 2.0, 0.0, 2.0)


def scene():
    return Scene(Pose(0.0, 0.0, 0.0, 0.0), np.empty((0, 3)), Control(), 0.0, 0.0, {})


def test_the_video_can_be_read_again(tmp_path):
    path = tmp_path / 'drive.mp4'
    writer = VideoWriter(path, (160, 120))
    for level in range(0, 200, 10):
        writer.add(np.full((120, 160, 4), level, np.uint8), VIEW, scene())
    writer.close()
    assert writer.written == 20 and writer.dropped == 0
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == FRAMES_PER_SECOND
    levels = []
    while (read := video.read())[0]:
        levels.append(read[1][30:80].mean())
    assert len(levels) == 20
    assert levels == pytest.approx(list(range(0, 200, 10)), abs=8)


def test_a_video_that_is_given_up_can_be_read(tmp_path):
    path = tmp_path / 'drive.mp4'
    writer = VideoWriter(path, (160, 120))
    for _ in range(30):
        writer.add(np.full((120, 160, 4), 100, np.uint8), VIEW, scene())
    writer.abort(timeout=5.0)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == writer.written <= 30


def test_a_video_that_no_room_is_left_for_is_one_sentence(tmp_path):
    path, rng = tmp_path / 'drive.mp4', np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        writer = VideoWriter(path, (160, 120))
        for _ in range(30):
            writer.add(rng.integers(0, 256, (120, 160, 4), dtype=np.uint8), VIEW, scene())
        with pytest.raises(VideoError, match=rf'^{re.escape(str(path))} cannot be shown: \d+ of '
                                             'its 30 frames were written'):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
