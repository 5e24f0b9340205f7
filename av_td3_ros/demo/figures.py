# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The demonstration's figures, measured from outside: odometry, collisions and commands.

What a node says about its own driving is not used: completion, arrival, speed and lateral error
come from the odometry and the route, latencies from when messages were sent and received.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Sequence

import numpy as np

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.route import Route

JUMP = 3.0
"""A car that is further than this, m, from where its top speed could have taken it was moved."""

_TOP_SPEED = 40.0

_START_RADIUS = 3.0
_START_SPEED = 0.5


@dataclasses.dataclass
class Drive:
    """
    What was measured of a drive, or of a part of one.

    distance: m driven. seconds: of simulation time. speed: mean, m/s. lateral_mean and
    lateral_max: mean and greatest distance from the route, m. collisions: hits, those within a
    second of each other counted as one.
    """

    ticks: int = 0
    distance: float = 0.0
    seconds: float = 0.0
    lateral_sum: float = 0.0
    lateral_max: float = 0.0
    collisions: int = 0

    @property
    def speed(self) -> float:
        """Mean speed, m/s."""
        return self.distance / self.seconds if self.seconds else 0.0

    @property
    def lateral_mean(self) -> float:
        """Mean distance from the route, m."""
        return self.lateral_sum / self.ticks if self.ticks else 0.0

    def add(self, seconds: float, distance: float, lateral: float) -> None:
        """Take a tick: its length, the way driven in it, and the distance from the route."""
        self.ticks += 1
        self.seconds += seconds
        self.distance += distance
        self.lateral_sum += lateral
        self.lateral_max = max(self.lateral_max, lateral)

    def __add__(self, other: Drive) -> Drive:
        return Drive(self.ticks + other.ticks, self.distance + other.distance,
                     self.seconds + other.seconds, self.lateral_sum + other.lateral_sum,
                     max(self.lateral_max, other.lateral_max),
                     self.collisions + other.collisions)

    def as_dict(self) -> dict[str, float | int]:
        """Return the figures for a report, rounded to what they are good for."""
        return {'distance_m': round(self.distance, 1), 'driven_s': round(self.seconds, 2),
                'mean_speed_mps': round(self.speed, 2),
                'lateral_error_mean_m': round(self.lateral_mean, 3),
                'lateral_error_max_m': round(self.lateral_max, 3),
                'collisions': self.collisions}


class RouteMeter:
    """
    Follows the car along one route.

    It begins when the car first stands at the route's start. :attr:`arrived` is set when less than
    ``goal_radius`` m of the route are left and the car is within ``max_lateral`` m of it;
    :attr:`left` when the car was moved away before. Nothing is measured after either.
    """

    def __init__(self, route: Route, *, goal_radius: float, max_lateral: float) -> None:
        self.route = route
        self._goal_radius, self._max_lateral = goal_radius, max_lateral
        self.begun = self.arrived = self.left = False
        self.drive = Drive()
        self.furthest = 0.0
        self._state: VehicleState | None = None
        self._along = 0.0
        self._last_hit: int | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more is measured."""
        return self.arrived or self.left

    @property
    def completion(self) -> float:
        """How much of the route was driven, in [0, 1]; 1 only for an arrival."""
        if self.arrived:
            return 1.0
        return min(self.furthest / self.route.length, 0.99) if self.begun else 0.0

    def take(self, state: VehicleState) -> None:
        """Take the odometry of a tick."""
        if self.done:
            return
        last, self._state = self._state, state
        if not self.begun or last is None:
            self._begin(state)
            return
        seconds = (state.stamp - last.stamp) * 1e-9
        way = math.dist((state.pose.x, state.pose.y), (last.pose.x, last.pose.y))
        # Ticks may be missing between the two.
        if way > JUMP + _TOP_SPEED * max(seconds, 0.0):
            # One that had not set off yet was on its way to the start.
            if self.drive.distance < _START_RADIUS:
                self._begin(state)
            else:
                self.left = True
            return
        position = self.route.locate(state.pose, near=self._along)
        self._along = position.distance
        self.furthest = max(self.furthest, position.distance)
        self.drive.add(seconds, way, abs(position.lateral))
        if abs(position.lateral) <= self._max_lateral \
                and self.route.length - position.distance < self._goal_radius:
            self.arrived = True

    def _begin(self, state: VehicleState) -> None:
        """Begin if the car stands at the route's start."""
        start = self.route.points[0]
        self.begun = math.dist((state.pose.x, state.pose.y), start) < _START_RADIUS \
            and state.speed < _START_SPEED
        self._along = self.furthest = self.route.locate(
            state.pose, near=0.0, ahead=_START_RADIUS).distance if self.begun else 0.0
        self.drive = Drive()

    def collision(self, stamp: int) -> None:
        """Take a collision event of a time in ns; one hit may bring several."""
        if self.done or not self.begun:
            return
        if self._last_hit is None or stamp - self._last_hit > 1_000_000_000:
            self.drive.collisions += 1
        self._last_hit = stamp

    def split(self) -> Drive:
        """Return what was measured since the last split, and begin anew; the way goes on."""
        part, self.drive = self.drive, Drive()
        return part


def keep_newest(table: dict[int, Any], stamp: int, value: Any, most: int) -> None:
    """Keep a value under its stamp, and of all values the ``most`` that came last."""
    table[stamp] = value
    while len(table) > most:
        del table[next(iter(table))]


class LatencyMeter:
    """
    Time from an image being published to its command being received, by stamp.

    Times are seconds of one clock; each image has one command, a second one is not counted.
    """

    def __init__(self, keep: int = 200) -> None:
        self._keep = keep
        self._published: dict[int, float] = {}
        self._commands: dict[int, float] = {}
        self.samples: list[float] = []

    def image(self, stamp: int, published: float) -> None:
        """Take the time at which the image of a stamp was published."""
        keep_newest(self._published, stamp, published, self._keep)
        self._match(stamp)

    def command(self, stamp: int, received: float) -> None:
        """Take the time at which the command of a stamp was received, before or after."""
        keep_newest(self._commands, stamp, received, self._keep)
        self._match(stamp)

    def _match(self, stamp: int) -> None:
        if stamp in self._published and stamp in self._commands:
            self.samples.append(self._commands.pop(stamp) - self._published.pop(stamp))


def percentiles_ms(samples: Sequence[float]) -> dict[str, float | int | None]:
    """Return p50 and p99 of latencies (s) in ms, None where there are none."""
    if not samples:
        return {'samples': 0, 'p50_ms': None, 'p99_ms': None}
    p50, p99 = np.percentile(np.asarray(samples), [50.0, 99.0]) * 1e3
    return {'samples': len(samples), 'p50_ms': round(float(p50), 2),
            'p99_ms': round(float(p99), 2)}
