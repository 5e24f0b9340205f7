# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The guard as a process of its own: it brakes when commands stop.

The judgement, and why a pause or a slow learner is none of its business, is
:mod:`av_td3_ros.driving.guard`; this wires it to the bridge's topics, all relative to the
vehicle's namespace but ``/clock`` and ``/carla/status``.

A driver is guarded from when its publisher is matched with this node's subscription. With Fast DDS
that may be up to 3 s after it is matched with the vehicle, so a driver should wait until the
heartbeat of this node, ``~/heartbeat``, says that it hears the driver's own.

It starts within a second and stays under 60 MB, so it loads no torch, OpenCV, numba or CARLA, and
not numpy either: that comes with every service's messages and with ``geometry_msgs``, so the node
offers no parameter services (its parameters are set at the start), and reads the speed from
``speedometer``.
"""

from __future__ import annotations

import time

from carla_msgs.msg import CarlaEgoVehicleControl, CarlaStatus
from diagnostic_msgs.msg import DiagnosticStatus
import rclpy.clock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float32

from av_td3_ros.driving.guard import Guard, GuardSettings, State
from av_td3_ros.ros import qos
from av_td3_ros.ros.commands import check_command, make_stamp, MessageError, read_stamp
from av_td3_ros.ros.diagnostics import Diagnostics, ERROR, OK, Report, WARN
from av_td3_ros.ros.endpoints import Endpoints
from av_td3_ros.ros.heartbeat import Heartbeat
from av_td3_ros.ros.middleware import stay_out_of_shared_memory
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run

_POLL = 0.02    # s
_CLOCK_WARNING = 2.0    # s; twice what a waiting simulation takes for a tick
_COMMANDS = 'vehicle_control_cmd'
_DRIVER = 'av_td3_policy'     # whose heartbeat is listened for, in the vehicle's namespace


class GuardNode(Endpoints, Node):
    """Watches one vehicle; in its namespace, ``/carla/ego_vehicle`` unless remapped."""

    def __init__(self) -> None:
        super().__init__(
            'av_td3_guard', namespace='/carla/ego_vehicle', start_parameter_services=False,
            parameter_overrides=[Parameter('start_type_description_service', value=False)])
        self._guard = Guard(declare(self, GuardSettings))
        self._echoes = {True: 0, False: 0}
        self._stamp = make_stamp(0)
        self._override = self.create_publisher(
            Bool, 'vehicle_control_manual_override', qos.OVERRIDE)
        self._manual = self.create_publisher(
            CarlaEgoVehicleControl, 'vehicle_control_cmd_manual', qos.STREAM)
        self.create_subscription(CarlaEgoVehicleControl, _COMMANDS, self._on_command, qos.STREAM)
        self.create_subscription(DiagnosticStatus, f'{_DRIVER}/heartbeat', self._on_heartbeat,
                                 qos.LATEST)
        self.create_subscription(Clock, '/clock', self._on_clock, qos.STREAM)
        self.create_subscription(Float32, 'speedometer', self._on_speed, qos.STREAM)
        self.create_subscription(CarlaStatus, '/carla/status', self._on_status, qos.STREAM)
        self.create_subscription(Bool, 'vehicle_control_manual_override', self._on_override,
                                 qos.INFO)
        self.create_subscription(Bool, 'enable_autopilot', self._on_autopilot, qos.STREAM)
        self._diagnostics = Diagnostics(self, {'guard': self._report},
                                        hardware_id=self.get_namespace())
        self._beat = Heartbeat(self, self._state,
                               hears=lambda: self._guard.hears(time.monotonic()))
        steady = rclpy.clock.Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_POLL, self._step, clock=steady)

    def _on_command(self, message: CarlaEgoVehicleControl) -> None:
        try:
            check_command(message)
            steer: float | None = message.steer
        except MessageError:
            steer = None
        self._guard.command(steer, read_stamp(message.header.stamp), time.monotonic())
        self._step()

    def _on_heartbeat(self, message: DiagnosticStatus) -> None:
        self._guard.heartbeat(time.monotonic())

    def _on_clock(self, message: Clock) -> None:
        self._stamp = message.clock
        self._guard.tick(read_stamp(message.clock), time.monotonic())
        self._step()

    def _on_speed(self, message: Float32) -> None:
        self._guard.speed(message.data)

    def _on_status(self, message: CarlaStatus) -> None:
        self._guard.simulation(synchronous=message.synchronous_mode,
                               running=message.synchronous_mode_running)

    def _on_override(self, message: Bool) -> None:
        # One's own samples come back, each of them once.
        if self._echoes[message.data]:
            self._echoes[message.data] -= 1
        else:
            self._guard.other_override(message.data)
            self._step()

    def _on_autopilot(self, message: Bool) -> None:
        self._guard.autopilot(message.data)

    def _step(self) -> None:
        guard = self._guard
        before = guard.state
        override, brake = guard.step(time.monotonic())
        if override is not None:
            self._echoes[override] += 1
            self._override.publish(Bool(data=override))
        if brake is not None:
            message = CarlaEgoVehicleControl(brake=brake.brake, steer=brake.steer)
            message.header.stamp = self._stamp
            self._manual.publish(message)
        if guard.state is not before:
            if guard.state is State.BRAKING:
                gone = '' if self.count_publishers(_COMMANDS) else '; its publisher is gone'
                self.get_logger().error(f'Braking: {guard.reason}{gone}')
            elif before is State.BRAKING:
                self.get_logger().info(f'Control handed back after '
                                       f'{guard.settings.good_commands} good commands')
            self._diagnostics.publish()
            self._beat.beat()

    def _state(self) -> tuple[bytes, str]:
        """Return what the driver is told of this node."""
        guard = self._guard
        return (ERROR, guard.reason) if guard.state is State.BRAKING else (OK, guard.state.value)

    def _report(self) -> Report:
        guard = self._guard
        braking = guard.state is State.BRAKING
        silent = guard.clock_age(time.monotonic())
        # On PAUSE the clock stops as well: that is worth a warning here, and nothing more.
        level, text = (ERROR, f'braking: {guard.reason}') if braking else \
            (OK, guard.state.value) if silent < _CLOCK_WARNING else \
            (WARN, f'{guard.state.value}: no clock is heard')
        return Report(level, text, {
            'interventions': guard.interventions, 'commands': guard.commands,
            'commands not good': guard.refused, 'clock heard before, s': silent,
            'hears the driver': guard.hears(time.monotonic()),
            'publishers of commands': self.count_publishers(_COMMANDS)})


def main(args: list[str] | None = None) -> None:
    """Run the guard."""
    stay_out_of_shared_memory()
    run(GuardNode, args=args)


if __name__ == '__main__':
    main()
