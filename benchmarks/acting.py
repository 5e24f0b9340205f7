#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Times an action from an observation, beside Stable-Baselines3's ``predict``; prints one JSON line.

Both have the ``nature`` encoder with 512 features and an actor of 256-256, and are given the same
32 images of 4x84x84 with vectors of 23. They take turns in blocks of ``--block`` calls, with
``--threads`` of torch. The first call of a block finds the caches as the other side left them: of
500 it is too few for the 99th percentile, of 1 it is all of them. ``policy`` is what the
policy node calls (:class:`.Policy`), ``agent`` what ``train`` calls.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import statistics
import sys

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import measuring  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from updates import ACTION, FEATURES, stable_baselines_model, VECTOR  # noqa: E402

from av_td3_ros.learning.policy import export_policy, Policy  # noqa: E402
from av_td3_ros.learning.td3 import TD3Agent  # noqa: E402


def shares(times, name):
    """Return the share of SB3's time that a side takes: of percentiles, and block by block."""
    ours, theirs = (measuring.percentiles(np.concatenate(times[side])) for side in (name, 'sb3'))
    return {'p50': round(ours['p50_ms'] / theirs['p50_ms'], 3),
            'p99': round(ours['p99_ms'] / theirs['p99_ms'], 3),
            'median_of_blocks': round(statistics.median(
                np.median(a) / np.median(b) for a, b in zip(times[name], times['sb3'])), 3)}


def measure(sides, calls, block):
    """Return the seconds of each call of each side, in blocks."""
    times = {name: [] for name in sides}

    def run(name):
        def calls_of_block():
            times[name].append([measuring.seconds(sides[name]) for _ in range(block)])
        return calls_of_block
    measuring.in_turn({name: run(name) for name in sides}, max(1, calls // block))
    # The first block is the warm-up.
    return {name: blocks[1:] for name, blocks in times.items()}


def main(arguments=None):
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--calls', type=int, default=5000)
    parser.add_argument('--block', type=int, nargs='+', default=[500, 1])
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    options = parser.parse_args(arguments)
    agent = TD3Agent(FEATURES + VECTOR, ACTION, 1.0,
                     config={'networks': {'cnn': {'architecture': 'nature'}}}, seed=0)
    policy = Policy()
    policy.load(export_policy(agent))
    rng = np.random.default_rng(0)
    seen = [{'image': rng.integers(0, 256, (4, 84, 84), dtype=np.uint8),
             'vector': rng.standard_normal(VECTOR, dtype=np.float32)} for _ in range(32)]
    turns = {name: iter(range(1 << 60)) for name in ('policy', 'agent', 'sb3')}
    sides = {'policy': lambda: policy.act(seen[next(turns['policy']) % 32]),
             'agent': lambda: agent.act(seen[next(turns['agent']) % 32])}
    model = stable_baselines_model(100, images=True)
    if model is not None:
        sides['sb3'] = lambda: model.predict(seen[next(turns['sb3']) % 32], deterministic=True)
    result = {'machine': measuring.machine()}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for block in options.block:
            times = measure(sides, options.calls, block)
            part = result[f'threads_{threads}_block_{block}'] = {
                name: measuring.percentiles(np.concatenate(blocks))
                for name, blocks in times.items()}
            if model is None:
                part['sb3'] = measuring.NO_SB3
            else:
                part['share_of_sb3'] = {name: shares(times, name) for name in ('policy', 'agent')}
    measuring.report('acting', result)


if __name__ == '__main__':
    main()
