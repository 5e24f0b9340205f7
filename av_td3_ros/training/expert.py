# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The classical driver behind the policy's own interface: observations in, actions out."""

from __future__ import annotations

import numpy as np

from av_td3_ros.driving.action import action_from_control
from av_td3_ros.driving.observation import Observation
from av_td3_ros.simulation.autopilot import Autopilot
from av_td3_ros.simulation.env import TICK, TownEnv

_LAPSE = 1.0, 6.0      # s, the shortest and the longest


class Expert:
    """
    Pure pursuit with a speed profile and a gap keeper, as the yardstick and the demonstrator.

    It drives with the policy's actions, at the policy's decisions, in one environment. What it
    knows of the road and of other cars comes from the simulation, not from the camera: a policy
    that does as well has made up for that by what it sees.
    """

    def __init__(self, env: TownEnv, lapses: float = 0.0) -> None:
        """Drive in ``env``; see :class:`DemonstrationSettings` for ``lapses``."""
        self._env, self._lapses = env, lapses
        self._autopilot: Autopilot | None = None
        self._route: object = None
        self._asleep = 0
        self.exemplary = True
        """Whether the last action is one to imitate: not one of a lapse that made a difference."""

    def act(self, observation: Observation) -> np.ndarray:
        """Return the action (2,) float32 for where the vehicle is; the observation is not read."""
        task = self._env.task
        if self._autopilot is None or self._route is not task.route:
            assert task.route is not None
            self._autopilot, self._route, self._asleep = Autopilot(task.route), task.route, 0
        wanted = self._autopilot.drive(self._env.world)
        driven = self._autopilot.drive(self._env.world, False) if self._lapse() else wanted
        self.exemplary = driven == wanted
        return action_from_control(driven, self._env.settings.action)

    def _lapse(self) -> bool:
        """Return whether other cars are not minded now; drawn from the episode's own seed."""
        if not self._lapses:
            return False
        if self._asleep:
            self._asleep -= 1
            return True
        seconds = sum(_LAPSE) / 2.0
        tick = TICK * self._env.settings.action.repeat
        if self._env.np_random.random() < tick / seconds * self._lapses / (1.0 - self._lapses):
            self._asleep = round(self._env.np_random.uniform(*_LAPSE) / tick)
        return False
