#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Shows where the time of an update or an action goes, torch's usual way and this package's.

For each case (updates with images in float32 and bfloat16 and with flat states, as ``updates.py``
has them, and an action of ``TD3Agent.act``) both ways take turns for the time, then torch's
profiler counts each operator: calls, and milliseconds of its own without those of the operators
that it calls. The profiler slows small operators down; ``ms`` is without it. With
``--device cuda`` updates come with CUDA graphs too, and each operator with its milliseconds on the
GPU. One line of JSON.
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

WAYS = {'plain': fast.plain, 'fast': contextlib.nullcontext, 'graphs': contextlib.nullcontext}
CASES = ('images_64_float32', 'images_256_float32', 'images_64_bfloat16', 'images_256_bfloat16',
         'flat_256', 'action')


def updates(case, repeats, device, graphs):
    """Return a call that makes so many updates of an agent of its own."""
    kind, batch, precision = (*case.split('_'), 'float32')[:3]
    if kind == 'flat':
        return ours_on_states(int(batch), repeats, 4000, device, graphs)
    return ours_on_images(precision, int(batch), repeats, 2000, 'nature', device, graphs)


def actions(repeats, device):
    """Return a call that asks an agent for so many actions."""
    torch.manual_seed(0)
    agent = TD3Agent(FEATURES + VECTOR, ACTION, 1.0, seed=0, device=device)
    rng = np.random.default_rng(0)
    seen = {'image': rng.integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': rng.standard_normal(VECTOR, dtype=np.float32)}

    def run():
        for _ in range(repeats):
            agent.act(seen)
    return run


def measure(case, repeats, rounds, most, device):
    """Return milliseconds and operators of one update or action, each way."""
    calls = {}
    for way, context in WAYS.items():
        graphs = way == 'graphs'
        if graphs and (device == 'cpu' or case == 'action'):
            continue
        with context():
            run = actions(repeats, device) if case == 'action' \
                else updates(case, repeats, device, graphs)

        def timed(run=run, context=context):
            with context():
                run()
                if device == 'cuda':
                    torch.cuda.synchronize()
        calls[way] = timed
    times = measuring.in_turn(calls, rounds)
    return {way: {'ms': round(1e3 * statistics.median(times[way]) / repeats, 3),
                  **profiled(call, repeats, most, device)} for way, call in calls.items()}


def profiled(call, repeats, most, device):
    """Return a call's operators: their own milliseconds, the largest first."""
    times = {'ms': 'self_cpu_time_total'}
    activities = [ProfilerActivity.CPU]
    if device == 'cuda':
        times['gpu_ms'] = 'self_device_time_total'
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        call()

    def of(item):
        return {name: getattr(item, time) / 1e3 / repeats for name, time in times.items()}
    operators = sorted((item for item in found.key_averages() if any(of(item).values())),
                       key=lambda item: -max(of(item).values()))
    result = {'operators': {
        item.key: {**{name: round(value, 4) for name, value in of(item).items()},
                   'calls': round(item.count / repeats, 1)} for item in operators[:most]}}
    for name in times:
        result[f'others_{name}'] = round(sum(of(item)[name] for item in operators[most:]), 4)
    return result


def main(arguments=None):
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--case', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--repeats', type=int, default=20, help='updates or actions in a round')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--most', type=int, default=8, help='operators that are named')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    options = parser.parse_args(arguments)
    if options.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: this torch finds no GPU')
    torch.set_num_threads(options.threads)
    result = {'machine': measuring.machine()}
    for case in options.case:
        result[case] = measure(case, options.repeats, options.rounds, options.most,
                               options.device)
    result['load_after'] = measuring.machine()['load']
    measuring.report('profiles', result)


if __name__ == '__main__':
    main()
