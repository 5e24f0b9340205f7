# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exploration noise: reproducible from a seed, the stream and the episode's number alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from av_td3_ros.driving.action import ACTION_SIZE
from av_td3_ros.settings import setting


@dataclasses.dataclass(frozen=True)
class ExplorationSettings:
    """Noise on the policy's actions while it learns."""

    expl_noise: float = setting(
        0.2, 'standard deviation of the noise when learning begins', ge=0.0, le=2.0)
    final_noise: float = setting(
        0.05, 'standard deviation of the noise at the end of the decay', ge=0.0, le=2.0)
    decay_steps: int = setting(
        30_000, 'transitions over which the noise decays linearly', ge=1, le=1_000_000_000)
    correlation: float = setting(
        0.8, 'how much of the noise stays from one decision to the next: a car does not feel '
        'noise that changes sign at every step', ge=0.0, le=0.999)
    steer_share: float = setting(
        0.5, 'the noise on steering as a share of that on throttle and brake', ge=0.0, le=1.0)
    random_noise: float = setting(
        0.5, 'standard deviation of the random actions before learning begins', ge=0.0, le=2.0)
    random_drive: float = setting(
        0.4, 'mean throttle of those random actions, so that the car moves', ge=-1.0, le=1.0)


class Exploration:
    """
    Gaussian noise of first order (AR(1)) on actions.

    The noise of an episode depends on the seed, the vehicle's stream and the episode's number
    only: a training that resumes with the next episode goes on exactly as it would have.
    """

    def __init__(self, settings: ExplorationSettings, seed: int, stream: int = 0) -> None:
        self._settings = settings
        self._key = (seed, stream)
        self.begin(0)

    def begin(self, episode: int) -> None:
        """Start the noise of an episode."""
        self._rng = np.random.default_rng([*self._key, episode])
        self._noise = self._rng.standard_normal(ACTION_SIZE)

    def scale(self, transitions: int) -> float:
        """Return the noise's standard deviation after so many transitions of learning."""
        s = self._settings
        done = min(max(transitions, 0) / s.decay_steps, 1.0)
        return s.expl_noise + (s.final_noise - s.expl_noise) * done

    def random_action(self) -> np.ndarray:
        """Return an action (2,) float32 of the phase before learning, mostly forward."""
        s = self._settings
        return self._clip(np.array([0.0, s.random_drive]) + s.random_noise * self._next())

    def perturb(self, action: np.ndarray, transitions: int) -> np.ndarray:
        """Return the policy's action (2,) with noise, clipped to [-1, 1], float32."""
        return self.disturb(action, self.scale(transitions))

    def disturb(self, action: np.ndarray, scale: float) -> np.ndarray:
        """Return an action (2,) with noise of a given size, clipped to [-1, 1], float32."""
        return self._clip(action + scale * self._next())

    def _next(self) -> np.ndarray:
        keep = self._settings.correlation
        fresh = self._rng.standard_normal(ACTION_SIZE)
        self._noise = keep * self._noise + math.sqrt(1.0 - keep * keep) * fresh
        return self._noise * (self._settings.steer_share, 1.0)

    @staticmethod
    def _clip(action: np.ndarray) -> np.ndarray:
        return np.clip(action, -1.0, 1.0).astype(np.float32)
