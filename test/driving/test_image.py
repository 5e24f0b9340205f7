# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a picture."""

import numpy as np
import pytest
from shapes import picture

from av_td3_ros.driving.image import ENCODINGS, FrameStack, ImageError, SIZE, to_frame

# Red, green and blue by ITU-R BT.601.
LUMA = {'r': 76, 'g': 150, 'b': 29}


@pytest.mark.parametrize('encoding, order', [
    ('bgra8', 'bgra'), ('8UC4', 'bgra'), ('bgr8', 'bgr'), ('8UC3', 'bgr'), ('rgba8', 'rgba'),
    ('rgb8', 'rgb')])
@pytest.mark.parametrize('colour', 'rgb')
def test_colours_are_told_apart_in_every_encoding(encoding, order, colour):
    image = np.zeros((120, 160, len(order)), dtype=np.uint8)
    image[:, :, order.index(colour)] = 255
    frame = to_frame(image, encoding)
    assert frame.shape == (SIZE, SIZE) and frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - LUMA[colour]).max() <= 1


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
@pytest.mark.parametrize('shape', [(120, 160), (120, 160, 1)])
def test_grey_pictures_with_and_without_a_channel(encoding, shape):
    assert (to_frame(np.full(shape, 77, np.uint8), encoding) == 77).all()


def test_the_reduction_averages_and_keeps_top_and_left():
    image = np.zeros((2 * SIZE, 2 * SIZE), dtype=np.uint8)
    image[0, 0] = 200               # a quarter of the first pixel
    image[:2, -2:] = 100            # all of the last one in the top row
    frame = to_frame(image, 'mono8')
    assert frame[0, 0] == 50 and frame[0, -1] == 100 and frame.sum() == 150


def test_a_picture_of_the_networks_size_is_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    assert np.array_equal(to_frame(image, 'mono8'), image)


@pytest.mark.parametrize('image, encoding, said', [
    (picture(), 'bayer_rggb8', 'bayer_rggb8'), (picture()[:, :, :3], 'bgra8', 'bgra8'),
    (picture(), 'bgr8', r'\(84, 96, 4\)'), (picture().astype(np.float32), 'bgra8', 'float32'),
    (np.zeros((0, 10, 4), np.uint8), 'bgra8', r'\(0, 10, 4\)'),
    (np.zeros(16, np.uint8), 'mono8', r'\(16,\)'),
    (np.zeros((2, 2, 4, 2), np.uint8), 'bgra8', r'\(2, 2, 4, 2\)')])
def test_what_cannot_be_used_is_refused(image, encoding, said):
    with pytest.raises(ImageError, match=said):
        to_frame(image, encoding)


def test_every_encoding_has_a_meaning():
    for encoding in ENCODINGS:
        channels = 4 if encoding.endswith(('a8', 'C4')) else 1 if '1' in encoding \
            or 'mono' in encoding else 3
        to_frame(np.zeros((90, 90, channels), np.uint8), encoding)


def test_the_stack_is_filled_at_the_start_and_oldest_first():
    stack = FrameStack()
    frames = [np.full((SIZE, SIZE), value, np.uint8) for value in range(6)]
    assert stack.push(frames[0])[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert stack.push(frames[1])[:, 0, 0].tolist() == [0, 0, 0, 1]
    kept = stack.push(frames[2])
    for frame in frames[3:]:
        newest = stack.push(frame)
    assert newest[:, 0, 0].tolist() == [2, 3, 4, 5]
    # What was returned does not change with later frames.
    assert kept[:, 0, 0].tolist() == [0, 0, 1, 2]
    stack.clear()
    assert stack.push(frames[1])[:, 0, 0].tolist() == [1, 1, 1, 1]
