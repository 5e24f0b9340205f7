# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The other cars: they follow lanes, keep their distance and take turns at junctions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from av_td3_ros.settings import setting
from av_td3_ros.simulation import flow
from av_td3_ros.simulation.network import LaneNetwork
from av_td3_ros.simulation.town import Town, TownError
from av_td3_ros.simulation.vehicle import Vehicle

FIRST_ID = 2          # actor id of the first of the other cars; the ego vehicle's is 1
_CLEAR = 12.0         # m around the ego vehicle in which no car is spawned


@dataclasses.dataclass(frozen=True)
class TrafficSettings:
    """How the other cars drive."""

    speed: float = setting(9.0, 'Speed that the other cars like to drive on a straight in m/s.',
                           ge=0.5, le=40.0)
    spread: float = setting(0.2, 'Share of that speed by which they differ, up and down.',
                            ge=0.0, le=0.9)


@dataclasses.dataclass(eq=False)
class Others:
    """
    The other cars as arrays of equal length, one entry a car.

    ``ids`` actor ids; ``x``, ``y``, ``z`` in m: the box's centre, on the ground; ``yaw`` in rad;
    ``speed`` in m/s along the heading; ``length``, ``width``, ``height`` in m; ``colour`` an
    integer that picks the paint.
    """

    ids: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    yaw: np.ndarray
    speed: np.ndarray
    length: np.ndarray
    width: np.ndarray
    height: np.ndarray
    colour: np.ndarray


class Traffic:
    """
    Any number of cars that drive through a town at random, without end.

    They keep to their lanes and to the speed of the curves, keep distance to each other and to
    the ego vehicle, and let each other pass at junctions (see :mod:`flow`). ``others`` are
    their poses; the arrays are views that every tick changes.
    """

    def __init__(self, town: Town, settings: TrafficSettings | None = None) -> None:
        """Prepare the town's lanes; :meth:`reset` spawns the cars."""
        self.town = town
        self.settings = settings or TrafficSettings()
        self._network: LaneNetwork | None = None
        self._ego = np.zeros(flow.EGO_SIZE)
        self._tick = 0
        self._allocate(0)

    @property
    def network(self) -> LaneNetwork:
        """Return the lanes of the town as the cars use them, made when first needed."""
        if self._network is None:
            self._network = LaneNetwork(self.town)
        return self._network

    def _allocate(self, count: int) -> None:
        self._cars = np.zeros((flow.CAR_ROWS, count))
        self._plans = np.zeros((count, flow.PLAN_COLUMNS), np.int64)
        self._car_scratch = np.zeros(2 * count, np.int64)
        self._scratch = np.zeros((4, max(count, 3)))
        cars = self._cars
        self.others = Others(
            np.arange(FIRST_ID, FIRST_ID + count), cars[flow.POSE_X], cars[flow.POSE_Y],
            cars[flow.POSE_Z], cars[flow.POSE_YAW], cars[flow.SPEED], cars[flow.LENGTH],
            cars[flow.WIDTH], cars[flow.HEIGHT], np.zeros(count, np.int64))

    def reset(self, count: int, ego: Vehicle, rng: np.random.Generator) -> None:
        """
        Spawn ``count`` standing cars at spawn points away from the ego vehicle.

        Raises :class:`TownError` where the town has fewer free spawn points.
        """
        self._tick = 0
        if not count:
            self._allocate(0)
            return
        points = np.array([point[:2] for point in self.town.spawn_points])
        usable = np.array([place.lane in self.network.index for place in self.town.spawn_places])
        apart = np.hypot(points[:, 0] - ego.x, points[:, 1] - ego.y)
        free = np.flatnonzero(usable & (apart > _CLEAR))
        if count > len(free):
            raise TownError(f'the town {self.town.name} has room for {len(free)} other cars, '
                            f'not for {count}')
        self._allocate(count)
        network, cars, plans = self.network, self._cars, self._plans
        self._lane_scratch = np.zeros(3 * len(network.length), np.int64)
        cars[flow.LENGTH] = rng.uniform(3.9, 4.9, count)
        cars[flow.WIDTH] = 0.395 * cars[flow.LENGTH] + rng.uniform(-0.04, 0.04, count)
        cars[flow.HEIGHT] = rng.uniform(1.42, 1.75, count)
        spread = self.settings.spread
        cars[flow.DESIRED] = self.settings.speed * rng.uniform(1.0 - spread, 1.0 + spread, count)
        plans[:, flow.RANDOM] = rng.integers(2**31, size=count)
        self.others.colour[:] = rng.integers(2**16, size=count)
        for i, spot in enumerate(rng.permutation(free)[:count].tolist()):
            place = self.town.spawn_places[spot]
            self.place(i, network.index[place.lane], place.distance)

    def place(self, i: int, lane: int, distance: float) -> None:
        """Put car ``i`` at rest on a lane of the network, its centre ``distance`` m along it."""
        network, cars, plans = self.network, self._cars, self._plans
        plans[i, 0] = lane
        plans[i, flow.GRANTED], plans[i, flow.BEHIND], plans[i, flow.SINCE] = 1, -1, 0
        cars[flow.SPEED, i] = 0.0
        cars[flow.S, i] = distance - 0.5 * flow.WHEELBASE * cars[flow.LENGTH, i]
        flow.extend_path(i, 1, plans, network.successor_first, network.successors)
        flow.place_car(i, cars, plans, network.samples, network.length, network.first)

    def step(self, ego: Vehicle, dt: float) -> None:
        """Advance all cars by one tick, in view of where the ego vehicle is now."""
        if not len(self._plans):
            return
        self._tick += 1
        vx, vy = ego.map_velocity
        self._ego[:] = (ego.x, ego.y, ego.yaw, vx, vy, ego.settings.length, ego.settings.width)
        n = self._network
        flow.step_traffic(
            self._cars, self._plans, self._ego, self._tick, dt, n.samples, n.length, n.spacing,
            n.first, n.junction, n.bounds, n.successor_first, n.successors, n.conflict_first,
            n.conflicts, n.sibling_first, n.siblings, n.shared, self._lane_scratch,
            self._car_scratch, self._scratch)

    def snapshot(self) -> tuple[Any, ...]:
        """Return a copy of all that the next ticks depend on."""
        return (self._tick, self._cars.copy(), self._plans.copy(), self.others.colour.copy())

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go back to a snapshot with the same number of cars."""
        self._tick = snapshot[0]
        self._cars[:], self._plans[:] = snapshot[1], snapshot[2]
        self.others.colour[:] = snapshot[3]
