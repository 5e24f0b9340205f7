# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a node says about itself on ``/diagnostics``.

Standard ``diagnostic_msgs``, as aggregators and rqt_robot_monitor read them, published at a set
rate and at once when a level changes. ``diagnostic_updater`` does the same where it is
installed; it is not everywhere that rclpy is, and it stamps with simulation time, so that it
falls silent with the clock. These go by a steady clock.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from av_td3_ros.ros import qos

OK, WARN, ERROR, STALE = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR,
                          DiagnosticStatus.STALE)


class Report(NamedTuple):
    """One status: level (:data:`OK` and so on), a sentence, and figures by name."""

    level: bytes
    message: str
    values: Mapping[str, Any] = {}


class Diagnostics:
    """
    Publishes the reports of a node's parts.

    Each part is a function that returns its :class:`Report` now; the names become
    ``<node>: <part>``. :meth:`publish` may be called at any time to say something at once.
    """

    def __init__(self, node: Node, parts: Mapping[str, Callable[[], Report]], *,
                 hardware_id: str = '', period: float = 1.0) -> None:
        self._node, self._parts, self._hardware_id = node, dict(parts), hardware_id
        self._levels: dict[str, bytes] = {}
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
        self._timer = node.create_timer(period, self.publish,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish every part's report."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name()
        for part, ask in self._parts.items():
            report = ask()
            self._levels[part] = report.level
            message.status.append(DiagnosticStatus(
                level=report.level, name=f'{name}: {part}', message=report.message,
                hardware_id=self._hardware_id,
                values=[KeyValue(key=str(key), value=_text(value))
                        for key, value in report.values.items()]))
        self._publisher.publish(message)

    def publish_changes(self) -> None:
        """Publish if some part's level is another than was published last."""
        if any(ask().level != self._levels.get(part) for part, ask in self._parts.items()):
            self.publish()

    def destroy(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


def _text(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)
