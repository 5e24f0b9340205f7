#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Trains Stable-Baselines3's TD3 on TownEnv, to lay beside a run of ``train``.

MultiInputPolicy with separate feature extractors, SB3's defaults, and this package's network sizes
(512 image features, heads 256-256); the environment, its reward, its episodes' seeds and the
routes of the evaluation are those of ``train`` with config/training.yaml. The state is kept after
each part of the run, so that a run that was stopped goes on; time counts training alone. One JSON
object a line, in the form of ``train``'s evaluations.jsonl, so that both can be laid side by side.

    benchmarks/sb3_town.py --out runs/sb3 --steps 10000 --threads 1

Needs ``stable-baselines3``.
"""

import argparse
import json
from pathlib import Path
import sys
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
import stable_baselines3  # noqa: E402
from stable_baselines3 import TD3  # noqa: E402
import torch  # noqa: E402

from av_td3_ros.simulation.town import default_town, Town, town_path  # noqa: E402
from av_td3_ros.training.configuration import read_run_settings  # noqa: E402
from av_td3_ros.training.evaluate import evaluate, fixed_routes  # noqa: E402
from av_td3_ros.training.train import overrides  # noqa: E402
from av_td3_ros.training.worlds import make_environment  # noqa: E402


class Episodes(gymnasium.Wrapper):
    """Gives each episode the seed that ``train`` gives it, and counts them."""

    def __init__(self, env, seed, episode):
        super().__init__(env)
        self._seed, self.episode = seed, episode

    def reset(self, *, seed=None, options=None):
        episode = int(np.random.SeedSequence([self._seed, self.episode]).generate_state(1)[0])
        self.episode += 1
        return self.env.reset(seed=episode)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('runs/sb3'))
    parser.add_argument('--steps', type=int, default=10_000)
    parser.add_argument('--every', type=int, default=2500, help='steps between evaluations')
    parser.add_argument('--buffer-size', type=int, default=20_000,
                        help="transitions kept (SB3's default of a million takes 56 GB)")
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='a setting of the environment, as in train')
    return parser.parse_args()


def make_model(env, arguments):
    return TD3('MultiInputPolicy', env, buffer_size=arguments.buffer_size, seed=arguments.seed,
               policy_kwargs={'net_arch': [256, 256], 'share_features_extractor': False,
                              'features_extractor_kwargs': {'cnn_output_dim': 512}},
               device='cpu')


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    settings = read_run_settings(ROOT / 'config' / 'training.yaml',
                                 overrides(arguments.set, arguments.seed))
    eval_town, limits = Town.load(town_path('town_b')), settings.episode
    routes = fixed_routes(eval_town, settings.evaluation.routes, settings.evaluation.seed,
                          limits.min_route_length, limits.max_route_length)
    eval_env = make_environment(eval_town, settings, arguments.seed)

    arguments.out.mkdir(parents=True, exist_ok=True)
    model_file, state_file = arguments.out / 'model.zip', arguments.out / 'state.json'
    buffer_file, curve = arguments.out / 'replay.pkl', arguments.out / 'evaluations.jsonl'
    state = {'steps': 0, 'seconds': 0.0, 'episode': 0}
    if state_file.exists():
        state = json.loads(state_file.read_text())
    env = Episodes(make_environment(Town.load(default_town()), settings, arguments.seed),
                   arguments.seed, state['episode'])
    if state['steps']:
        model = TD3.load(model_file, env=env, device='cpu')
        model.load_replay_buffer(buffer_file)
    else:
        model = make_model(env, arguments)

    while state['steps'] < arguments.steps:
        begun, cpu = time.monotonic(), time.process_time()
        part = min(arguments.every, arguments.steps - state['steps'])
        model.learn(part, reset_num_timesteps=False, log_interval=None)
        state.update(steps=model.num_timesteps, episode=env.episode,
                     seconds=state['seconds'] + time.monotonic() - begun,
                     cpu_seconds=state.get('cpu_seconds', 0.0) + time.process_time() - cpu)
        found = evaluate(eval_env, lambda o: model.predict(o, deterministic=True)[0], routes,
                         settings.evaluation.seed).summary()
        line = {'library': f'stable-baselines3 {stable_baselines3.__version__}',
                'seed': arguments.seed, 'threads': arguments.threads,
                'batch': model.batch_size, 'transitions': state['steps'],
                'updates': model._n_updates, 'seconds': round(state['seconds'], 1),
                'cpu_seconds': round(state['cpu_seconds'], 1), **found}
        print(json.dumps(line), flush=True)
        model.save(model_file)
        model.save_replay_buffer(buffer_file)
        with curve.open('a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
        state_file.write_text(json.dumps(state))


if __name__ == '__main__':
    main()
