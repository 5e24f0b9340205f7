#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Kills a training at random moments and resumes it; compares it with unbroken ones, bit for bit.

Three runs of ``train`` with one seed: two unbroken, and one that SIGKILL ends ``--kills`` times at
moments drawn from its whole length, each time resumed by the same command. Weights, targets,
moments of the optimizers, random states, replay memory and the records of every episode and
evaluation must be equal. Prints one line of JSON; exits 0 only if they are.

    benchmarks/train_interrupted.py --steps 6000 --kills 10 --seed 1
"""

import argparse
import json
from pathlib import Path
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'test' / 'training')]

from run_content import differences, learned, leaves  # noqa: E402
import torch  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--steps', type=int, default=6000)
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, help='folder for the runs (a temporary one)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE')
    return parser.parse_args()


def command(out, arguments):
    # Evaluations and checkpoints come often, so that every part of a run is met by a kill.
    chosen = [f'training.threads={arguments.threads}', 'algorithm.precision=bfloat16',
              'algorithm.learning_starts=1000', 'evaluation.every=2000', 'evaluation.routes=2',
              'evaluation.checkpoint_seconds=5', *arguments.set]
    return [sys.executable, '-m', 'av_td3_ros.training.train', '--out', str(out), '--seed',
            str(arguments.seed), '--steps', str(arguments.steps),
            *(part for pair in chosen for part in ('--set', pair))]


def start(out, arguments):
    with open(f'{out}.log', 'ab') as log:
        return subprocess.Popen(command(out, arguments), cwd=ROOT, stdout=log, stderr=log)


def unbroken(out, arguments):
    begun = time.monotonic()
    if start(out, arguments).wait() != 0:
        sys.exit(f'{out} ended with an error; see {out}.log')
    return time.monotonic() - begun


def killed(out, arguments, length):
    """Run and kill; return the moments of the kills, s after each start."""
    draw, moments = random.Random(arguments.seed), []
    for _ in range(arguments.kills):
        # Reading the package takes some seconds of each start, in which there is nothing to lose.
        moment = draw.uniform(2.0, 10.0 + 2.0 * length / arguments.kills)
        process = start(out, arguments)
        try:
            process.wait(moment)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(round(moment, 2))
    unbroken(out, arguments)
    return moments


def content(out):
    """Return everything of a finished run that must not depend on how often it was stopped."""
    records = {}
    for name in ('episodes', 'evaluations'):
        lines = [json.loads(line) for line in (out / f'{name}.jsonl').read_text().splitlines()]
        # Not the times, nor the losses, which are smoothed from where the process began.
        kept = ('transitions', 'updates', 'return', 'returned', 'ending', 'completion', 'steps')
        records[name] = [{key: line[key] for key in kept if key in line} for line in lines]
    checkpoint = torch.load(out / 'checkpoints' / 'latest', weights_only=True)
    return {**learned(checkpoint), **dict(leaves(records))}


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        length = unbroken(folder / 'one', arguments)
        unbroken(folder / 'two', arguments)
        moments = killed(folder / 'killed', arguments, length)
        one, two, broken = (content(folder / name) for name in ('one', 'two', 'killed'))
        resumed = (folder / 'killed.log').read_text().count('going on at')
    again, after = differences(one, two), differences(one, broken)
    print(json.dumps({
        'benchmark': 'train_interrupted', 'seed': arguments.seed, 'steps': arguments.steps,
        'updates': one['/total_it'], 'compared': len(one), 'kills': len(moments),
        'moments_s': moments, 'resumes': resumed, 'unbroken_s': round(length, 1),
        'same_command_twice_identical': not again, 'killed_identical': not after,
        'differences': (again + after)[:10]}))
    sys.exit(1 if again or after else 0)


if __name__ == '__main__':
    main()
