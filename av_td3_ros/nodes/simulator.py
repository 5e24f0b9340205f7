# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The embedded simulator as a node: it stands in for CARLA and its ROS bridge.

Everything runs on one thread: a command that the tick waits for makes the next tick in its own
callback, without a hand-over between threads.
"""

from __future__ import annotations

import dataclasses

from carla_msgs.msg import CarlaControl, CarlaEgoVehicleControl
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped, Twist
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import Bool

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.driving.route import Route
from av_td3_ros.ros import qos
from av_td3_ros.ros.bridge import BridgePublisher
from av_td3_ros.ros.endpoints import Endpoints
from av_td3_ros.ros.messages import (MAP_FRAME, MessageError, read_control, read_pose, read_stamp,
                                     read_twist)
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.settings import section, setting, SettingsError
from av_td3_ros.simulation.autopilot import Autopilot
from av_td3_ros.simulation.camera import Camera, CameraSettings
from av_td3_ros.simulation.events import Event
from av_td3_ros.simulation.ticker import Run, Ticker
from av_td3_ros.simulation.town import default_town, Town, town_path, TownError
from av_td3_ros.simulation.traffic import TrafficSettings
from av_td3_ros.simulation.vehicle import VehicleSettings
from av_td3_ros.simulation.world import World

COMMAND_TIMEOUT = 1.0
"""Wall time in s that a tick waits for its command, as in the bridge."""

# The stock waypoint publisher plans anew when the car moved further than this in a tick, m.
_JUMP = 2.0


@dataclasses.dataclass(frozen=True)
class SimulatorSettings:
    """Parameters of the simulator; those that the bridge has too are named as there."""

    role_name: str = setting('ego_vehicle', 'role name of the ego vehicle: /carla/<role_name>/')
    town: str = setting('', 'an OpenDRIVE map: a path (.xodr), the name of one that comes with '
                        'the package (town_a), or empty for the one to train in')
    seed: int = setting(0, 'seed of the traffic, the start and the look', ge=0, le=2**31 - 1)
    vehicles: int = setting(0, 'number of other vehicles', ge=0, le=1000)
    spawn_point: int = setting(-1, 'spawn point of the map to start at; -1: drawn by the seed',
                               ge=-1, le=10**6)
    synchronous_mode: bool = setting(True, 'whether the node makes the ticks (else they run in '
                                     'real time, and nothing waits)')
    synchronous_mode_wait_for_vehicle_control_command: bool = setting(
        False, 'whether in synchronous mode a tick waits for one command, up to 1 s')
    fixed_delta_seconds: float = setting(0.05, 'length of a tick in s', ge=0.001, le=0.5)
    passive: bool = setting(False, 'as if another client ticked CARLA: in real time, waiting for '
                            'no command, deaf to /carla/control')
    start_paused: bool = setting(
        False, 'wait for PLAY before the first tick, so that other vehicles are where they are in '
        'every run when a policy node in lockstep, which sends it, begins')
    real_time_factor: float = setting(
        1.0, 'speed of ticks that wait for no command, over real time; 0: as fast as possible',
        ge=0.0, le=1000.0)
    new_look: str = setting('run', 'when light, colours and textures change: never within a run, '
                            'or whenever the vehicle is teleported',
                            choices=('run', 'teleport'))
    camera: CameraSettings = section(CameraSettings)
    vehicle: VehicleSettings = section(VehicleSettings)
    traffic: TrafficSettings = section(TrafficSettings)


class SimulatorNode(Endpoints, Node):
    """CARLA and its bridge in one: a world, its topics, and the rules by which it ticks."""

    def __init__(self, *, context: Context | None = None) -> None:
        super().__init__('carla_ros_bridge', context=context)
        self.settings = declare(self, SimulatorSettings)
        self._warnings = Warnings(self, period=1.0)
        settings = self.settings
        self.world = self._make_world()
        self._camera = Camera(self.world.town, settings.camera, settings.seed)
        self._warm_up()
        self._control = Control()
        self._override = False
        self._autopilot: Autopilot | None = None
        self._autopilot_enabled = False
        self._looks = 0
        self._goal = self.world.town.spawn_points[0]
        self._place = self.world.state.pose
        self._last_answer = 0
        synchronous = settings.synchronous_mode and not settings.passive
        self._ticker = Ticker(
            waits=synchronous and settings.synchronous_mode_wait_for_vehicle_control_command)
        if settings.start_paused:
            self._ticker.control(Run.PAUSE)
        self._bridge = BridgePublisher(self, settings.role_name, self._camera)
        self._subscribe()
        self._bridge.infos(self.world.town, settings.vehicle)
        self._reroute()
        self._publish_status()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self._ticker.waits:
            self._timeout = self.create_timer(COMMAND_TIMEOUT, self._on_timeout, clock=steady)
            self._start = self.create_timer(0.0, self._on_start, clock=steady)
        else:
            factor = settings.real_time_factor if synchronous else 1.0
            period = settings.fixed_delta_seconds / factor if factor else 0.0
            self._pace = self.create_timer(period, self._on_pace, clock=steady)
        self.get_logger().info(
            f'{self.world.town.name} with {settings.vehicles} vehicles, '
            + ('waiting for one command a tick' if self._ticker.waits else 'free running'))

    def _make_world(self) -> World:
        settings = self.settings
        try:
            town = Town.load(town_path(settings.town) if settings.town else default_town())
            world = World(town, seed=settings.seed, vehicles=settings.vehicles,
                          dt=settings.fixed_delta_seconds, ego=settings.vehicle,
                          traffic=settings.traffic)
            if settings.spawn_point >= len(town.spawn_points):
                raise SettingsError(
                    f'{self.get_name()}: spawn_point is {settings.spawn_point}, but the town has '
                    f'{len(town.spawn_points)} of them')
            if settings.spawn_point >= 0:
                world.reset(start=town.spawn_points[settings.spawn_point])
        except TownError as error:
            raise SettingsError(f'{self.get_name()}: town: {error}') from None
        return world

    def _warm_up(self) -> None:
        """Have everything compiled before anyone is told that there is a simulator."""
        start = self.world.snapshot()
        self.world.step(Control())
        self._camera.render(self.world.state.pose, self.world.others)
        self.world.restore(start)

    def _subscribe(self) -> None:
        def subscribe(message, name, callback, profile=qos.STREAM):
            self.create_subscription(
                message, f'/carla/{self.settings.role_name}/{name}', callback, profile)

        # What is ready together is taken in this order: a command, which may make the next tick,
        # comes after all that was sent before it.
        subscribe(PoseMsg, 'control/set_transform', self._on_transform)
        subscribe(Twist, 'control/set_target_velocity', self._on_velocity)
        subscribe(PoseStamped, 'goal', self._on_goal)
        subscribe(Bool, 'vehicle_control_manual_override', self._on_override, qos.OVERRIDE)
        subscribe(Bool, 'enable_autopilot', self._on_autopilot)
        subscribe(CarlaEgoVehicleControl, 'vehicle_control_cmd',
                  lambda message: self._on_command(message, manual=False))
        subscribe(CarlaEgoVehicleControl, 'vehicle_control_cmd_manual',
                  lambda message: self._on_command(message, manual=True))
        self.create_subscription(CarlaControl, '/carla/control', self._on_control, qos.STREAM)

    # Ticking

    def _on_start(self) -> None:
        self.destroy_timer(self._start)
        self._tick_while_due()

    def _on_pace(self) -> None:
        if self._ticker.running:
            self._tick()

    def _on_timeout(self) -> None:
        if self._ticker.running and self._ticker.awaiting:
            self.get_logger().warning(
                f'Timeout ({COMMAND_TIMEOUT} s) while waiting for vehicle control commands. '
                f'Missing command from {self.settings.role_name}')
            self._ticker.give_up()
            self._tick_while_due()

    def _tick_while_due(self) -> None:
        while self._ticker.due:
            self._tick()

    def _tick(self) -> None:
        if self._autopilot is not None:
            self._control = self._autopilot.drive(self.world)
        events = self.world.step(self._control)
        paused = self._ticker.ticked()
        if self._ticker.waits:
            self._timeout.reset()
        self._publish_status(running=True)
        place = self.world.state.pose
        if np.hypot(place.x - self._place.x, place.y - self._place.y) > _JUMP:
            self._reroute()
        self._place = place
        self._publish_tick(events)
        if paused:
            self._publish_status()

    def _publish_tick(self, events: list[Event]) -> None:
        self._bridge.tick(self.world, self._control, events)

    def _publish_status(self, running: bool | None = None) -> None:
        settings = self.settings
        self._bridge.status(
            self.world.frame, settings.fixed_delta_seconds,
            synchronous=settings.synchronous_mode,
            running=self._ticker.running if running is None else running)

    def _on_control(self, message: CarlaControl) -> None:
        if self.settings.passive:
            return
        was = self._ticker.running
        try:
            self._ticker.control(message.command)
        except ValueError:
            self._warnings.warn('control', '/carla/control: there is no command '
                                f'{message.command}; PLAY is 0, PAUSE 1, STEP_ONCE 2')
            return
        self.get_logger().info(f'Run command {Run(message.command).name}')
        if self._ticker.running != was:
            self._publish_status()
        if self._ticker.waits and self._ticker.running:
            self._timeout.reset()
        self._tick_while_due()

    # The vehicle

    def _on_command(self, message: CarlaEgoVehicleControl, *, manual: bool) -> None:
        if manual != self._override:
            return
        try:
            control = read_control(message, clip=True)
        except MessageError as error:
            self._warnings.warn('command', f'Vehicle control command ignored: {error}')
            return
        self._control = control
        if not self._ticker.waits:
            return
        stamp = read_stamp(message.header.stamp)
        expected = self._ticker.command()
        # A second answer to one picture counts for the tick that is now waited for, as in the
        # bridge, but whoever sends it should know.
        if not expected or 0 < stamp == self._last_answer:
            self._warnings.warn('extra', 'Unexpected vehicle control command received from '
                                f'{self.settings.role_name}: publish exactly one a tick')
        self._last_answer = stamp
        self._tick_while_due()

    def _on_override(self, message: Bool) -> None:
        self._override = message.data

    def _on_autopilot(self, message: Bool) -> None:
        self._autopilot_enabled = message.data
        self._set_autopilot()

    def _set_autopilot(self) -> None:
        self._autopilot = Autopilot(self._route) \
            if self._autopilot_enabled and self._route is not None else None

    def _on_transform(self, message: PoseMsg) -> None:
        try:
            pose = read_pose(message, 'set_transform')
        except MessageError as error:
            self._warnings.warn('transform', f'set_transform ignored: {error}')
            return
        self.world.teleport(pose)
        if self.settings.new_look == 'teleport':
            self._looks += 1
            self._camera.reseed(self.settings.seed + self._looks)

    def _on_velocity(self, message: Twist) -> None:
        """Set the velocity; the bridge takes it in the body frame, and not while overridden."""
        if self._override:
            return
        try:
            vx, vy, yaw_rate = read_twist(message, self.world.state.pose.yaw)
        except MessageError as error:
            self._warnings.warn('velocity', f'set_target_velocity ignored: {error}')
            return
        self.world.set_velocity(vx, vy, yaw_rate)

    # The route

    def _on_goal(self, message: PoseStamped) -> None:
        try:
            if message.header.frame_id not in ('', MAP_FRAME):
                raise MessageError(f'it is in frame {message.header.frame_id!r}, not in '
                                   f'{MAP_FRAME!r}')
            goal = read_pose(message.pose, 'the goal')
        except MessageError as error:
            self._warnings.warn('goal', f'Goal ignored: {error}')
            return
        self._goal = goal
        self._reroute()

    def _reroute(self) -> None:
        """Plan from where the vehicle is to the goal, and publish."""
        town, here = self.world.town, self.world.state.pose
        try:
            points = town.route(here, self._goal)
            self._route: Route | None = Route(points)
        except ValueError as error:
            self._warnings.warn(
                'route', f'No route from {_at(here)} to {_at(self._goal)}: {error}')
            points, self._route = np.empty((0, 2)), None
        self._bridge.route(points, town, self.world.time_ns)
        self._set_autopilot()


def _at(pose: Pose) -> str:
    return f'({pose.x:.1f}, {pose.y:.1f})'


def main(args: list[str] | None = None) -> None:
    """Run the simulator."""
    run(SimulatorNode, args=args)


if __name__ == '__main__':
    main()
