#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Takes each choice of config/training.yaml back, one at a time, and trains with what is left.

Runs ``train`` once for each variant and seed, one after the other, and prints what its last
evaluation found (routes of a town that is never trained on), one JSON object a line, and a table
in Markdown at the end. A run that is there already is not made anew, one that was stopped goes on,
so that a long table can be made in parts; ``--finished`` makes none and tells what is there.

    benchmarks/ablations.py --out runs/ablations --steps 12000 --seeds 1 2 3
"""

import argparse
import json
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {
    'as configured': (),
    'a decision every tick': ('action.repeat=1',),
    'one-step returns': ('algorithm.n_step=1',),
    'discount 0.99': ('algorithm.discount=0.99',),
    '1,000 random transitions': ('algorithm.learning_starts=1000',),
    'no updates of the critic alone': ('algorithm.actor_starts=0',),
    "the paper's target noise": ('algorithm.policy_noise=0.2', 'algorithm.noise_clip=0.5'),
    'white exploration noise': ('exploration.correlation=0.0',),
    'random actions without direction': ('exploration.random_drive=0.0',),
    "no price for the road's edge": ('reward.edge=0.0',),
    'no room beside the wheels': ('episode.edge_margin=0.0',),
    'random shifts': ('algorithm.random_shift=4',),
    'float32': ('algorithm.precision=float32',),
}
FIGURES = ('completion', 'completion_interval', 'success', 'success_interval', 'mean_speed',
           'mean_lateral')


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('runs/ablations'))
    parser.add_argument('--steps', type=int, default=12_000)
    parser.add_argument('--seeds', type=int, nargs='+', default=[1])
    parser.add_argument('--only', nargs='+', default=list(VARIANTS), choices=list(VARIANTS),
                        metavar='VARIANT', help=f'some of: {", ".join(VARIANTS)}')
    parser.add_argument('--finished', action='store_true', help='train nothing')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='a setting of every run, as in train')
    return parser.parse_args()


def folder(out, variant, seed):
    return out / f"{variant.replace(' ', '_').replace(chr(39), '').replace(',', '')}-{seed}"


def measure(out, variant, seed, steps, chosen):
    """Train, or take what is there; return the figures of the last evaluation."""
    run = folder(out, variant, seed)
    curve = run / 'evaluations.jsonl'
    if not _finished(curve, steps):
        command = [sys.executable, '-m', 'av_td3_ros.training.train', '--out', str(run), '--seed',
                   str(seed), '--steps', str(steps)]
        settings = ['training.threads=1', 'algorithm.precision=bfloat16', 'evaluation.every=4000',
                    'evaluation.routes=20', *VARIANTS[variant], *chosen]
        with open(f'{run}.log', 'ab') as log:
            subprocess.run([*command, *(part for pair in settings for part in ('--set', pair))],
                           cwd=ROOT, stdout=log, stderr=log, check=True)
    last = json.loads(curve.read_text().splitlines()[-1])
    return {'variant': variant, 'settings': VARIANTS[variant], 'seed': seed,
            'transitions': last['transitions'], 'updates': last['updates'],
            'minutes': round(last['seconds'] / 60.0, 1),
            'cpu_minutes': round(last['cpu_seconds'] / 60.0, 1),
            **{name: last[name] for name in FIGURES}}


def _finished(curve, steps):
    return curve.exists() and any(
        json.loads(line)['transitions'] >= steps for line in curve.read_text().splitlines())


def main():
    arguments = parse_arguments()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in arguments.seeds:
        for variant in arguments.only:
            if arguments.finished and not _finished(
                    folder(out, variant, seed) / 'evaluations.jsonl', arguments.steps):
                continue
            found.append(measure(out, variant, seed, arguments.steps, arguments.set))
            print(json.dumps(found[-1]), flush=True)
    print('\n'.join(table(found)), file=sys.stderr)


def table(found):
    """Return lines of Markdown: for each variant the figures by seed."""
    lines = ['| what is different | seeds | completion, % | success, % | mean speed, m/s |',
             '|---|---|---|---|---|']
    for variant in VARIANTS:
        rows = [row for row in found if row['variant'] == variant]
        if rows:
            cells = [', '.join(f'{scale * row[name]:{form}}' for row in rows)
                     for name, scale, form in (('seed', 1, 'd'), ('completion', 100, '.3g'),
                                               ('success', 100, '.0f'), ('mean_speed', 1, '.1f'))]
            lines.append(f"| {' | '.join([variant, *cells])} |")
    return lines


if __name__ == '__main__':
    main()
