# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures: ``sensor_msgs/Image`` and ``CompressedImage`` to arrays, and arrays to ``Image``.

Apart from :mod:`av_td3_ros.ros.messages` so that a process without pictures loads no OpenCV.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from av_td3_ros.driving.pictures import (CHANNELS, check_image, read_compressed, SIDES,
                                         view_image)
from av_td3_ros.ros.messages import make_stamp

__all__ = ['CHANNELS', 'ImageBuffer', 'make_camera_info', 'make_image', 'read_compressed',
           'read_image', 'SIDES']


@functools.lru_cache(maxsize=1)
def _bridge() -> Any:
    from cv_bridge import CvBridge
    return CvBridge()


def read_image(message: Image) -> np.ndarray:
    """
    Return a view of a picture, (H, W, C) or (H, W) uint8 in ``message.encoding``.

    The view shares the message's memory. Raises :class:`MessageError` as
    :func:`~av_td3_ros.driving.pictures.check_image` does.
    """
    check_image(message)
    row = message.width * CHANNELS[message.encoding]
    if message.step == row and not message.is_bigendian:
        return _bridge().imgmsg_to_cv2(message)
    # cv_bridge takes rows to be packed, and swaps bytes where there are none to swap.
    return view_image(message)


class ImageBuffer:
    """
    An ``Image`` message and the array that it publishes, sharing one memory.

    Drawing into ``pixels``, (H, W, C) or (H, W) uint8, draws into ``message``: no copy is made
    before the middleware's own. The message may be drawn into again once ``publish`` is back.
    """

    def __init__(self, width: int, height: int, encoding: str = 'bgra8', frame_id: str = '') \
            -> None:
        channels = CHANNELS[encoding]
        shape = (height, width) if channels == 1 else (height, width, channels)
        self.message = _message(np.zeros(shape, np.uint8), encoding)
        self.message.header.frame_id = frame_id
        self.pixels = np.frombuffer(self.message.data, np.uint8).reshape(shape)


def make_image(picture: np.ndarray, encoding: str, stamp: int, frame_id: str) -> Image:
    """Return a copy of a picture, (H, W, C) or (H, W) uint8, as a message; stamp in ns."""
    message = _message(picture, encoding)
    message.header.stamp = make_stamp(stamp)
    message.header.frame_id = frame_id
    return message


def _message(picture: np.ndarray, encoding: str) -> Image:
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding=encoding,
                    step=width * CHANNELS[encoding])
    # Filled in place: the setter looks at every byte, or copies, depending on the distribution.
    message.data.frombytes(np.ascontiguousarray(picture).data)
    return message


def make_camera_info(width: int, height: int, focal: float, stamp: int, frame_id: str) \
        -> CameraInfo:
    """
    Return what the bridge says about a camera: a pinhole with square pixels, no distortion.

    ``focal`` is the focal length in pixels; the principal point is the picture's middle.
    """
    cx, cy = width / 2.0, height / 2.0
    message = CameraInfo(
        width=width, height=height, distortion_model='plumb_bob', d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0])
    message.header.stamp = make_stamp(stamp)
    message.header.frame_id = frame_id
    return message
