# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policy node and guard tell each other that they live, and what they do."""

from __future__ import annotations

import time
from typing import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from av_td3_ros.ros import qos
from av_td3_ros.ros.diagnostics import ERROR, OK, Report, WARN
from av_td3_ros.ros.heartbeat import hears, Heartbeat, PERIOD
from av_td3_ros.ros.throttled import Warnings

SILENCE = 0.7
"""Wall time, s, without a word of the guard's after which it is said to be gone."""


class GuardLink:
    """
    A policy node's side of its guard.

    ``state`` gives the level and the word that go out with each heartbeat. ``heard`` is called
    with why the guard brakes, empty where it does not, whenever that changes. A guard that braked
    and then fell silent has left the brake on: the reason stays until a guard says otherwise.
    With ``expected``, its absence is warned of; without, only its disappearance is.
    """

    def __init__(self, node: Node, guard: str, warnings: Warnings, *, expected: bool,
                 state: Callable[[], tuple[bytes, str]], heard: Callable[[str], None]) -> None:
        self._node, self._guard, self._warnings = node, guard, warnings
        self._expected, self._heard = expected, heard
        self._at: float | None = None
        self._since = time.monotonic()
        self._gone = False
        self._hears = False
        self._braking = ''
        self.losses = 0
        self._beat = Heartbeat(node, state)
        self._subscription = node.create_subscription(
            DiagnosticStatus, f'{guard}/heartbeat', self._on_beat, qos.LATEST)
        self._timer = node.create_timer(PERIOD, self._watch,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """Take every endpoint away."""
        self._beat.destroy()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def start(self) -> None:
        """Begin to wait for the guard, as at activation."""
        self._since = time.monotonic()

    def tell(self) -> None:
        """Say at once what the node does now."""
        self._beat.beat()

    @property
    def present(self) -> bool:
        """Whether the guard was heard lately, and hears this node."""
        return self._at is not None and not self._gone and self._hears

    def ready(self, patience: float) -> bool:
        """Whether to drive: with the guard, or without it after ``patience`` s."""
        if not self._expected or self.present:
            return True
        return time.monotonic() - self._since > patience

    def _on_beat(self, message: DiagnosticStatus) -> None:
        self._at, self._hears = time.monotonic(), hears(message)
        if self._gone:
            self._gone = False
            self._node.get_logger().info('the guard is back')
        braking = message.message if message.level == ERROR else ''
        if braking != self._braking:
            self._braking = braking
            self._heard(braking)

    def _watch(self) -> None:
        last = self._at if self._at is not None else self._since if self._expected else None
        if last is not None and not self._gone and time.monotonic() - last > SILENCE:
            self._gone = True
            if self._at is not None:
                self.losses += 1
                self._warnings.warn('guard', f'the guard {self._guard} is gone: nobody brakes '
                                    'if this process dies')

    def report(self) -> Report:
        """Report the guard as it is heard."""
        now = time.monotonic()
        values = {'expected': self._expected, 'losses': self.losses,
                  'heard before, s': 'never' if self._at is None else now - self._at}
        if self._braking:
            return Report(ERROR, f'it brakes: {self._braking}', values)
        if self._at is None:
            return Report(WARN if self._expected else OK, 'never heard', values)
        if self._gone:
            return Report(ERROR if self._expected else WARN, 'gone', values)
        return Report(OK if self._hears else WARN,
                      'present' if self._hears else 'it does not hear this node', values)
