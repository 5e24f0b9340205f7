# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The video: frames are drawn on and encoded in a thread, so that nothing waits for it."""

from __future__ import annotations

from pathlib import Path
import queue
import threading
import time
from typing import Callable, NamedTuple

import cv2
import numpy as np

from av_td3_ros.visualization.overlay import draw, Scene, View
from av_td3_ros.visualization.video import Video, VideoError

FRAMES_PER_SECOND = 10
# Frames that may wait; those of 800x600 are 1.9 MB each.
_WAITING = 160


class _Frame(NamedTuple):
    picture: np.ndarray
    view: View
    scene: Scene
    missed: int


class VideoWriter:
    """
    Writes an MPEG-4 video of ``size`` (width, height).

    Of frames that come faster than they can be drawn on for long some are left out, and counted in
    :attr:`dropped`: the one before stands still for them, so that time is right. An error while
    encoding is raised by :meth:`close`.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path = path
        self.dropped = self._missed = 0
        cv2.setNumThreads(1)
        self._video = Video(path, float(FRAMES_PER_SECOND), size)
        self._queue: queue.Queue[_Frame | None] = queue.Queue(_WAITING)
        self._error: Exception | None = None
        self._aborted = False
        self._thread = threading.Thread(target=self._run, name='video', daemon=True)
        self._thread.start()

    def add(self, picture: np.ndarray, view: View, scene: Scene, lost: int = 0) -> None:
        """
        Take a frame, (H, W, 4) bgra or (H, W, 3) bgr, which must not change any more.

        ``lost`` frames should have come before it and did not: they are left out like those that
        come too fast.
        """
        self.dropped += lost
        self._missed += lost
        try:
            self._queue.put_nowait(_Frame(picture, view, scene, self._missed))
            self._missed = 0
        except queue.Full:
            self.dropped += 1
            self._missed += 1

    @property
    def written(self) -> int:
        """Frames that were encoded."""
        return self._video.frames

    @property
    def waiting(self) -> int:
        """Frames that wait to be encoded."""
        return self._queue.qsize()

    def close(self, timeout: float = 30.0,
              progress: Callable[[int], None] = lambda waiting: None) -> None:
        """
        Encode what waits, for at most ``timeout`` seconds, and finish the file.

        ``progress`` is called now and then with how many frames wait.
        """
        until = time.monotonic() + timeout
        while self._queue.full() and time.monotonic() < until:
            progress(self.waiting)
            time.sleep(0.05)
        if not self._queue.full():
            self._queue.put_nowait(None)
        while self._thread.is_alive() and time.monotonic() < until:
            progress(self.waiting)
            self._thread.join(0.2)
        if self._thread.is_alive():
            left = self.waiting
            self.abort(10.0)
            raise VideoError(f'{self.path}: {left} frames were not encoded within {timeout:g} s')
        if isinstance(self._error, VideoError):
            raise self._error
        if self._error is not None:
            raise VideoError(f'{self.path}: {self._error}') from self._error

    def abort(self, timeout: float = 0.5) -> None:
        """Finish the file with what is encoded already; what waits is left out."""
        self._aborted = True
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            pass
        self._thread.join(timeout)

    def _run(self) -> None:
        # Not at a lower priority: what waits for the interpreter's lock would wait with it.
        last: np.ndarray | None = None
        while (frame := self._queue.get()) is not None and not self._aborted:
            if self._error is not None:
                continue
            try:
                for _ in range(frame.missed if last is not None else 0):
                    self._video.write(last)
                last = draw(frame.picture, frame.view, frame.scene)
                self._video.write(last)
            except Exception as error:  # told by close(); the drive goes on
                self._error = error
        try:
            self._video.close()
        except VideoError as error:
            self._error = self._error or error
