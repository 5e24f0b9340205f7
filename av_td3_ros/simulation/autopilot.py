# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ego vehicle's own driver, for ``enable_autopilot``: it knows the world and no camera."""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.driving.frames import Control, FULL_BRAKE, to_body
from av_td3_ros.driving.route import Route
from av_td3_ros.simulation.world import World

_CRUISE = 8.0           # m/s
_LATERAL = 2.0          # m/s^2 in bends
_BRAKING = 2.0          # m/s^2 towards the route's end, bends and cars
_STOP_GAP = 7.0         # m from centre to centre behind a standing car
_SIGHT = np.arange(2.0, 42.0, 2.0)      # m along the route


class Autopilot:
    """
    Follows a route by pure pursuit (Coulter 1992), slows for bends, and stops behind cars.

    One is made for each route; it remembers how far along it the vehicle is.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._distance: float | None = None

    def drive(self, world: World, mind_others: bool = True) -> Control:
        """Return the command for the next tick; as if there were no other cars, where asked."""
        state, route = world.state, self._route
        position = route.locate(state.pose, near=self._distance)
        self._distance = position.distance
        left = route.length - position.distance
        if left < 1.0:
            return FULL_BRAKE
        speed = max(state.velocity[0], 0.0)
        aim = to_body(state.pose, route.at(np.array([
            position.distance + min(max(3.0 + 0.6 * speed, 4.0), 12.0)])))[0]
        curvature = 2.0 * aim[1] / max(float(aim @ aim), 1.0)
        vehicle = world.ego.settings
        # Steer is positive to the right, curvature to the left.
        steer = -math.atan(vehicle.wheelbase * curvature) / vehicle.max_steer_angle
        limit = min(_CRUISE, self._bend_limit(position.distance),
                    self._gap_limit(world) if mind_others else _CRUISE,
                    math.sqrt(2.0 * _BRAKING * max(left - 1.0, 0.0)))
        effort = 0.5 * (limit - speed)
        return Control(throttle=min(max(effort, 0.0), 0.7), brake=min(max(-effort, 0.0), 1.0),
                       steer=min(max(steer, -1.0), 1.0))

    def _bend_limit(self, distance: float) -> float:
        """Return the speed at which every bend in sight can be reached slowly enough."""
        ahead = self._route.at(distance + np.concatenate([[0.0], _SIGHT]))
        steps = np.diff(ahead, axis=0)
        turns = np.abs(np.angle(np.exp(1j * np.diff(np.arctan2(steps[:, 1], steps[:, 0])))))
        slow = _LATERAL / np.maximum(turns / 2.0, 1e-3)     # v^2 in the bend, 2 m between points
        return float(np.sqrt(np.min(slow + 2.0 * _BRAKING * _SIGHT[:-1])))

    def _gap_limit(self, world: World) -> float:
        """Return the speed at which the vehicle can stop behind every car on its way."""
        others = world.others
        if not len(others.x):
            return _CRUISE
        path = self._route.at(self._distance + np.concatenate([[0.0], _SIGHT]))
        gaps = np.hypot(path[:, :1] - others.x, path[:, 1:] - others.y)
        near = gaps.min(axis=1) < 2.0
        # The ego vehicle is none of the others, so that the nearest hit is a car ahead.
        if not near.any():
            return _CRUISE
        gap = 2.0 * float(np.argmax(near))
        return math.sqrt(2.0 * _BRAKING * max(gap - _STOP_GAP, 0.0))
