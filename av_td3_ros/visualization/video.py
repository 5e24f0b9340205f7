# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files: MPEG-4 in MP4, of which it is told when they are not whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


class VideoError(RuntimeError):
    """The video cannot be written; the message says why."""


class Video:
    """
    A video of ``rate`` frames a second and ``size`` (width, height), both even.

    :attr:`frames` counts what was written. Raises :class:`VideoError` where the file cannot be
    opened, and by :meth:`close` where it has not all its frames: OpenCV does not say that a write
    failed.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        self.path, self.size, self.frames = path, size, 0
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size)
        if not self._writer.isOpened():
            raise VideoError(f'{path} cannot be written: its folder is not there or not writable, '
                             'the disk is full, or this OpenCV has no MPEG-4 encoder; name '
                             'another file')

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, (height, width, 3) bgr uint8."""
        self._writer.write(frame)
        self.frames += 1

    def release(self) -> None:
        """End the file, whatever is in it."""
        self._writer.release()

    def close(self) -> None:
        """End the file, and look whether everything is in it."""
        self.release()
        found = self._found() if self.frames else 0
        if found < self.frames:
            raise VideoError(f'{self.path} cannot be shown: {found} of its {self.frames} frames '
                             'were written; make room on the disk, or name a file on another one')

    def _found(self) -> int:
        """Return how many frames the file has by its own table, 0 where it is no video."""
        video = cv2.VideoCapture(str(self.path))
        try:
            return max(0, round(video.get(cv2.CAP_PROP_FRAME_COUNT)))
        finally:
            video.release()
