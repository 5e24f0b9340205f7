# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which odometry belongs to which picture, where their stamps do not say so.

CARLA's bridge gives both the tick's stamp, and the policy node pairs by it. The sensors of a car
have stamps of their own, and some recordings mix the clocks of simulation and of the wall.
"""

from __future__ import annotations

from collections import deque
import dataclasses
from typing import Any, Sequence

import numpy as np

from av_td3_ros.driving.frames import VehicleState

EXACT, NEAREST, RECEIVED = 'exact', 'nearest', 'received'
"""By equal stamps, as the policy node; by the nearest stamps; by the times of receipt."""

_TOLERANCE = 100_000_000     # ns between a picture and the odometry that may stand for it
_SAME_CLOCK = 2_000_000_000  # ns by which two stamps less their times of receipt may differ


def stamp_of(data: Any) -> int | None:
    """Return the stamp in ns of a CDR message that begins with a header, None if it is cut."""
    if len(data) < 12:
        return None
    kind = '<' if data[1] & 1 else '>'
    return (int.from_bytes(data[4:8], 'little' if kind == '<' else 'big', signed=True)
            * 1_000_000_000
            + int.from_bytes(data[8:12], 'little' if kind == '<' else 'big'))


def choose(images: Sequence[tuple[int, int]], states: Sequence[tuple[int, int]]) -> str:
    """Return how to pair, from some (stamp, time of receipt), ns, of pictures and odometry."""
    if not images or not states:
        return EXACT
    stamps = {stamp for stamp, _ in states}
    if any(stamp in stamps and stamp for stamp, _ in images):
        return EXACT
    ahead = [float(np.median([stamp - time for stamp, time in some]))
             for some in (images, states)]
    if any(stamp for stamp, _ in images) and any(stamps) and (
            abs(ahead[0] - ahead[1]) < _SAME_CLOCK):
        return NEAREST
    return RECEIVED


class Aligner:
    """
    Gives each picture the nearest odometry, with the picture's stamp.

    Pictures wait until an odometry after them has come. :meth:`state` and :meth:`picture` return
    what is settled: (stamp, picture, state or None), in order.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Any]] = deque()
        self._before: tuple[int, VehicleState] | None = None

    def picture(self, stamp: int, picture: Any) -> list[tuple[int, Any, VehicleState | None]]:
        """Take a picture."""
        settled = []
        if self._waiting and stamp < self._waiting[-1][0]:
            settled = self.finish()
        if self._before is not None and stamp <= self._before[0]:
            return [*settled, self._settle(stamp, picture, None)]
        self._waiting.append((stamp, picture))
        if len(self._waiting) > 8:
            settled.append(self._settle(*self._waiting.popleft(), None))
        return settled

    def state(self, stamp: int, state: VehicleState
              ) -> list[tuple[int, Any, VehicleState | None]]:
        """Take an odometry."""
        settled = []
        while self._waiting and self._waiting[0][0] <= stamp:
            settled.append(self._settle(*self._waiting.popleft(), (stamp, state)))
        self._before = stamp, state
        return settled

    def finish(self) -> list[tuple[int, Any, VehicleState | None]]:
        """Return what still waits."""
        settled = [self._settle(stamp, picture, None) for stamp, picture in self._waiting]
        self._waiting.clear()
        return settled

    def _settle(self, stamp: int, picture: Any, after: tuple[int, VehicleState] | None
                ) -> tuple[int, Any, VehicleState | None]:
        near = [(abs(known - stamp), state) for known, state in filter(None, (self._before, after))
                if abs(known - stamp) <= _TOLERANCE]
        if not near:
            return stamp, picture, None
        return stamp, picture, dataclasses.replace(
            min(near, key=lambda pair: pair[0])[1], stamp=stamp)
