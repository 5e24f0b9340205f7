# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A progress bar with rate and remaining time."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable

_PERIOD = 0.2
_WIDTH = 24


class Progress:
    """
    Counts steps of a task and shows them on one line of a terminal, five times a second.

    Where ``stream`` is no terminal, a line is written for every tenth of the task.
    """

    def __init__(self, what: str, total: int, unit: str, stream: Any = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._unit = what, max(total, 1), unit
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._begun = self._shown = clock()
        self._tenth = 0
        self._terminal = bool(getattr(self._stream, 'isatty', lambda: False)())
        self.done = 0

    def step(self) -> None:
        """Count one step."""
        self.done += 1
        if self._terminal:
            now = self._clock()
            if now - self._shown >= _PERIOD:
                self._shown = now
                self._stream.write(f'\r{self.line()}\x1b[K')
                self._stream.flush()
        elif 10 * self.done // self._total > self._tenth:
            self._tenth = 10 * self.done // self._total
            self._stream.write(self.line() + '\n')
            self._stream.flush()

    def line(self) -> str:
        """Return the bar as it is now."""
        share = min(self.done / self._total, 1.0)
        passed = max(self._clock() - self._begun, 1e-9)
        rate = self.done / passed
        left = round((self._total - self.done) / rate) if rate > 0.0 else 0
        bar = '#' * round(share * _WIDTH)
        return (f'{self._what} [{bar:<{_WIDTH}}] {100 * share:3.0f} % '
                f'{self.done}/{self._total} {self._unit}, {rate:.0f}/s, '
                f'{left // 60}:{left % 60:02d} left')

    def close(self) -> None:
        """Leave the last state on the terminal."""
        if self._terminal:
            self._stream.write(f'\r{self.line()}\x1b[K\n')
            self._stream.flush()
