# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a learner is told of a drive that somebody else drove, from its ticks and commands."""

from __future__ import annotations

from collections import Counter
import math
from typing import Callable

import numpy as np

from av_td3_ros.driving.driver import Driver, Phase, Transition
from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.start import Plan, Request
from av_td3_ros.driving.task import DrivingTask, Tick

_JUMP = 2.0              # m further in a tick than twice the speed explains: it was put elsewhere
_HIT = 1_000_000_000     # ns after a collision before which no episode begins


def _not_asked(_: object) -> Plan:
    raise RuntimeError('a recorded drive has no plan')


def _not_driving(observation: Observation) -> np.ndarray:
    raise RuntimeError('a recorded drive asks no policy')


class RecordedDriver(Driver):
    """
    The driver of :mod:`.driver` with somebody else at the wheel: same task, reward and endings.

    Before each tick :attr:`action` is set to the action (2,) that answered its picture, None where
    there is none. The action of a transition is the mean of those of its ticks, since a policy
    keeps one for all of them. ``tell`` is called with every transition. gap: time between two
    ticks, s, beyond which one is missing.

    An episode begins where the car is on its route, short of the end, and sets off or moves: of a
    driver who waits at a recording's beginning one would learn to stand still. It ends as it does
    live, or is cut where the next tick does not follow from this one; :attr:`cuts` counts why.
    Driving on after an end begins a new episode.
    """

    def __init__(self, task: DrivingTask, tell: Callable[[Transition], None], *,
                 gap: float) -> None:
        super().__init__(task, _not_driving, plans=_not_asked, gap=gap)
        self.action: np.ndarray | None = None
        self.cuts: Counter[str] = Counter()
        self.used = False
        """Whether the last tick was part of an episode; otherwise ``reason`` says why not."""
        self.state: VehicleState | None = None
        self._tell = tell
        self._kept: list[np.ndarray] = []
        self._hit: int | None = None

    def set_route(self, route: Route | None) -> None:
        """Take a new route; the same one again, as a bridge may publish it, changes nothing."""
        if route is not None and self.route is not None \
                and np.array_equal(route.points, self.route.points):
            return
        super().set_route(route)

    def cut(self, reason: str) -> None:
        """End the open episode here, if there is one: what follows does not belong to it."""
        for transition in self._abandon():
            self.cuts[reason] += 1
            self._tell(transition)

    def reset(self) -> list[Transition]:
        """Forget what was before, as time was set back."""
        self.cut('time was set back')
        self.state = self._hit = None
        return super().reset()

    def observe_alone(self) -> list[Transition]:
        """Take a picture without odometry: a tick that is missing."""
        self.used = False
        self.cut('no odometry for a picture')
        return super().observe_alone()

    def observe(self, state: VehicleState, image: np.ndarray, encoding: str = 'bgra8'
                ) -> tuple[list[Transition], Request]:
        """Take a tick and tell of it; raise ImageError for a picture that cannot be used."""
        self.used = False
        broken = self._broken(state)
        if broken:
            self.cut(broken)
        self.state = state
        if self._collided:
            self._hit = state.stamp
        if self._kept:
            self._action = np.mean(np.stack(self._kept), axis=0, dtype=np.float32)
        try:
            transitions, request = super().observe(state, image, encoding)
        except ImageError:
            self.cut('a picture cannot be used')
            raise
        driving = self.phase is Phase.DRIVING
        self.used = bool(transitions) or driving
        for transition in transitions:
            self._tell(transition)
            self._kept = []
        if driving:
            if self.action is None:
                self.cut('no recorded command')
            else:
                self._kept.append(self.action)
        return [], request

    def _broken(self, state: VehicleState) -> str:
        """Return why this tick does not go on from the one before, empty where it does."""
        before = self.state
        if self._rerouted:
            return 'another route'
        if before is None:
            return ''
        seconds = (state.stamp - before.stamp) * 1e-9
        if seconds > self._gap:
            return 'ticks are missing'
        moved = math.dist((state.pose.x, state.pose.y), (before.pose.x, before.pose.y))
        if moved > 2.0 * max(state.speed, before.speed) * seconds + _JUMP:
            return 'the car was put elsewhere'
        return ''

    def _approach(self, tick: Tick, transitions: list[Transition]) -> Request:
        """Begin an episode where one may begin."""
        reason = self._not_yet(tick)
        self._rerouted = False
        if reason:
            self._stop(reason)
        else:
            transitions.append(self._begin(tick))
        return Request.NOTHING

    def _not_yet(self, tick: Tick) -> str:
        """Return why no episode may begin at this tick, empty where one may."""
        route, state, limits = self.route, tick.state, self.task.settings.episode
        if route is None:
            return 'no route'
        if self.action is None:
            return 'no recorded command'
        if self._hit is not None and state.stamp - self._hit < _HIT:
            return 'just after a collision'
        position, on_road = route.locate(state.pose), self.task.on_road
        if route.length - position.distance < limits.goal_radius:
            return "at the route's end"
        if abs(position.lateral) > limits.max_lateral_deviation \
                or on_road is not None and not on_road(state.pose.x, state.pose.y):
            return 'away from the route or the road'
        if state.speed < limits.standstill_speed and self.action[1] <= 0.0:
            return 'standing before it sets off'
        return ''
