# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures: colours, padding, what is refused, and that nothing is copied needlessly."""

import time

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from av_td3_ros.ros.images import (CHANNELS, ImageBuffer, make_camera_info, make_image,
                                   read_compressed, read_image)
from av_td3_ros.ros.messages import MessageError


def picture(encoding, height=12, width=16):
    channels = CHANNELS[encoding]
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.uint8)


@pytest.mark.parametrize('encoding', sorted(CHANNELS))
def test_there_and_back_over_the_wire(encoding):
    image = picture(encoding)
    sent = make_image(image, encoding, 1_500_000_000, 'ego_vehicle/rgb_front')
    message = deserialize_message(serialize_message(sent), Image)
    assert (message.height, message.width, message.step) == (12, 16, 16 * CHANNELS[encoding])
    assert message.header.stamp.nanosec == 500_000_000
    assert np.array_equal(read_image(message), image)


@pytest.mark.parametrize('encoding', ['bgra8', 'rgb8', 'mono8'])
@pytest.mark.parametrize('bigendian', [0, 1])
def test_padded_rows_and_byte_order_do_not_matter(encoding, bigendian):
    image = picture(encoding)
    padded = np.pad(image.reshape(12, -1), ((0, 0), (0, 5)), constant_values=99)
    message = Image(height=12, width=16, encoding=encoding, step=padded.shape[1],
                    is_bigendian=bigendian, data=padded.tobytes())
    assert np.array_equal(read_image(message), image)


def test_reading_copies_nothing():
    buffer = ImageBuffer(64, 48)
    view = read_image(buffer.message)
    buffer.pixels[5, 6] = (1, 2, 3, 4)
    assert view[5, 6].tolist() == [1, 2, 3, 4]


def good():
    return make_image(picture('bgra8'), 'bgra8', 0, 'camera')


@pytest.mark.parametrize('spoil, words', [
    ({'encoding': '16UC1'}, "encoding '16UC1', not one of"),
    ({'encoding': '8UC4'}, "encoding '8UC4', not one of"),
    ({'encoding': ''}, "encoding '', not one of"),
    ({'encoding': 'x' * 10_000}, 'not one of'),
    ({'width': 0}, 'is 0x12 pixels'),
    ({'height': 0}, 'is 16x0 pixels'),
    ({'width': 2**32 - 1}, 'is 4294967295x12 pixels'),
    ({'height': 9000}, 'is 16x9000 pixels'),
    ({'step': 63}, 'step 63, but a row of 16 pixels in bgra8 takes 64 bytes'),
    ({'step': 0}, 'step 0'),
    ({'step': 65}, '768 bytes of data, but step 65 and height 12 make 780'),
    ({'height': 11}, '768 bytes of data, but step 64 and height 11 make 704'),
    ({'data': b''}, '0 bytes of data'),
    ({'encoding': 'rgb8'}, None),     # 48 bytes a row in a step of 64: padding, legal
])
def test_bad_images_are_refused_in_words(spoil, words):
    message = good()
    for name, value in spoil.items():
        setattr(message, name, value)
    if words is None:
        assert read_image(message).shape == (12, 16, 3)
        return
    with pytest.raises(MessageError, match=words) as error:
        read_image(message)
    assert len(str(error.value)) < 200 and '\n' not in str(error.value)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1) | st.integers(0, 40), st.integers(0, 2**32 - 1)
       | st.integers(0, 40), st.integers(0, 2**32 - 1) | st.integers(0, 200),
       st.sampled_from([*CHANNELS, '8UC3', 'bayer_rggb8', 'mono16', '']), st.integers(0, 255),
       st.binary(max_size=4000))
def test_whatever_comes_is_a_picture_or_a_sentence(height, width, step, encoding, endian, data):
    message = Image(height=height, width=width, step=step, encoding=encoding,
                    is_bigendian=endian, data=data)
    try:
        image = read_image(message)
    except MessageError:
        return
    assert image.shape[:2] == (height, width) and image.dtype == np.uint8
    rows = np.frombuffer(data, np.uint8).reshape(height, step)
    assert np.array_equal(image.reshape(height, -1), rows[:, :width * CHANNELS[encoding]])


def test_compressed_pictures():
    image = np.full((40, 30, 3), (250, 10, 20), np.uint8)     # blue, in bgr
    for kind in ('.png', '.jpg'):
        data = cv2.imencode(kind, image)[1].tobytes()
        read = read_compressed(CompressedImage(format=kind[1:], data=data))
        assert read.shape == (40, 30, 3) and np.abs(read.astype(int) - image).max() < 8


@pytest.mark.parametrize('data', [b'', b'nonsense', b'\x89PNG\r\n\x1a\n' + bytes(50)])
def test_what_is_no_compressed_picture_is_refused(data):
    with pytest.raises(MessageError, match='cannot be decoded'):
        read_compressed(CompressedImage(format='png', data=data))


def test_a_tiny_compressed_picture_is_refused():
    data = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    with pytest.raises(MessageError, match='2x2 pixels'):
        read_compressed(CompressedImage(format='png', data=data))


def test_camera_info_is_that_of_the_bridge():
    info = make_camera_info(800, 600, 400.0, 50_000_000, 'ego_vehicle/rgb_front')
    assert info.k.tolist() == [400, 0, 400, 0, 400, 300, 0, 0, 1]
    assert info.p.tolist() == [400, 0, 400, 0, 0, 400, 300, 0, 0, 0, 1, 0]
    assert info.r.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(info.d) == [0.0] * 5 and info.distortion_model == 'plumb_bob'


def test_making_an_image_is_fast():
    image = np.zeros((600, 800, 4), np.uint8)
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        make_image(image, 'bgra8', 0, 'camera')
        times.append(time.perf_counter() - begin)
    # rclpy's setter takes some 50 ms for bytes where it checks them.
    assert min(times) < 2e-3
