# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When what is due: the clock of a bag that is played at a rate, and can be paused."""

from __future__ import annotations

import time
from typing import Callable


class Pace:
    """
    Relates the time of a bag, ns, to that of the wall, s.

    A rate of 0 has everything due at once. Not thread-safe by itself.
    """

    def __init__(self, rate: float, *, paused: bool = False,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._paused, self._clock = rate, paused, clock
        self._bag: float | None = None      # the bag's time at the wall's time below
        self._wall = clock()

    @property
    def paused(self) -> bool:
        """Whether nothing is due."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Stop, or go on from where it stopped."""
        self._hold()
        self._paused = paused

    def set_rate(self, rate: float) -> None:
        """Go on from here at another rate."""
        self._hold()
        self._rate = rate

    def until(self, due: int) -> float:
        """Return how long to wait for what is ``due``, s; infinite while paused."""
        if self._paused:
            return float('inf')
        if self._bag is None:
            # The first message is due at once.
            self._bag, self._wall = float(due), self._clock()
        if self._rate <= 0.0:
            # From here on another rate goes on.
            self._bag, self._wall = float(due), self._clock()
            return 0.0
        return max((due - self._now()) * 1e-9 / self._rate, 0.0)

    def sent(self, due: int) -> None:
        """Do not catch up: what was ``due`` has just been sent, however late."""
        if self._bag is None or self._rate <= 0.0 or self._now() > due:
            self._bag, self._wall = float(due), self._clock()

    def _now(self) -> float:
        assert self._bag is not None
        passed = 0.0 if self._paused else self._clock() - self._wall
        return self._bag + 1e9 * passed * self._rate

    def _hold(self) -> None:
        if self._bag is not None:
            self._bag = self._now()
        self._wall = self._clock()
