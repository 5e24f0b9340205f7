# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The annotated camera: colours, stack and attention where they belong, in every encoding."""

import numpy as np
import pytest

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.visualization.annotated import annotate, FAINT
from av_td3_ros.visualization.overlay import Scene

SCENE = Scene(Pose(0.0, 0.0, 0.0, 0.0), np.empty((0, 3)), Control(), 0.0, 0.0, {})
STACK = np.stack([np.full((84, 84), level, np.uint8) for level in (20, 80, 140, 200)])
# Free of text: what is drawn there is the picture, or lies on it.
FREE = np.s_[230:490, 250:550]


def picture(encoding='bgra8', height=600, width=800):
    channels = {'mono8': 1, 'bgr8': 3, 'rgb8': 3}.get(encoding, 4)
    colour = {'b': [200, 100, 50, 255], 'r': [50, 100, 200, 255], 'm': [90]}[encoding[0]]
    drawn = np.empty((height, width, channels), np.uint8)
    drawn[:] = colour[:channels]
    return drawn[..., 0] if channels == 1 else drawn


@pytest.mark.parametrize('encoding', ['bgra8', 'bgr8', 'rgba8', 'rgb8', 'mono8'])
def test_colours_are_those_of_the_picture(encoding):
    frame = annotate(picture(encoding), encoding, None, SCENE, None, None)
    assert frame.shape == (600, 950, 3) and frame.dtype == np.uint8
    assert (frame[FREE] == ([90] * 3 if encoding == 'mono8' else [200, 100, 50])).all()
    assert not frame[:, 800:].any()


@pytest.mark.parametrize('height, width', [(600, 800), (84, 96), (61, 100), (1080, 1920)])
def test_the_stack_is_beside_it_the_oldest_on_top(height, width):
    frame = annotate(picture(height=height, width=width), 'bgra8', None, SCENE, STACK, None)
    column = frame[:, width:]
    assert column.shape == (height, height // 4, 3)
    # The corner at the lower right of each holds no label.
    ends = np.linspace(0, height, 5).astype(int)[1:]
    assert [int(column[end - 2, -2, 0]) for end in ends] == [20, 80, 140, 200]


def test_attention_is_drawn_where_it_is_and_the_picture_is_left_alone():
    looks = np.zeros((84, 84), np.float32)
    looks[40:60, 30:36] = 0.4
    given = picture()
    frame = annotate(given, 'bgra8', None, SCENE, None, looks)
    changed = (frame[FREE] != given[FREE][..., :3]).any(axis=2)
    rows, columns = np.nonzero(changed)
    # 800 / 84 pixels of the camera for one of a frame, and one frame's pixel to fade out.
    assert 286 - 10 <= 250 + columns.min() and 250 + columns.max() <= 343 + 10
    assert 286 - 10 <= 230 + rows.min() and 230 + rows.max() <= 429 + 10
    assert changed.sum() > 80 * 120
    assert (given == picture()).all()


def test_little_attention_fades_instead_of_being_magnified():
    looks = np.zeros((84, 84), np.float32)
    looks[40:60, 30:60] = 1.0

    def change(most):
        frame = annotate(picture(), 'bgra8', None, SCENE, None, looks * np.float32(most))
        return np.abs(frame[FREE].astype(int) - picture()[FREE][..., :3]).max()
    assert change(0.02 * FAINT) <= 2 and change(FAINT) > 60
    assert change(FAINT) == change(10.0 * FAINT)
