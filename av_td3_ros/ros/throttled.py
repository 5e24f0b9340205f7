# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Warnings that do not flood: one line a cause in a while, with how often it happened."""

from __future__ import annotations

import time
from typing import Callable

from rclpy.node import Node


class Warnings:
    """
    Logs warnings, throttled by cause on a steady clock.

    rclpy throttles by line of code and by simulation time: there, one cause silences another that
    is logged by the same line, and a stopped clock silences all.
    """

    def __init__(self, node: Node, period: float = 5.0,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._period, self._clock = node.get_logger(), period, clock
        self._last: dict[str, float] = {}
        self._silent: dict[str, int] = {}
        self.count = 0

    def warn(self, cause: str, text: str) -> None:
        """Log ``text`` unless ``cause`` was logged within the period; count it in any case."""
        self.count += 1
        now = self._clock()
        if now - self._last.get(cause, float('-inf')) < self._period:
            self._silent[cause] = self._silent.get(cause, 0) + 1
            return
        self._last[cause] = now
        missed = self._silent.pop(cause, 0)
        self._logger.warning(text + (f' ({missed} more like this since)' if missed else ''))
