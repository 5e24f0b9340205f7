# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The route: a polyline in the map frame, and where a vehicle is along it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from av_td3_ros.driving.frames import Pose, wrap_angle


class RouteError(ValueError):
    """The points are no route; the message says why."""


class RoutePosition(NamedTuple):
    """
    A vehicle's place relative to a route.

    distance: arc length from the route's start to the nearest point, m. lateral: signed distance
    to the route, m, positive where the vehicle is to the **left** of it. heading_error: vehicle's
    yaw less the route's direction, rad in [-pi, pi), positive where the vehicle points to the
    left of it.
    """

    distance: float
    lateral: float
    heading_error: float


class Route:
    """
    A polyline to follow.

    Points are (N, 2) in m, map frame, N at least 2 after repeated points are dropped. Raises
    :class:`RouteError` where they are fewer, not finite, or of another shape.
    """

    def __init__(self, points: np.ndarray) -> None:
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise RouteError(f'a route is an array (N, 2), not {points.shape}')
        if not np.isfinite(points).all():
            raise RouteError('the route has points that are not finite')
        if len(points):
            steps = np.hypot(*np.diff(points, axis=0).T)
            points = points[np.concatenate([[True], steps > 1e-3])]
        if len(points) < 2:
            raise RouteError(f'a route needs two points or more, got {len(points)}')
        self.points = points
        self._delta = np.diff(points, axis=0)
        self._step = np.hypot(self._delta[:, 0], self._delta[:, 1])
        self._distance = np.concatenate([[0.0], np.cumsum(self._step)])

    @property
    def length(self) -> float:
        """Arc length in m."""
        return float(self._distance[-1])

    @property
    def goal(self) -> np.ndarray:
        """Return the last point, (2,), m."""
        return self.points[-1]

    def at(self, distance: np.ndarray | float) -> np.ndarray:
        """Return the points (..., 2) at arc lengths in m; beyond an end, that end."""
        return np.stack([np.interp(distance, self._distance, self.points[:, 0]),
                         np.interp(distance, self._distance, self.points[:, 1])], axis=-1)

    def direction(self, distance: float) -> float:
        """
        Return the route's direction in rad at an arc length in m.

        It is that of the chord from 1 m behind to 1 m ahead, so that the corner between two
        segments of a sampled curve does not show as a jump.
        """
        low, high = max(distance - 1.0, 0.0), min(distance + 1.0, self.length)
        x0, x1 = np.interp((low, high), self._distance, self.points[:, 0]).tolist()
        y0, y1 = np.interp((low, high), self._distance, self.points[:, 1]).tolist()
        return math.atan2(y1 - y0, x1 - x0)

    def locate(self, pose: Pose, near: float | None = None, behind: float = 10.0,
               ahead: float = 30.0) -> RoutePosition:
        """
        Return where ``pose`` is along the route.

        With ``near``, an earlier arc length in m, only the stretch from ``behind`` to ``ahead``
        of it is searched: a route that crosses or meets itself does not let the position jump.
        """
        first, last = 0, len(self._delta)
        if near is not None:
            first = min(max(int(np.searchsorted(self._distance, near - behind)) - 1, 0), last - 1)
            last = max(int(np.searchsorted(self._distance, near + ahead)), first + 1)
        delta, step = self._delta[first:last], self._step[first:last]
        start = self.points[first:first + len(delta)]
        to_x, to_y = pose.x - start[:, 0], pose.y - start[:, 1]
        along = np.clip((to_x * delta[:, 0] + to_y * delta[:, 1]) / step, 0.0, step)
        gap_x = to_x - along / step * delta[:, 0]
        gap_y = to_y - along / step * delta[:, 1]
        nearest = int(np.argmin(gap_x * gap_x + gap_y * gap_y))
        side = delta[nearest, 0] * to_y[nearest] - delta[nearest, 1] * to_x[nearest]
        lateral = math.copysign(math.hypot(gap_x[nearest], gap_y[nearest]), side)
        distance = float(self._distance[first + nearest] + along[nearest])
        return RoutePosition(distance, lateral, wrap_angle(pose.yaw - self.direction(distance)))
