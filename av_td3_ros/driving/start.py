# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bringing the car to the start of an episode through what a bridge offers: teleport and goal."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from av_td3_ros.driving.frames import Pose, VehicleState, wrap_angle
from av_td3_ros.driving.route import Route


class Request(enum.Enum):
    """What to send to the bridge now."""

    NOTHING = 'nothing'
    TELEPORT = 'teleport'
    GOAL = 'goal'


class Plan(NamedTuple):
    """Where an episode starts and where it leads."""

    start: Pose
    goal: Pose


class EpisodeStart:
    """
    The steps from one episode to the next, a tick at a time.

    First the car is teleported and its velocity zeroed, until the odometry shows it standing
    at the start; only then is the goal sent, since a route is planned from where the car is
    when the goal arrives. The episode may begin when a route leads from here to there. What
    has no effect within ``patience`` ticks is sent again; after ``attempts`` of these the plan
    is given up, so that an unreachable goal does not stop a training.
    """

    def __init__(self, plan: Plan, *, patience: int = 20, attempts: int = 5,
                 tolerance: float = 2.0, goal_tolerance: float = 8.0) -> None:
        self.plan = plan
        self._patience, self._attempts = patience, attempts
        self._tolerance, self._goal_tolerance = tolerance, goal_tolerance
        self._placed = False
        self._waited: int | None = None
        self._sent = 0

    @property
    def failed(self) -> bool:
        """Whether the plan is to be given up."""
        return self._sent > self._attempts

    def advance(self, state: VehicleState) -> Request:
        """Take a tick's odometry and return what to send."""
        if not self._placed and self._stands_at_start(state):
            self._placed, self._waited, self._sent = True, None, 0
        if self._waited is not None and self._waited < self._patience:
            self._waited += 1
            return Request.NOTHING
        self._waited = 0
        self._sent += 1
        if self._placed and not self._stands_at_start(state):
            self._placed = False
        return Request.GOAL if self._placed else Request.TELEPORT

    def ready(self, state: VehicleState, route: Route | None) -> bool:
        """Whether the car stands at the start and ``route`` leads from there to the goal."""
        if route is None or not self._placed or not self._stands_at_start(state):
            return False
        goal, start = self.plan.goal, self.plan.start
        position = route.locate(state.pose)
        return (math.dist(route.goal, (goal.x, goal.y)) < self._goal_tolerance
                and abs(position.lateral) < self._tolerance
                and math.dist(route.points[0], (start.x, start.y)) < self._goal_tolerance)

    def _stands_at_start(self, state: VehicleState) -> bool:
        start, pose = self.plan.start, state.pose
        return (math.dist((pose.x, pose.y), (start.x, start.y)) < self._tolerance
                and abs(wrap_angle(pose.yaw - start.yaw)) < 0.3 and state.speed < 0.5)
