# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The world: a town, the ego vehicle and the other cars, advanced tick by tick."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.simulation.contact import collide
from av_td3_ros.simulation.crossing import MarkingIndex, place_points
from av_td3_ros.simulation.events import Collision, Event, LaneInvasion
from av_td3_ros.simulation.town import Town
from av_td3_ros.simulation.traffic import Others, Traffic, TrafficSettings
from av_td3_ros.simulation.vehicle import Vehicle, VehicleSettings

__all__ = ['Collision', 'EGO_ID', 'Event', 'LaneInvasion', 'Others', 'World']

EGO_ID = 1           # the ego vehicle's actor id; the other cars' follow it
_MASS_PER_AREA = 172.0   # kg/m^2 of footprint: gives a car of 4.7 m by 1.86 m its 1.5 t


class World:
    """
    One town with the ego vehicle and any number of other cars.

    A tick lasts ``dt`` seconds. The same seed, vehicles and commands give the same states, to
    the byte, in every process on one machine. ``ego`` is the vehicle that the commands drive.
    """

    def __init__(self, town: Town, *, seed: int = 0, vehicles: int = 0, dt: float = 0.05,
                 ego: VehicleSettings | None = None,
                 traffic: TrafficSettings | None = None) -> None:
        """Make the world and :meth:`reset` it; raise TownError for more cars than have room."""
        self.town = town
        self.dt = dt
        self.ego = Vehicle(ego)
        self.traffic = Traffic(town, traffic)
        self._markings = MarkingIndex(town.markings)
        self._vehicles = vehicles
        self._rng = np.random.default_rng(seed)
        axles, half = self.ego.settings, 0.5 * self.ego.settings.track
        self._wheels_body = np.array([
            [axles.front_axle, half], [axles.front_axle, -half],
            [-axles.rear_axle, half], [-axles.rear_axle, -half]])
        self._wheels, self._moved = np.zeros((4, 2)), np.zeros((4, 2))
        self._tick_ns = round(dt * 1e9)
        self.reset(seed=seed)

    def reset(self, seed: int | None = None, start: Pose | None = None,
              vehicles: int | None = None) -> None:
        """
        Start anew: the ego vehicle stands at ``start``, or at a spawn point drawn by the seed.

        The other cars are spawned away from it. Without a seed the draws go on from the last
        one's. ``vehicles`` changes the number of other cars from here on.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if vehicles is not None:
            self._vehicles = vehicles
        self.frame = 0
        if start is None:
            points = self.town.spawn_points
            start = points[int(self._rng.integers(len(points)))]
        self.ego.reset(start)
        self.traffic.reset(self._vehicles, self.ego, self._rng)
        count = self._vehicles
        others = self.traffic.others
        self._masses = _MASS_PER_AREA * others.length * others.width
        self._hits = np.zeros(count, np.int64)
        self._impulses = np.zeros((count, 2))
        self.acceleration = (0.0, 0.0, 0.0)
        self._settle()

    def step(self, control: Control) -> list[Event]:
        """Advance by one tick under a command and return what happened to the ego vehicle."""
        ego = self.ego
        before = ego.map_velocity
        self.frame += 1
        ego.step(control, self.dt)
        events: list[Event] = []
        if self._vehicles:
            self.traffic.step(ego, self.dt)
            events += self._contacts()
        self._wheels, self._moved = self._moved, self._wheels
        place_points(ego.state, self._wheels_body, self._wheels)
        crossed = self._markings.crossed(self._moved, self._wheels)
        if crossed:
            events.append(LaneInvasion(crossed))
        after = ego.map_velocity
        self.acceleration = ((after[0] - before[0]) / self.dt, (after[1] - before[1]) / self.dt,
                             0.0)
        return events

    def _contacts(self) -> list[Event]:
        ego, others = self.ego.settings, self.traffic.others
        count = collide(self.ego.state, ego.mass, ego.yaw_inertia, ego.length, ego.width,
                        others.x, others.y, others.yaw, others.speed, others.length,
                        others.width, self._masses, self._hits, self._impulses)
        return [Collision(int(others.ids[self._hits[k]]),
                          (float(self._impulses[k, 0]), float(self._impulses[k, 1]), 0.0))
                for k in range(count)]

    def _settle(self) -> None:
        """Forget where the wheels were: the car was put here, it did not drive."""
        place_points(self.ego.state, self._wheels_body, self._wheels)

    @property
    def time_ns(self) -> int:
        """Return the simulation time since the reset in nanoseconds."""
        return self.frame * self._tick_ns

    @property
    def others(self) -> Others:
        """Return the other cars; their arrays change with every tick."""
        return self.traffic.others

    @property
    def state(self) -> VehicleState:
        """Return the ego vehicle's state at this tick."""
        x, y, yaw, vx, vy, rate = self.ego.state[:6].tolist()
        pose = Pose(x, y, self.town.height(x, y), yaw)
        return VehicleState(self.time_ns, pose, (vx, vy), rate)

    @property
    def off_road(self) -> bool:
        """Whether the ego vehicle's centre or a wheel is off the drivable surface."""
        on_road = self.town.on_road
        return not (on_road(self.ego.x, self.ego.y)
                    and all(on_road(x, y) for x, y in self._wheels.tolist()))

    def teleport(self, pose: Pose) -> None:
        """Put the ego vehicle elsewhere; its velocity in the map frame stays, as in CARLA."""
        self.ego.place(pose)
        self._settle()

    def set_velocity(self, vx: float, vy: float, yaw_rate: float = 0.0) -> None:
        """Set the ego vehicle's velocity in the map frame, m/s, and its yaw rate, rad/s."""
        self.ego.set_map_velocity(vx, vy, yaw_rate)

    def snapshot(self) -> dict[str, Any]:
        """Return everything that the next ticks depend on; a copy."""
        return {'frame': self.frame, 'vehicles': self._vehicles,
                'rng': copy.deepcopy(self._rng.bit_generator.state),
                'ego': self.ego.state.copy(), 'wheels': self._wheels.copy(),
                'acceleration': self.acceleration, 'traffic': self.traffic.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot of a world with the same number of other cars."""
        if snapshot['vehicles'] != self._vehicles:
            raise ValueError('the snapshot has another number of cars')
        self.frame = snapshot['frame']
        self._rng.bit_generator.state = copy.deepcopy(snapshot['rng'])
        self.ego.state[:] = snapshot['ego']
        self._wheels[:] = snapshot['wheels']
        self.acceleration = snapshot['acceleration']
        self.traffic.restore(snapshot['traffic'])
