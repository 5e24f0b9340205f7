# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The classical driver behind the policy's own interface: observations in, actions out."""

from __future__ import annotations

import numpy as np

from av_td3_ros.driving.action import action_from_control
from av_td3_ros.driving.observation import Observation
from av_td3_ros.simulation.autopilot import Autopilot
from av_td3_ros.simulation.env import TownEnv


class Expert:
    """
    Pure pursuit with a speed profile and a gap keeper, as the yardstick and the demonstrator.

    It drives with the policy's actions, at the policy's decisions, in one environment. What it
    knows of the road and of other cars comes from the simulation, not from the camera: a policy
    that does as well has made up for that by what it sees.
    """

    def __init__(self, env: TownEnv) -> None:
        self._env = env
        self._autopilot: Autopilot | None = None
        self._route: object = None

    def act(self, observation: Observation) -> np.ndarray:
        """Return the action (2,) float32 for where the vehicle is; the observation is not read."""
        task = self._env.task
        if self._autopilot is None or self._route is not task.route:
            assert task.route is not None
            self._autopilot, self._route = Autopilot(task.route), task.route
        return action_from_control(self._autopilot.drive(self._env.world),
                                   self._env.settings.action)
