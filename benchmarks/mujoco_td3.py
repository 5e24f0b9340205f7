#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Trains the flat agent on a MuJoCo task of gymnasium, to lay beside sfujim/TD3's ``main.py``.

The settings are the paper's: Gaussian noise of 0.1, batches of 256, learning rate 3e-4, one update
for each step after the random ones, ten episodes for an evaluation. Needs ``gymnasium[mujoco]``.
With ``--reference DIR`` (a checkout of github.com/sfujim/TD3) its agent is trained in place of
ours by the same loop, on the same machine. Prints one line of JSON.
"""

import argparse
import importlib.util
import json
from pathlib import Path
import sys
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from av_td3_ros.learning.replay import Batch  # noqa: E402
from av_td3_ros.learning.td3 import TD3Agent  # noqa: E402


class FlatReplay:
    """The last transitions of flat states; what is sampled is uniform, with replacement."""

    def __init__(self, capacity, state_dim, action_dim, seed):
        self._arrays = [np.empty((capacity, size), np.float32)
                        for size in (state_dim, action_dim, 1, state_dim, 1)]
        self._rng, self._capacity, self._added = np.random.default_rng(seed), capacity, 0

    def add(self, *transition):
        for array, value in zip(self._arrays, transition):
            array[self._added % self._capacity] = value
        self._added += 1

    def sample(self, size):
        """Return state, action, reward, next state and whether the episode went on."""
        rows = self._rng.integers(0, min(self._added, self._capacity), size)
        return [torch.from_numpy(array[rows]) for array in self._arrays]


class Ours:
    """This package's agent."""

    def __init__(self, state_dim, action_dim, max_action, arguments):
        config = {'algorithm': {
            'learning_rate': 3e-4, 'batch_size': arguments.batch, 'policy_noise': 0.2 * max_action,
            'noise_clip': 0.5 * max_action}}
        self._agent = TD3Agent(state_dim, action_dim, max_action, use_dict_buffer=False,
                               config=config, seed=arguments.seed)
        self._discount = self._agent.discount

    def act(self, state):
        return self._agent.act(state)

    def update(self, replay, size):
        state, action, reward, following, going_on = replay.sample(size)
        self._agent.update(Batch(observation=state, action=action, reward=reward,
                                 next_observation=following, discount=self._discount * going_on))


class Reference:
    """The agent of sfujim/TD3, which samples as ``(state, action, next, reward, not_done)``."""

    def __init__(self, folder, state_dim, action_dim, max_action):
        spec = importlib.util.spec_from_file_location('reference_td3', folder / 'TD3.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._agent = module.TD3(state_dim, action_dim, max_action,
                                 policy_noise=0.2 * max_action, noise_clip=0.5 * max_action)

    def act(self, state):
        return self._agent.select_action(state)

    def update(self, replay, size):
        class Samples:
            """Its order of fields."""

            @staticmethod
            def sample(size):
                state, action, reward, following, going_on = replay.sample(size)
                return state, action, following, reward, going_on

        self._agent.train(Samples, size)


def evaluate(agent, name, seed, episodes=10):
    """Return the mean return of the policy without noise."""
    env = gymnasium.make(name)
    total = 0.0
    for episode in range(episodes):
        state, _ = env.reset(seed=seed + 100 + episode)
        ended = False
        while not ended:
            state, reward, terminated, truncated, _ = env.step(agent.act(state.astype(np.float32)))
            total, ended = total + float(reward), terminated or truncated
    env.close()
    return total / episodes


def train(arguments):
    """Train as the reference's main.py does; return the figures."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    env = gymnasium.make(arguments.env)
    env.action_space.seed(arguments.seed)
    state_dim, action_dim = env.observation_space.shape[0], env.action_space.shape[0]
    max_action = float(env.action_space.high[0])
    agent = Reference(arguments.reference, state_dim, action_dim, max_action) \
        if arguments.reference else Ours(state_dim, action_dim, max_action, arguments)
    replay = FlatReplay(min(arguments.steps, 1_000_000), state_dim, action_dim, arguments.seed)
    noise = np.random.default_rng(arguments.seed)
    evaluations, learning, updates = [], 0.0, 0
    state, _ = env.reset(seed=arguments.seed)
    start = time.perf_counter()
    for step in range(1, arguments.steps + 1):
        if step <= arguments.random_steps:
            action = env.action_space.sample()
        else:
            action = (agent.act(state.astype(np.float32))
                      + noise.normal(0, 0.1 * max_action, action_dim))
            action = action.clip(-max_action, max_action)
        following, reward, terminated, truncated, _ = env.step(action)
        # An episode cut by the time limit goes on as far as the critic is concerned.
        replay.add(state, action, reward, following, 0.0 if terminated else 1.0)
        state = following
        if step > arguments.random_steps:
            begun = time.perf_counter()
            agent.update(replay, arguments.batch)
            learning, updates = learning + time.perf_counter() - begun, updates + 1
        if terminated or truncated:
            state, _ = env.reset()
        if step % arguments.evaluate_every == 0 or step == arguments.steps:
            evaluations.append([step, round(evaluate(agent, arguments.env, arguments.seed), 1)])
            if not arguments.json:
                sys.stderr.write(f'step {step}: {evaluations[-1][1]}\n')
    return {'benchmark': 'mujoco_td3', 'agent': 'sfujim/TD3' if arguments.reference else 'ours',
            'env': arguments.env, 'steps': arguments.steps, 'seed': arguments.seed,
            'threads': arguments.threads, 'batch': arguments.batch,
            'evaluations': evaluations, 'final_return': evaluations[-1][1],
            'seconds': round(time.perf_counter() - start, 1),
            'update_ms': round(1e3 * learning / max(updates, 1), 3), 'updates': updates}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--env', default='HalfCheetah-v5')
    parser.add_argument('--steps', type=int, default=30_000)
    parser.add_argument('--random-steps', type=int, default=5_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--evaluate-every', type=int, default=5_000)
    parser.add_argument('--reference', type=Path, help='a checkout of github.com/sfujim/TD3')
    parser.add_argument('--json', action='store_true', help='no progress, only the JSON')
    sys.stdout.write(json.dumps(train(parser.parse_args())) + '\n')


if __name__ == '__main__':
    main()
