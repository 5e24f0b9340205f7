# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command topic: what the driver decides, or a safe stop, each through the gate."""

from __future__ import annotations

import time
from typing import Callable

from carla_msgs.msg import CarlaEgoVehicleControl
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode

from av_td3_ros.driving.frames import Control, FULL_BRAKE
from av_td3_ros.driving.safety.safety import Safety
from av_td3_ros.nodes.account import Account
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_control
from av_td3_ros.ros.throttled import Warnings

# Wall time that the last brake may take to be heard, s.
_FAREWELL = 0.5


class SafeCommands:
    """
    The one place from which commands go out.

    ``drop`` is called when a fault begins, to forget what was built on the inputs before; ``told``
    after every change, to have it said. With ``shadow`` they go where no vehicle listens, as the
    driver decides them: no safe stop, no gate.
    """

    def __init__(self, node: LifecycleNode, safety: Safety, account: Account,
                 warnings: Warnings, *, drop: Callable[[], None], told: Callable[[], None],
                 shadow: bool = False) -> None:
        self._node, self._safety, self._account = node, safety, account
        self._warnings, self._drop, self._told = warnings, drop, told
        self._shadow = shadow
        make = node.create_lifecycle_publisher
        self._publisher = (
            make(CarlaEgoVehicleControl, 'shadow/vehicle_control_cmd', qos.STREAM) if shadow
            else make(CarlaEgoVehicleControl, 'vehicle_control_cmd', qos.STREAM))
        self.start()

    def start(self) -> None:
        """Begin anew, as at activation."""
        self._stopping = False
        self._stopped_at = -1       # stamp of the newest command of a safe stop
        self._answering = 0, 0.0
        self._safety.start(time.monotonic())

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_lifecycle_publisher(self._publisher)

    @property
    def heard(self) -> bool:
        """Whether anybody takes the commands."""
        return self._publisher.get_subscription_count() > 0

    def answer(self, stamp: int, arrival: float) -> None:
        """Note the picture that the next command answers, and when it came."""
        self._answering = stamp, arrival

    def publish(self, control: Control) -> None:
        """Send the driver's command for the picture that is answered."""
        stamp, arrival = self._answering
        given = control if self._shadow else self._safety.command(control, stamp)
        self._publisher.publish(make_control(given, stamp))
        self._account.commanded(time.monotonic() - arrival)

    def may_drive(self, stamp: int) -> bool:
        """Whether a tick is the driver's to answer, and not one of a safe stop."""
        if self._shadow:
            return True
        self.heed()
        # A stop that is just over may have answered this one before its picture came. Late
        # pictures of a drive without faults are answered still.
        return self._safety.fault is None and stamp > self._stopped_at

    def heed(self) -> None:
        """Stop where the watchdogs say so, and let go where they do not any more."""
        safety, fault = self._safety, self._safety.fault
        if self._shadow:
            return
        if safety.changed():
            begun = safety.watchdogs.latest
            self._drop()
            self._stopped_at = -1
            self._warnings.warn(f'{begun.watchdog} {begun.state}', f'safe stop: {begun.reason}')
            self._told()
        elif fault is None and self._stopping:
            self._node.get_logger().info('all inputs are good: driving on')
            self._told()
        self._stopping = fault is not None
        due = safety.stop_command(time.monotonic())
        if due is not None:
            control, stamp = due
            self._stopped_at = max(self._stopped_at, stamp)
            self._publisher.publish(make_control(control, stamp))
            self._account.commanded(None)

    def farewell(self, last: int) -> None:
        """Brake, and see that it is heard: with the publisher gone it would be lost."""
        if self._shadow:
            return
        stamp = max(self._safety.watchdogs.newest, last, 0)
        self._publisher.publish(make_control(
            self._safety.command(FULL_BRAKE, stamp, urgent=True), stamp))
        self._publisher.wait_for_all_acked(Duration(seconds=_FAREWELL))
