# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The environments that one learner drives in, side by side, a round of episodes at a time."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from av_td3_ros.driving.exploration import Exploration
from av_td3_ros.driving.observation import Observation
from av_td3_ros.simulation.env import TownEnv
from av_td3_ros.simulation.town import Town
from av_td3_ros.simulation.traffic import TrafficSettings
from av_td3_ros.training.configuration import RunSettings

_SPREAD = 50.0     # m between the shortest and the longest route of a curriculum's beginning

Driver = Callable[['World', Observation], np.ndarray]


def make_environment(town: Town, settings: RunSettings, seed: int) -> TownEnv:
    """Return the environment of a run's settings in a town."""
    simulation = settings.simulation
    return TownEnv(town, vehicles=simulation.vehicles, seed=seed, settings=settings.task,
                   image_size=(simulation.image_width, simulation.image_height),
                   traffic=TrafficSettings(speed=simulation.traffic_speed),
                   blank_camera=simulation.blank_camera)


class Transition(NamedTuple):
    """What a world's step led to, as the learner takes it, and the environment's ``info``."""

    action: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    frame: np.ndarray
    vector: np.ndarray
    info: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class World:
    """One environment and its exploration noise; ``stream`` is its number for the learner."""

    def __init__(self, env: TownEnv, exploration: Exploration, stream: int) -> None:
        self.env, self.exploration, self.stream = env, exploration, stream
        self.sums: dict[str, float] = {}
        self._begun, self._speeds, self._left_road = 0.0, 0.0, False
        self._observation: Observation = {}     # type: ignore[typeddict-item]

    def begin(self, episode: int, seed: int, options: dict[str, Any] | None) -> None:
        """Start the episode of a number; the seed decides its route and traffic."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._begun, self._speeds, self._left_road = info['time'], 0.0, False
        self.exploration.begin(episode)
        self.sums = {'return': 0.0, 'steps': 0}

    @property
    def frame(self) -> np.ndarray:
        """Return the newest frame that the policy saw, (84, 84) uint8."""
        return self.env.task.frame

    @property
    def vector(self) -> np.ndarray:
        """Return the vector of the newest observation, (23,) float32."""
        return self._observation['vector']

    def step(self, drive: Driver) -> Transition:
        """Drive one decision further."""
        action = drive(self, self._observation)
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        self.sums['return'] += reward
        self.sums['steps'] += 1
        self._speeds += info['speed']
        self._left_road = self._left_road or bool(info['off_road'])
        for name, value in info['terms'].items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        return Transition(action, reward, terminated, truncated, self.frame, self.vector, info)

    def record(self, info: dict[str, Any]) -> dict[str, Any]:
        """
        Return what the finished episode was: return, reward terms in SI units, how it ended.

        ``duration`` is in s of simulation time, ``mean_speed`` in m/s.
        """
        return {**self.sums, 'ending': info['ending'], 'completion': info['completion'],
                'duration': round(info['time'] - self._begun, 3),
                'mean_speed': round(self._speeds / self.sums['steps'], 4),
                'left_road': self._left_road, 'stream': self.stream}


class Worlds:
    """
    The worlds of a run: ``simulation.worlds`` of them, over the towns in turn.

    Their episodes begin together, as a round. An episode's number decides its route, traffic and
    noise, so that a run that goes on with the next round goes on as an unbroken one would.
    """

    def __init__(self, towns: Sequence[Town], settings: RunSettings) -> None:
        self._settings = settings
        seed = settings.algorithm.seed
        count = max(settings.simulation.worlds, len(towns))
        self.worlds = [World(make_environment(towns[i % len(towns)], settings, seed),
                             Exploration(settings.exploration, seed, i), i)
                       for i in range(count)]

    def __len__(self) -> int:
        return len(self.worlds)

    def begin(self, first: int, transitions: int) -> list[World]:
        """Start a round whose first episode has the number ``first``; return its worlds."""
        options = self._stage(transitions)
        for world in self.worlds:
            episode = first + world.stream
            seed = int(np.random.SeedSequence(
                [self._settings.algorithm.seed, episode]).generate_state(1)[0])
            world.begin(episode, seed, options)
        return list(self.worlds)

    def _stage(self, transitions: int) -> dict[str, Any] | None:
        """Return how far the curriculum is: the other cars and the longest route of this round."""
        curriculum, episode = self._settings.curriculum, self._settings.episode
        if not curriculum.transitions:
            return None
        done = min(transitions / curriculum.transitions, 1.0)
        shortest, longest = episode.min_route_length, episode.max_route_length
        # A town has no route of exactly one length.
        reach = min(longest, shortest + max(_SPREAD, done * (longest - shortest)))
        return {'vehicles': round(done * self._settings.simulation.vehicles),
                'lengths': (shortest, reach)}
