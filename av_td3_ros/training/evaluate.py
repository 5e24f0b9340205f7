# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation on fixed routes, without exploration noise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Callable, Sequence

import numpy as np

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.observation import Observation
from av_td3_ros.simulation.env import TownEnv
from av_td3_ros.simulation.town import Town


@dataclasses.dataclass(frozen=True)
class EpisodeScore:
    """One evaluated route; completion in [0, 1], distances in m, speed in m/s, duration in s."""

    route: int
    ending: str
    completion: float
    distance: float
    duration: float
    mean_speed: float
    mean_lateral: float
    returned: float
    left_road: bool

    @property
    def success(self) -> bool:
        """Arrived without a collision and without ever leaving the road."""
        return self.ending == 'arrival' and not self.left_road


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of several routes."""

    episodes: tuple[EpisodeScore, ...]

    def summary(self) -> dict[str, Any]:
        """Return means with the half width of their 95 % interval (normal approximation)."""
        def mean(values: Sequence[float]) -> tuple[float, float]:
            array = np.asarray(values, dtype=np.float64)
            spread = array.std(ddof=1) / math.sqrt(len(array)) if len(array) > 1 else 0.0
            return round(float(array.mean()), 4), round(1.96 * float(spread), 4)
        found = self.episodes
        endings: dict[str, int] = {}
        for episode in found:
            endings[episode.ending] = endings.get(episode.ending, 0) + 1
        result: dict[str, Any] = {'episodes': len(found), 'endings': endings}
        for name in ('completion', 'success', 'returned', 'mean_speed', 'mean_lateral'):
            result[name], result[f'{name}_interval'] = mean(
                [float(getattr(episode, name)) for episode in found])
        return result


def fixed_routes(town: Town, count: int, seed: int, shortest: float, longest: float
                 ) -> list[tuple[Pose, Pose]]:
    """Return starts and goals that are the same for the same town, seed and lengths in m."""
    rng = np.random.default_rng(seed)
    return [town.sample_route(rng, shortest, longest)[:2] for _ in range(count)]


def evaluate(env: TownEnv, act: Callable[[Observation], np.ndarray],
             routes: Sequence[tuple[Pose, Pose]], seed: int = 0,
             progress: Callable[[int], None] = lambda done: None) -> Evaluation:
    """Drive every route once with ``act``; route i has the episode seed ``seed`` + i."""
    scores = []
    for number, (start, goal) in enumerate(routes):
        observation, info = env.reset(seed=seed + number,
                                      options={'start': start, 'goal': goal})
        begun, returned, speeds, laterals, left = info['time'], 0.0, [], [], False
        ended = False
        while not ended:
            observation, reward, terminated, truncated, info = env.step(act(observation))
            ended = terminated or truncated
            returned += reward
            speeds.append(info['speed'])
            laterals.append(abs(info['lateral']))
            left = left or info['off_road']
        scores.append(EpisodeScore(
            number, info['ending'], info['completion'],
            info['completion'] * info['route_length'], info['time'] - begun,
            float(np.mean(speeds)), float(np.mean(laterals)), returned, bool(left)))
        progress(number + 1)
    return Evaluation(tuple(scores))
