# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
``record_bag``: drive routes of a town and record what the CARLA bridge would publish, without ROS.

The driver is the town's own, which knows the world (an expert), or a checkpoint.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
import shutil
import sys
from typing import Any, Callable, Sequence

import numpy as np
from rosbags.rosbag2 import WriterError

from av_td3_ros.driving.driver import Driver, Phase
from av_td3_ros.driving.frames import Control, FULL_BRAKE, Pose
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings, trained_task
from av_td3_ros.evaluation.bag_writer import BridgeBag, COMPRESSIONS, STORAGES
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy
from av_td3_ros.learning.policy_file import policy_config
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.autopilot import Autopilot
from av_td3_ros.simulation.camera import Camera, CameraSettings
from av_td3_ros.simulation.town import Town, town_path, TownError
from av_td3_ros.simulation.world import Collision, LaneInvasion, World

TICK = 0.05
_STANDING = 10       # ticks recorded before the car is let go and after it arrived
_NEAR = 60.0         # m, to which other cars are recorded


class Recorder:
    """
    Drives one route after the other and writes every tick to a bag.

    policy: drives in place of the expert, from observations; task settings are its own. steps:
    ticks at most for each route. steer_bias: is added to the driver's steering, a planted fault.
    """

    def __init__(self, bag: BridgeBag, town: Town, *, size: tuple[int, int] = (800, 600),
                 vehicles: int = 0, seed: int = 0, policy: Policy | None = None,
                 settings: TaskSettings | None = None, steer_bias: float = 0.0) -> None:
        self._bag, self._town, self._bias = bag, town, steer_bias
        self._world = World(town, seed=seed, vehicles=vehicles, dt=TICK)
        self._camera = Camera(town, CameraSettings(width=size[0], height=size[1]), seed)
        self._driver = None if policy is None else Driver(
            DrivingTask(settings or TaskSettings()), policy.act)
        self._first = True
        self.ticks = 0

    def drive(self, start: Pose, points: np.ndarray, steps: int = 4000) -> bool:
        """Record a route, (N, 2) in m, from ``start``; return whether its end was reached."""
        world, route = self._world, Route(points)
        if self._first:
            world.reset(start=start)
            self._first = False
        else:
            # Simulation time goes on, as where a bridge teleports the car.
            world.teleport(start)
            world.set_velocity(0.0, 0.0)
        # After the picture of the route before, which has the same time.
        self._bag.route(world.time_ns + 1, points)
        expert = Autopilot(route)
        if self._driver is not None:
            self._driver.set_route(route)
        control, place, left = FULL_BRAKE, None, _STANDING
        for number in range(steps):
            picture = self._tick(control)
            place = route.locate(world.state.pose, near=place)
            arrived = self._arrived(route, place.distance)
            place = place.distance
            if self._driver is not None:
                self._driver.observe(world.state, picture)
                control = self._driver.decide()
            else:
                control = FULL_BRAKE if number < _STANDING else expert.drive(world)
            if self._bias:
                control = Control(throttle=control.throttle, brake=control.brake, steer=min(
                    max(control.steer + self._bias, -1.0), 1.0))
            self._bag.command(world.time_ns, control)
            left -= arrived
            if not left:
                return True
        return False

    def _arrived(self, route: Route, distance: float) -> bool:
        if self._driver is not None:
            return self._driver.phase is Phase.ARRIVED
        return route.length - distance < 2.0

    def _tick(self, control: Control) -> np.ndarray:
        world, bag = self._world, self._bag
        events = world.step(control)
        state = world.state
        bag.status(state, world.acceleration, control)
        bag.odometry(state)
        self._objects()
        for event in events:
            if isinstance(event, Collision):
                # The one vector that the bridge passes on in CARLA's left-handed axes.
                x, y, z = event.impulse
                bag.collision(state.stamp, event.other_id, (x, -y, z))
            elif isinstance(event, LaneInvasion):
                bag.lane_invasion(state.stamp, event.markings)
        picture = self._camera.render(state.pose, world.others)
        bag.image(state.stamp, picture)
        self.ticks += 1
        return picture

    def _objects(self) -> None:
        others, pose = self._world.others, self._world.state.pose
        if not len(others.x):
            return
        near = np.flatnonzero(np.hypot(others.x - pose.x, others.y - pose.y) < _NEAR)
        self._bag.objects(self._world.time_ns, [
            (int(others.ids[i]), Pose(float(others.x[i]), float(others.y[i]), float(others.z[i]),
                                      float(others.yaw[i])),
             float(others.speed[i]), float(others.length[i]), float(others.width[i]))
            for i in near])


def record(path: str | Path, *, routes: int, seed: int = 0, town: Town | None = None,
           lengths: tuple[float, float] = (100.0, 400.0), steps: int = 4000,
           storage: str = 'mcap', compression: str = 'none', jpeg: int = 0,
           role: str = 'ego_vehicle', progress: Callable[[int, int], None] | None = None,
           **driving: Any) -> int:
    """Record a bag of routes drawn by the seed; return its ticks; leave no half bag behind."""
    town = town or Town.load(town_path('town_b'))
    rng = np.random.default_rng(seed)
    path = Path(path)
    if path.exists():
        raise WriterError(f'{path} exists already')
    try:
        with BridgeBag(path, role=role, storage=storage, compression=compression,
                       jpeg=jpeg) as bag:
            recorder = Recorder(bag, town, seed=seed, **driving)
            for number in range(routes):
                start, _, points = town.sample_route(rng, *lengths)
                recorder.drive(start, points, steps)
                if progress is not None:
                    progress(number + 1, recorder.ticks)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return recorder.ticks


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(
        prog='record_bag', description='Record a bag of the embedded town, without ROS.')
    parser.add_argument('out', type=Path, help='folder of the new bag')
    parser.add_argument('--checkpoint', type=Path, help='who drives (the expert)')
    parser.add_argument('--town', default='town_b', metavar='TOWN',
                        help='a town that comes with the package, or an OpenDRIVE file '
                        '(%(default)s, which is never trained on)')
    parser.add_argument('--routes', type=int, default=3)
    parser.add_argument('--lengths', type=float, nargs=2, default=(100.0, 400.0),
                        metavar=('MIN', 'MAX'), help='lengths of the routes, m')
    parser.add_argument('--steps', type=int, default=4000, help='ticks at most for each route')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--vehicles', type=int, default=0, help='other cars')
    parser.add_argument('--size', type=int, nargs=2, default=(800, 600),
                        metavar=('WIDTH', 'HEIGHT'), help="the camera's image")
    parser.add_argument('--storage', choices=sorted(STORAGES), default='mcap')
    parser.add_argument('--compression', choices=sorted(COMPRESSIONS), default='none',
                        help="zstd of the file, of each message, or of mcap's chunks (storage)")
    parser.add_argument('--jpeg', type=int, default=0, metavar='QUALITY',
                        help='write CompressedImage with this quality')
    parser.add_argument('--role-name', default='ego_vehicle')
    parser.add_argument('--steer-bias', type=float, default=0.0,
                        help="is added to the driver's steering, a planted fault")
    options = parser.parse_args(args)
    if options.routes < 1 or options.steps < 1:
        parser.error('--routes and --steps must be at least 1')
    if options.seed < 0 or options.vehicles < 0 or not 0 <= options.jpeg <= 100:
        parser.error('--seed, --vehicles and --jpeg must not be negative, --jpeg at most 100')
    if not 0.0 < options.lengths[0] <= options.lengths[1] < math.inf:
        parser.error('--lengths takes two lengths above 0, the shorter one first')
    if not all(8 <= side <= 4096 for side in options.size):
        parser.error('--size takes two numbers from 8 to 4096')
    if options.storage == 'sqlite3' and options.compression == 'storage':
        parser.error('sqlite3 knows no --compression storage; take file or message')
    return options


def main(args: Sequence[str] | None = None) -> int | str:
    """Run the command; return 0, or a sentence that says what went wrong."""
    options = parse_arguments(args)
    try:
        policy, settings = None, None
        if options.checkpoint is not None:
            policy = Policy()
            policy.load_checkpoint(options.checkpoint)
            settings = trained_task(policy_config(options.checkpoint), TaskSettings())
        ticks = record(
            options.out, routes=options.routes, seed=options.seed,
            town=Town.load(town_path(options.town)),
            lengths=tuple(options.lengths), steps=options.steps, storage=options.storage,
            compression=options.compression, jpeg=options.jpeg, role=options.role_name,
            size=tuple(options.size), vehicles=options.vehicles, policy=policy,
            settings=settings, steer_bias=options.steer_bias,
            progress=lambda done, ticks: print(f'{done}/{options.routes} routes, {ticks} ticks',
                                               end='\r', file=sys.stderr, flush=True))
    except (CheckpointError, OSError, SettingsError, TownError, WriterError) as error:
        return f'{error}'
    except KeyboardInterrupt:
        return 'interrupted; no bag was left'
    print(f'{options.out}: {ticks} ticks')
    return 0


if __name__ == '__main__':
    sys.exit(main())
