#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Counts steps of TownEnv per second of one core, beside gymnasium's CarRacing-v3; prints JSON.

With the camera (256x192) and 20 other cars, without the camera and with 20, and without both. A
step of ours is a tick of 0.05 s with an observation of 4x84x84, one of CarRacing-v3 is 0.02 s with
its 96x96 pixels (``pip install 'gymnasium[box2d]'``). Blocks of steps take turns. Ours repeat what
the classical driver did on a route, and begin anew at its end; CarRacing is driven gently forward.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import statistics
import sys

os.environ.setdefault('SDL_VIDEODRIVER', 'dummy')
os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import gymnasium  # noqa: E402
import measuring  # noqa: E402
import numpy as np  # noqa: E402

from av_td3_ros.simulation import TownEnv  # noqa: E402
from av_td3_ros.simulation.town import default_town, Town  # noqa: E402
from av_td3_ros.training.expert import Expert  # noqa: E402

NO_CAR_RACING = "not measured: CarRacing-v3 cannot be made (pip install 'gymnasium[box2d]')"
SIDES = {'camera_20_cars': (20, False), 'no_camera_20_cars': (20, True),
         'no_camera_no_cars': (0, True)}


class Repeated:
    """An environment that is stepped by the actions of one episode, again and again."""

    def __init__(self, env, actions, seed):
        self._env, self._actions, self._seed, self._step = env, actions, seed, 0
        env.reset(seed=seed)

    def run(self, steps):
        """Make so many steps; what a new episode takes is part of it."""
        for _ in range(steps):
            ended = self._env.step(self._actions[self._step])[2:4]
            self._step += 1
            if any(ended) or self._step == len(self._actions):
                self._env.reset(seed=self._seed)
                self._step = 0


def driven(town, vehicles, blank, size, most):
    """Return TownEnv with the actions of the classical driver on one route of it."""
    env = TownEnv(town, vehicles=vehicles, blank_camera=blank, image_size=size, seed=1)
    expert, actions, ended = Expert(env), [], False
    observation, _ = env.reset(seed=1)
    while not ended and len(actions) < most:
        actions.append(expert.act(observation))
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        ended = terminated or truncated
    return Repeated(env, actions, 1)


def car_racing():
    """Return CarRacing-v3 with actions that keep it going, None where it cannot be had."""
    try:
        env = gymnasium.make('CarRacing-v3', render_mode=None).unwrapped
    except gymnasium.error.Error:
        return None
    # So long are its episodes.
    return Repeated(env, [np.array([0.0, 0.05, 0.0])] * 1000, 1)


def main(arguments=None):
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--steps', type=int, default=200, help='in a block')
    parser.add_argument('--size', type=int, nargs=2, default=(256, 192), help="the camera's")
    parser.add_argument('--episode', type=int, default=1000, help='most steps of an episode')
    options = parser.parse_args(arguments)
    town = Town.load(default_town())
    sides = {name: driven(town, vehicles, blank, tuple(options.size), options.episode)
             for name, (vehicles, blank) in SIDES.items()}
    sides['car_racing'] = car_racing()
    there = {name: side for name, side in sides.items() if side is not None}
    times = measuring.in_turn({name: lambda side=side: side.run(options.steps)
                               for name, side in there.items()}, options.rounds)
    result = {'machine': measuring.machine(), 'camera': list(options.size),
              'steps_per_s': {name: round(options.steps / statistics.median(values))
                              for name, values in times.items()}}
    result['times_faster_than_car_racing'] = NO_CAR_RACING if 'car_racing' not in there else {
        name: measuring.times_faster(times, name, 'car_racing') for name in SIDES}
    measuring.report('town_env', result)


if __name__ == '__main__':
    main()
