# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Heartbeats between a driver and its guard: ``~/heartbeat``, ``diagnostic_msgs/DiagnosticStatus``.

Level and message are what the node does; the value ``hears`` is whether it hears the other one.
They go by a steady clock, so that they go on while the simulation is paused. Needs no numpy.
"""

from __future__ import annotations

from typing import Callable

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from av_td3_ros.ros import qos

PERIOD = 0.05
"""Wall time between two beats, s."""


class Heartbeat:
    """Publishes ``~/heartbeat`` with what ``state`` gives: level and message."""

    def __init__(self, node: Node, state: Callable[[], tuple[bytes, str]], *,
                 hears: Callable[[], bool] = lambda: True) -> None:
        self._node, self._state, self._hears = node, state, hears
        self._publisher = node.create_publisher(DiagnosticStatus, '~/heartbeat', qos.LATEST)
        self._timer = node.create_timer(PERIOD, self.beat,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def beat(self) -> None:
        """Say it at once."""
        level, message = self._state()
        self._publisher.publish(DiagnosticStatus(
            level=level, name=self._node.get_fully_qualified_name(), message=message,
            values=[KeyValue(key='hears', value=str(self._hears()).lower())]))

    def destroy(self) -> None:
        """Fall silent."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


def hears(message: DiagnosticStatus) -> bool:
    """Whether the sender of a heartbeat says that it hears the other side."""
    return any(pair.key == 'hears' and pair.value == 'true' for pair in message.values)
