# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Event files as TensorBoard reads them, written without a thread and without TensorFlow.

Only the record format and the messages of the package ``tensorboard`` are used; it is optional.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
import re
import socket
import time
from typing import Any, Mapping

import cv2
import numpy as np

MISSING = 'event files need TensorBoard: pip install tensorboard'

_BINS = 40

_NAME = re.compile(r'events\.out\.tfevents\.(\d+)\.')


class EventFileError(RuntimeError):
    """Event files cannot be written here; the message says why and what to do."""


def available() -> bool:
    """Return whether TensorBoard is installed."""
    return importlib.util.find_spec('tensorboard') is not None


class EventFile:
    """
    A new event file in ``folder``, read after every other one that is there.

    With ``first_step``, what earlier files say of that step and later ones is disregarded by
    readers: a run that is resumed from a checkpoint leaves no step twice. Raises
    :class:`EventFileError` where TensorBoard is missing, and OSError where the disk refuses.
    """

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise EventFileError(MISSING) from None
        self._event, self._session = event_pb2.Event, event_pb2.SessionLog
        self._summary = summary_pb2.Summary
        self._proto_histogram = summary_pb2.HistogramProto
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / _next_name(folder)
        self._file = open(self.path, 'xb')
        self._records = RecordWriter(self._file)
        self._put(file_version='brain.Event:2')
        if first_step is not None:
            self.rewind(first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars, by tag, as of ``step``."""
        self._put(step=step, summary=self._summary(value=[
            self._summary.Value(tag=tag, simple_value=float(value))
            for tag, value in values.items()]))

    def write_histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Write histograms of finite numbers, arrays of any shape, by tag; empty ones are not."""
        self._put(step=step, summary=self._summary(value=[
            self._summary.Value(tag=tag, histo=self._histogram(array))
            for tag, array in values.items() if array.size]))

    def write_image(self, step: int, tag: str, picture: np.ndarray) -> None:
        """Write a grey picture, (H, W) uint8."""
        height, width = picture.shape
        png = cv2.imencode('.png', picture)[1].tobytes()
        self._put(step=step, summary=self._summary(value=[self._summary.Value(
            tag=tag, image=self._summary.Image(
                height=height, width=width, colorspace=1, encoded_image_string=png))]))

    def _histogram(self, array: np.ndarray) -> Any:
        values = np.asarray(array, dtype=np.float64).reshape(-1)
        counts, edges = np.histogram(values, bins=_BINS)
        return self._proto_histogram(
            min=values.min(), max=values.max(), num=values.size, sum=values.sum(),
            sum_squares=np.square(values).sum(), bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist())

    def rewind(self, step: int) -> None:
        """Have readers disregard what was written of ``step`` and later ones so far."""
        self._put(step=step, session_log=self._session(status=self._session.START))
        self.flush()

    def flush(self) -> None:
        """Hand everything to the system: it outlives the process, however that ends."""
        self._records.flush()

    def close(self) -> None:
        """Write what is buffered, durably, and close the file; a second time does nothing."""
        if not self._file.closed:
            self.flush()
            os.fsync(self._file.fileno())
            self._records.close()

    def _put(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())


def _next_name(folder: Path) -> str:
    """
    Return a name that sorts after those in ``folder``: readers go by it.

    Its first number is the time in s, or one more than the newest file's where the clock has not
    gone on since, or went back.
    """
    found = [int(match[1]) for path in folder.iterdir() if (match := _NAME.match(path.name))]
    stamp = max([int(time.time()), *(number + 1 for number in found)])
    host = re.sub(r'[^\w-]', '_', socket.gethostname()) or 'host'
    return f'events.out.tfevents.{stamp:010d}.{host}.{os.getpid()}.0'
