# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a camera picture to what the network sees: grayscale 84x84, the last four stacked."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 84
STACK = 4

# One cv2 conversion (None: none is needed) for each encoding that sensor_msgs names and a camera
# of ours may have.
_TO_GRAY = {
    'mono8': None, '8UC1': None,
    'bgra8': cv2.COLOR_BGRA2GRAY, '8UC4': cv2.COLOR_BGRA2GRAY,
    'bgr8': cv2.COLOR_BGR2GRAY, '8UC3': cv2.COLOR_BGR2GRAY,
    'rgba8': cv2.COLOR_RGBA2GRAY, 'rgb8': cv2.COLOR_RGB2GRAY,
}
ENCODINGS = tuple(_TO_GRAY)
_CHANNELS = {None: 1, cv2.COLOR_BGRA2GRAY: 4, cv2.COLOR_RGBA2GRAY: 4, cv2.COLOR_BGR2GRAY: 3,
             cv2.COLOR_RGB2GRAY: 3}


class ImageError(ValueError):
    """The picture cannot be used; the message says why."""


def to_frame(image: np.ndarray, encoding: str = 'bgra8') -> np.ndarray:
    """
    Return a picture as one grayscale frame, (84, 84) uint8, row 0 at the top.

    ``image`` is (H, W) or (H, W, C) uint8 in one of :data:`ENCODINGS` (sensor_msgs' names).
    Luma weights are those of ITU-R BT.601; the reduction averages over areas, so that a thin
    marking fades rather than flickers. Raises :class:`ImageError` for another encoding, type or
    shape.
    """
    if encoding not in _TO_GRAY:
        raise ImageError(f'encoding {encoding!r} is not known; use one of '
                         + ', '.join(ENCODINGS))
    code = _TO_GRAY[encoding]
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if image.dtype != np.uint8 or channels != _CHANNELS[code] or 0 in image.shape:
        raise ImageError(f'an image in {encoding} is (H, W, {_CHANNELS[code]}) of uint8, '
                         f'not {image.shape} of {image.dtype}')
    gray = image.reshape(image.shape[:2]) if code is None else cv2.cvtColor(image, code)
    return cv2.resize(gray, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


class FrameStack:
    """The last four frames, oldest first; after :meth:`clear` the next frame fills the stack."""

    def __init__(self) -> None:
        self._frames = np.zeros((STACK, SIZE, SIZE), dtype=np.uint8)
        self._empty = True

    def clear(self) -> None:
        """Forget every frame, as at an episode's start."""
        self._empty = True

    def push(self, frame: np.ndarray) -> np.ndarray:
        """Add a frame (84, 84) uint8 and return a copy of the stack, (4, 84, 84) uint8."""
        if self._empty:
            self._frames[:] = frame
            self._empty = False
        else:
            self._frames[:-1] = self._frames[1:]
            self._frames[-1] = frame
        return self._frames.copy()
