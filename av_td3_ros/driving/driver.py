# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The driver: what the policy node does with each tick, without ROS and without a network.

A tick is taken in two steps, :meth:`Driver.observe` and :meth:`Driver.decide`, so that a node in
lockstep can send what was learned and wait for the learner before it lets the policy act.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Callable, NamedTuple

import numpy as np

from av_td3_ros.driving.action import ACTION_SIZE, ActionError, control_from_action
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.exploration import Exploration
from av_td3_ros.driving.frames import Control, VehicleState
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.start import EpisodeStart, Plan, Request
from av_td3_ros.driving.task import DrivingTask, Tick


class Kind(enum.IntEnum):
    """What a transition tells the learner."""

    BEGIN = 0
    STEP = 1
    ABANDON = 2


class Transition(NamedTuple):
    """
    One message to the learner.

    BEGIN: an episode's first observation. STEP: an action, what it earned and the observation that
    followed. ABANDON: the open episode has no end that anything could be learned from.
    """

    kind: Kind
    episode: int
    stamp: int
    frame: np.ndarray
    vector: np.ndarray
    action: np.ndarray = np.zeros(ACTION_SIZE, dtype=np.float32)
    reward: float = 0.0
    terms: RewardTerms = RewardTerms()
    ending: Ending | None = None

    @property
    def terminated(self) -> bool:
        """Whether the episode ended here by something that driving brought about."""
        return self.ending is not None and self.ending.terminated

    @property
    def truncated(self) -> bool:
        """Whether it was cut off here from outside."""
        return self.ending is not None and not self.ending.terminated


class Phase(enum.Enum):
    """What the driver is at."""

    WAITING = 'waiting for a route'
    STARTING = 'going to the start'
    DRIVING = 'driving'
    ARRIVED = 'arrived'


class EpisodeResult(NamedTuple):
    """
    A finished episode.

    completion: in [0, 1]. distance: m along the route. duration: s of simulation time. returned:
    undiscounted return. terms: each reward term's sum, in its SI unit.
    """

    episode: int
    ending: Ending
    completion: float
    distance: float
    duration: float
    returned: float
    terms: dict[str, float]


STOP = Control(brake=1.0)

# Ticks without odometry of their own for which the last command is repeated before braking.
_TOLERATED = 2


class Driver:
    """
    Drives routes with a policy.

    policy: from an observation to an action (2,) in [-1, 1]. plans: from an episode's number to
    its start and goal, for training; None drives whatever route is given, and brakes at its end.
    exploration: noise for training, None for none. gap: time without a tick, s, that ends an
    episode, since nothing may be learned across it.
    """

    def __init__(self, task: DrivingTask, policy: Callable[[Observation], np.ndarray], *,
                 plans: Callable[[int], Plan] | None = None,
                 exploration: Exploration | None = None, first_episode: int = 0,
                 gap: float = 0.5) -> None:
        self.task = task
        self.policy = policy
        self._plans = plans
        self._exploration = exploration
        self._gap = gap
        self.episode = first_episode
        self.route: Route | None = None
        self.phase = Phase.WAITING
        self.result: EpisodeResult | None = None
        self.observation: Observation | None = None
        self.reason = 'no picture yet'
        self._start: EpisodeStart | None = None
        self._control = STOP
        self._action = np.zeros(ACTION_SIZE, dtype=np.float32)
        self._due = False
        self._alone = 0
        self._last: int | None = None
        self._collided = False
        self._rerouted = False
        self.terms = RewardTerms()

    @property
    def plan(self) -> Plan | None:
        """Where the episode starts and leads, once it is known."""
        return None if self._start is None else self._start.plan

    def set_route(self, route: Route | None) -> None:
        """Take a new route; None where the one received cannot be used."""
        self.route = route
        self._rerouted = True

    def set_collided(self) -> None:
        """Take note of a collision; it counts for the next tick."""
        self._collided = True

    def reset(self) -> list[Transition]:
        """Forget the open episode, as after a jump of the clock, and start anew."""
        transitions = self._abandon()
        self._last = None
        self._alone = 0
        self._start = None
        self._collided = False
        self.phase = Phase.WAITING
        self._stop('starting anew')
        return transitions

    def observe_alone(self) -> list[Transition]:
        """Take a picture without odometry: repeat the last command, then brake."""
        self._alone += 1
        self._due = False
        if self._alone <= _TOLERATED:
            return []
        transitions = self._abandon()
        self._stop('no odometry for the pictures')
        return transitions

    def observe(self, state: VehicleState, image: np.ndarray, encoding: str = 'bgra8'
                ) -> tuple[list[Transition], Request]:
        """
        Take a tick; return what the learner must know and what the bridge must be asked for.

        Raises ImageError for a picture that cannot be used; the tick then counts as not seen.
        """
        transitions: list[Transition] = []
        if self._last is not None and state.stamp - self._last > self._gap * 1e9:
            transitions += self._abandon()
        self._last = state.stamp
        self._alone = 0
        tick = Tick(state, image, encoding, self._collided)
        self._due = False
        request = Request.NOTHING
        if self.phase is Phase.DRIVING:
            transitions += self._drive(tick)
        elif self._plans is None:
            transitions += self._begin_given(tick)
        else:
            request = self._approach(tick, transitions)
        # Kept where the picture was refused: the next tick still knows of it.
        self._collided = False
        return transitions, request

    def decide(self, learned: int = 0, random: bool = False) -> Control:
        """
        Return the command for the tick just observed.

        learned: transitions that the learner has, by which the exploration decays. random: act at
        random, as before learning begins. An action that is not finite brakes.
        """
        if not self._due:
            return self._control
        self._due = False
        if self._exploration is not None and random:
            action = self._exploration.random_action()
        else:
            action = np.asarray(self.policy(self.observation), dtype=np.float32)
            if self._exploration is not None:
                action = self._exploration.perturb(action, learned)
        try:
            self._control = control_from_action(action, self.task.settings.action)
        except ActionError as error:
            self._stop(str(error))
            return self._control
        self._action = np.clip(action, -1.0, 1.0)
        self.reason = ''
        return self._control

    def _drive(self, tick: Tick) -> list[Transition]:
        if self._plans is None and self._rerouted:
            if self.route is None:
                self.phase = Phase.WAITING
                self._stop('the route is gone')
                return self._abandon()
            self.task.change_route(self.route, tick.state)
        self._rerouted = False
        step = self.task.advance(tick)
        if step is None:
            return []
        self.terms = step.terms
        self._count(step.terms, step.reward)
        self.observation = step.observation
        self._due = True
        ending = step.ending
        if self._plans is None:
            if ending is Ending.ARRIVAL:
                self.phase = Phase.ARRIVED
                self._finish(ending, tick.state)
                self._stop('arrived')
            return []
        transition = Transition(
            Kind.STEP, self.episode, tick.state.stamp, self.task.frame,
            step.observation['vector'], self._action, step.reward, step.terms, ending)
        if ending is not None:
            self._finish(ending, tick.state)
            self._stop(f'episode ended by {ending.value}')
            self.episode += 1
            self.phase = Phase.WAITING
            self._start = None
        return [transition]

    def _approach(self, tick: Tick, transitions: list[Transition]) -> Request:
        assert self._plans is not None
        if self._start is None or self._start.failed:
            if self._start is not None:
                self.episode += 1
            self._start = EpisodeStart(self._plans(self.episode))
            self.phase = Phase.STARTING
        self._stop('going to the start of the next episode')
        request = self._start.advance(tick.state)
        if not self._start.ready(tick.state, self.route):
            return request
        transitions.append(self._begin(tick))
        return Request.NOTHING

    def _begin_given(self, tick: Tick) -> list[Transition]:
        if self.route is None or (self.phase is Phase.ARRIVED and not self._rerouted):
            self._stop('arrived' if self.phase is Phase.ARRIVED else 'no route')
            return []
        self._begin(tick)
        return []

    def _begin(self, tick: Tick) -> Transition:
        assert self.route is not None
        self.observation = self.task.begin(tick, self.route)
        if self._exploration is not None:
            self._exploration.begin(self.episode)
        self.phase, self._due, self._rerouted = Phase.DRIVING, True, False
        self._begun, self._returned = tick.state.stamp, 0.0
        self._sums = dict.fromkeys((f.name for f in dataclasses.fields(RewardTerms)), 0.0)
        self.result = None
        return Transition(Kind.BEGIN, self.episode, tick.state.stamp, self.task.frame,
                          self.observation['vector'])

    def _abandon(self) -> list[Transition]:
        if self.phase is not Phase.DRIVING or self.observation is None:
            return []
        self.phase, self._start = Phase.WAITING, None
        episode = self.episode
        if self._plans is None:
            return []
        self.episode += 1
        return [Transition(Kind.ABANDON, episode, self._last or 0, self.task.frame,
                           self.observation['vector'])]

    def _stop(self, reason: str) -> None:
        self._control, self._due, self.reason = STOP, False, reason
        self._action = np.array([0.0, -1.0], dtype=np.float32)

    def _count(self, terms: RewardTerms, reward: float) -> None:
        self._returned += reward
        for name in self._sums:
            self._sums[name] += getattr(terms, name)

    def _finish(self, ending: Ending, state: VehicleState) -> None:
        route, position = self.task.route, self.task.position
        assert route is not None and position is not None
        self.result = EpisodeResult(
            self.episode, ending,
            1.0 if ending is Ending.ARRIVAL else min(position.distance / route.length, 1.0),
            position.distance, (state.stamp - self._begun) * 1e-9, self._returned,
            dict(self._sums))
