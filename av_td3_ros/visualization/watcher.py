# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the policy sees and earns, known from outside: from its inputs, or from its experience.

While training, the experience that a vehicle sends tells both to the bit. While driving nobody
tells; there the policy node's own driver is run along with it on the same pictures and odometry.
It is the same code with the same settings, so it sees the same, but which of ``action.repeat``
pictures brings a decision can be another one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from av_td3_ros.driving.driver import Driver, Kind, Transition
from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.image import FrameStack, ImageError
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.pairing import Answer
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.driving.ticks import Picture, Ticks


class Decision(NamedTuple):
    """
    What a decision of the policy was based on.

    terms: share of each reward term in what the step before it earned, {} at a beginning.
    """

    stamp: int
    observation: Observation
    terms: dict[str, float]
    title: str


class Shadow:
    """The policy node's driver, run along with it; what it would command goes nowhere."""

    def __init__(self, task: TaskSettings) -> None:
        self._reward = task.reward
        self._driver = Driver(DrivingTask(task), _no_policy)
        self._ticks = Ticks(self._driver, lambda transitions: None)

    def set_route(self, route: Route | None) -> None:
        """Take the route; None where there is none that can be used."""
        self._driver.set_route(route)

    def add_picture(self, stamp: int, picture: Picture) -> list[Answer]:
        """Take a picture; return those that are complete, or lost their odometry."""
        return self._ticks.add_picture(stamp, picture)

    def add_state(self, state: VehicleState) -> list[Answer]:
        """Take an odometry; return the pictures that are complete now."""
        return self._ticks.add_state(state)

    def observe(self, answer: Answer) -> Decision | None:
        """Take a tick; return the decision that it brings, None where it brings none."""
        driver, before = self._driver, self._driver.observation
        try:
            self._ticks.observe(answer)
        except ImageError:
            return None
        if driver.observation is None or driver.observation is before:
            return None
        return Decision(answer.stamp, driver.observation, driver.terms.weighted(self._reward),
                        driver.phase.value)


class Told:
    """A vehicle's decisions as its experience tells them."""

    def __init__(self, task: TaskSettings) -> None:
        self._reward = task.reward
        self._stack = FrameStack()

    def take(self, transition: Transition) -> Decision | None:
        """Take an experience; None where it holds no observation to decide by."""
        if transition.kind is not Kind.STEP:
            self._stack.clear()
        if transition.kind is Kind.ABANDON:
            return None
        # The first that is heard of an episode under way fills the stack, as a beginning does.
        stack = self._stack.push(transition.frame)
        terms = {} if transition.kind is Kind.BEGIN else transition.terms.weighted(self._reward)
        title = f'training, episode {transition.episode}'
        if transition.ending is not None:
            title += f': {transition.ending.value}'
        return Decision(transition.stamp, Observation(image=stack, vector=transition.vector),
                        terms, title)


def _no_policy(observation: Any) -> np.ndarray:
    raise RuntimeError('nothing is decided here')
