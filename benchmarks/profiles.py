#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Shows where the time of an update or an action goes, torch's usual way and this package's.

For each case (updates with images in float32 and bfloat16 and with flat states, as ``updates.py``
has them, and an action of ``TD3Agent.act``) both ways take turns for the time, then torch's
profiler counts each operator: calls, and milliseconds of its own without those of the operators
that it calls. The profiler slows small operators down; ``ms`` is without it. One line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
import statistics
import sys

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import measuring  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.profiler import profile, ProfilerActivity  # noqa: E402
from updates import ACTION, FEATURES, ours_on_images, ours_on_states, VECTOR  # noqa: E402

from av_td3_ros.learning import fast  # noqa: E402
from av_td3_ros.learning.td3 import TD3Agent  # noqa: E402

WAYS = {'plain': fast.plain, 'fast': contextlib.nullcontext}
CASES = ('images_64_float32', 'images_256_float32', 'images_64_bfloat16', 'images_256_bfloat16',
         'flat_256', 'action')


def updates(case, repeats):
    """Return a call that makes so many updates of an agent of its own."""
    kind, batch, precision = (*case.split('_'), 'float32')[:3]
    if kind == 'flat':
        return ours_on_states(int(batch), repeats, 4000, 'cpu')
    return ours_on_images(precision, int(batch), repeats, 2000, 'nature', 'cpu')


def actions(repeats):
    """Return a call that asks an agent for so many actions."""
    torch.manual_seed(0)
    agent = TD3Agent(FEATURES + VECTOR, ACTION, 1.0, seed=0)
    rng = np.random.default_rng(0)
    seen = {'image': rng.integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': rng.standard_normal(VECTOR, dtype=np.float32)}

    def run():
        for _ in range(repeats):
            agent.act(seen)
    return run


def measure(case, repeats, rounds, most):
    """Return milliseconds and operators of one update or action, either way."""
    calls = {}
    for way, context in WAYS.items():
        with context():
            run = actions(repeats) if case == 'action' else updates(case, repeats)

        def timed(run=run, context=context):
            with context():
                run()
        calls[way] = timed
    times = measuring.in_turn(calls, rounds)
    result = {}
    for way, call in calls.items():
        with profile(activities=[ProfilerActivity.CPU]) as found:
            call()
        operators = sorted((item for item in found.key_averages() if item.self_cpu_time_total),
                           key=lambda item: -item.self_cpu_time_total)
        result[way] = {
            'ms': round(1e3 * statistics.median(times[way]) / repeats, 3),
            'operators': {item.key: {'ms': round(item.self_cpu_time_total / 1e3 / repeats, 4),
                                     'calls': round(item.count / repeats, 1)}
                          for item in operators[:most]},
            'others_ms': round(sum(item.self_cpu_time_total for item in operators[most:])
                               / 1e3 / repeats, 4)}
    return result


def main(arguments=None):
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--case', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--repeats', type=int, default=20, help='updates or actions in a round')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--most', type=int, default=8, help='operators that are named')
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    result = {'machine': measuring.machine()}
    for case in options.case:
        result[case] = measure(case, options.repeats, options.rounds, options.most)
    result['load_after'] = measuring.machine()['load']
    measuring.report('profiles', result)


if __name__ == '__main__':
    main()
