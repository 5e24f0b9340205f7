# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures in messages, whoever decoded them: ``sensor_msgs/Image`` and ``CompressedImage``."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from av_td3_ros.driving.wire import MessageError

CHANNELS = {'bgra8': 4, 'bgr8': 3, 'rgba8': 4, 'rgb8': 3, 'mono8': 1}
"""The encodings that are accepted, with their channels. ``8UC4`` and its like do not say which
channel is which colour, so they are not among them."""

SIDES = (8, 8192)
"""The least and greatest width and height of a picture, pixels."""


def check_image(message: Any) -> None:
    """
    Raise :class:`MessageError` unless a ``sensor_msgs/Image`` is what it says it is.

    Refused are an encoding that is not in :data:`CHANNELS`, an empty or absurd size, a ``step``
    too small for its row, and data that is not ``step`` x height bytes.
    """
    height, width, step = message.height, message.width, message.step
    channels = CHANNELS.get(message.encoding)
    if channels is None:
        raise MessageError(f'the image has encoding {message.encoding[:40]!r}, not one of '
                           + ', '.join(CHANNELS))
    low, high = SIDES
    if not (low <= width <= high and low <= height <= high):
        raise MessageError(f'the image is {width}x{height} pixels, but sides must be between '
                           f'{low} and {high}')
    row = width * channels
    if step < row:
        raise MessageError(f'the image has step {step}, but a row of {width} pixels in '
                           f'{message.encoding} takes {row} bytes')
    if len(message.data) != step * height:
        raise MessageError(f'the image has {len(message.data)} bytes of data, but step {step} '
                           f'and height {height} make {step * height}')


def view_image(message: Any) -> np.ndarray:
    """
    Return a view of a picture that :func:`check_image` passed.

    It is (H, W, C) or (H, W) uint8 in ``message.encoding`` and shares the message's memory. Rows
    may be padded (``step`` above width x channels).
    """
    height, width, step = message.height, message.width, message.step
    channels = CHANNELS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, :width * channels]
    return rows if channels == 1 else rows.reshape(height, width, channels)


def read_compressed(message: Any) -> np.ndarray:
    """
    Return a compressed picture decoded, (H, W, 3) uint8 ``bgr8``.

    Raises :class:`MessageError` where the data is not a picture or of an absurd size.
    """
    data = np.frombuffer(message.data, np.uint8)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:
        picture = None
    if picture is None:
        raise MessageError(f'the compressed image ({message.format[:40]!r}, {len(data)} bytes) '
                           'cannot be decoded')
    height, width = picture.shape[:2]
    low, high = SIDES
    if not (low <= width <= high and low <= height <= high):
        raise MessageError(f'the image is {width}x{height} pixels, but sides must be between '
                           f'{low} and {high}')
    return picture


def read_picture(message: Any) -> tuple[np.ndarray, str]:
    """
    Return the picture in either message, (H, W, C) or (H, W) uint8, and its encoding.

    An ``Image``'s is a view of the message's memory, a ``CompressedImage``'s is decoded. Raises
    :class:`MessageError` as :func:`check_image` and :func:`read_compressed` do.
    """
    if not hasattr(message, 'encoding'):
        return read_compressed(message), 'bgr8'
    check_image(message)
    return view_image(message), message.encoding
