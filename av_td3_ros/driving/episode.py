# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When an episode ends, and how."""

from __future__ import annotations

import dataclasses
import enum

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.route import Route, RoutePosition
from av_td3_ros.settings import setting


@dataclasses.dataclass(frozen=True)
class EpisodeSettings:
    """Bounds of an episode."""

    min_route_length: float = setting(100.0, 'shortest route, m', ge=10.0, le=1e5)
    max_route_length: float = setting(400.0, 'longest route, m', ge=10.0, le=1e5)
    goal_radius: float = setting(
        3.0, 'arrived when less than this is left of the route, m', ge=0.1, le=100.0)
    max_lateral_deviation: float = setting(
        2.5, 'off the road when further than this from the route, m', ge=0.1, le=100.0)
    wheelbase: float = setting(
        2.8, "distance of the vehicle's axles, m, to know which wheels are over the road's edge",
        ge=0.0, le=10.0)
    track: float = setting(1.58, 'distance of its left and right wheels, m', ge=0.0, le=4.0)
    edge_margin: float = setting(
        0.3, "room that the wheels should keep to the road's edge, m", ge=0.0, le=2.0)
    standstill_speed: float = setting(0.3, 'below this the car stands, m/s', ge=0.0, le=10.0)
    standstill_time: float = setting(
        10.0, 'an episode ends after standing for this long, s', ge=0.1, le=1e4)
    max_duration: float = setting(120.0, 'an episode ends after this time, s', ge=1.0, le=1e5)


class Ending(str, enum.Enum):
    """How an episode ended."""

    ARRIVAL = 'arrival'
    COLLISION = 'collision'
    OFF_ROAD = 'off_road'
    STANDSTILL = 'standstill'
    TIME = 'time'

    @property
    def terminated(self) -> bool:
        """Whether the task itself ended; standstill and time only cut the episode off."""
        return self in (Ending.ARRIVAL, Ending.COLLISION, Ending.OFF_ROAD)


class EpisodeMonitor:
    """Watches one episode; times are simulation seconds."""

    def __init__(self, settings: EpisodeSettings) -> None:
        self._settings = settings
        self._begun = 0
        self._moved = 0

    def begin(self, state: VehicleState) -> None:
        """Start at ``state``."""
        self._begun = self._moved = state.stamp

    def ending(self, state: VehicleState, route: Route, position: RoutePosition, *,
               collided: bool, on_road: bool) -> Ending | None:
        """
        Return how the episode ended at this state, or None where it goes on.

        Where several hold at once the gravest is returned: a car that hits something at its goal
        has collided.
        """
        limits = self._settings
        if state.speed >= limits.standstill_speed:
            self._moved = state.stamp
        if collided:
            return Ending.COLLISION
        if not on_road or abs(position.lateral) > limits.max_lateral_deviation:
            return Ending.OFF_ROAD
        if route.length - position.distance < limits.goal_radius:
            return Ending.ARRIVAL
        if (state.stamp - self._moved) * 1e-9 >= limits.standstill_time:
            return Ending.STANDSTILL
        if (state.stamp - self._begun) * 1e-9 >= limits.max_duration:
            return Ending.TIME
        return None
