# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The film of an evaluation."""

import json
import re
import resource

import cv2
import pytest

from av_td3_ros.training.evaluate import main

ROUTE = ['expert', '--routes', '1', '--lengths', '60', '70', '--size', '160', '120', '--json']


def test_the_film_has_a_frame_a_decision_and_a_second_of_the_end(tmp_path, capsys):
    path = tmp_path / 'film.mp4'
    assert main([*ROUTE, '--video', str(path)]) == 0
    driven = json.loads(capsys.readouterr().out)['routes'][0]
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == 10.0
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1])
    assert len(frames) == pytest.approx(10 * driven['duration'] + 10, abs=1)
    assert frames[0].shape == (120, 190, 3)
    # The policy's stack stands beside a picture that is not black.
    assert frames[0][:, :160].std() > 20.0 and frames[0][:, 160:].std() > 20.0


def test_a_film_that_cannot_be_written_is_one_sentence(tmp_path):
    said = main([*ROUTE, '--video', str(tmp_path / 'nowhere' / 'film.mp4')])
    assert 'nowhere' in said and 'cannot be written' in said


def test_a_film_that_no_room_is_left_for_is_one_sentence_after_the_figures(tmp_path, capsys):
    path = tmp_path / 'film.mp4'
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, hard))
    try:
        said = main([*ROUTE, '--video', str(path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.fullmatch(
        rf'{re.escape(str(path))} cannot be shown: 0 of its [1-9]\d+ frames were written; make '
        'room on the disk, or name a file on another one', said)
    assert json.loads(capsys.readouterr().out)['routes'][0]['duration'] > 0.0
