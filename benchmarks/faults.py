#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The fault table over real processes, with measured figures: prints a table, and JSON with --json.

Each row starts its processes, injects its faults, and holds what was measured to what is required.
Times are of wall clock on this machine: where others use it, they are upper bounds. The exit
status is 1 where a row does not hold. ``--scale 1`` is the full form (an hour and more); the tests
run a short form of every row.
"""

import argparse
import json
import os
from pathlib import Path
import signal
import sys
import tempfile
import time
import traceback

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test'), str(ROOT / 'test' / 'nodes'),
                str(ROOT / 'test' / 'driving'),
                str(Path(__file__).resolve().parent)]

import fault_rows as rows  # noqa: E402
import fault_rows_hostile as hostile_rows  # noqa: E402
import fault_rows_stack as stack_rows  # noqa: E402
from gate_sequences import run as gate_sequences  # noqa: E402
from rig import constant_agent, Rig  # noqa: E402
from support import make_graph  # noqa: E402


class Table:
    """Runs rows, and keeps what they measured and whether it is enough."""

    def __init__(self, only):
        self._only, self.rows = only, []

    def wants(self, *names):
        """Whether any of these rows is to be run."""
        return not self._only or any(word in name for name in names for word in self._only)

    def row(self, name, required, measure, holds):
        """Run a row: ``measure()`` returns figures, ``holds(figures)`` whether they do."""
        if not self.wants(name):
            return
        begun, figures, error = time.monotonic(), {}, ''
        try:
            figures = measure()
            passed = bool(holds(figures))
        except (AssertionError, OSError, KeyError, ValueError) as problem:
            passed, error = False, str(problem).strip().splitlines()[0] if str(problem) else repr(
                problem)
            traceback.print_exc()
        self.rows.append({'fault': name, 'required': required, 'figures': figures,
                          'passed': passed, 'error': error,
                          'took_s': round(time.monotonic() - begun, 1)})
        told = ', '.join(f'{key} {value}' for key, value in figures.items()) or error
        print(f"{'ok  ' if passed else 'FAIL'} {name}: {told} (required: {required})", flush=True)


def times(scale, full, least=1):
    """Return how often, at a scale of the full form."""
    return max(least, round(full * scale))


def driving_rows(table, ros, folder, scale):
    """Run the rows in which a car drives behind relays."""
    rig = Rig(ros, folder)
    bound = rows.BOUNDS
    for name in rows.INPUT_FAULTS:
        within = rows.input_bound(name)
        table.row(name, f'brake within {within:.1f} s of the last good one, held',
                  lambda name=name: rows.input_fault(rig, name),
                  lambda f, within=within: f['brake_s'] <= within)
    table.row('guard SIGKILLed', 'drive goes on, warning within 1 s',
              lambda: rows.guard_dies(rig), lambda f: f['warning_s'] <= bound['guard_warning'])
    for name, how in (('policy_node SIGKILLed', signal.SIGKILL),
                      ('policy_node SIGSTOPped', signal.SIGSTOP)):
        table.row(name, 'brake within 0.3 s, handed back', lambda how=how: rows.policy_dies(
            rig, how), lambda f: f['brake_s'] <= bound['policy'])
    table.row('malformed images and messages', 'no crash, no command from them',
              lambda: hostile_rows.malformed(rig, times(scale, 10_000, 110)),
              lambda f: f['commands_from_them'] == 0 and f['refused_heard'] > 0)


def hostile_training_rows(table, ros, folder, scale):
    """Run the row about messages to those who learn."""
    table.row('malformed messages while training', 'no crash, nothing learned or used of them',
              lambda: hostile_rows.malformed_training(ros, folder, times(scale, 10_000, 100)),
              lambda f: f['learned_from_them'] == 0 and f['weights_refused'] > 0)


def swap_rows(table, ros, folder, scale):
    """Run the row in which weights are swapped under load."""
    rig = Rig(ros, folder, **{'gate.steer_rate': 0.0})
    rig.weights_publisher = rows.weights_publisher(rig)
    table.row('weights swapped under load', 'no other output, at most one deadline missed',
              lambda: rows.swaps(rig, times(scale, 1000, 10)),
              lambda f: f['other_outputs'] == 0 and f['deadlines_missed'] <= 1)


def training_rows(table, ros, folder, scale):
    """Run the rows about clock, training node and paths."""
    training = stack_rows.Training(ros, folder)
    table.row('clock an hour ahead, back, to zero, paused', 'no stale command, no transition '
              'across the jump', lambda: stack_rows.clock(
                  training, (3600.0, 0.0, 'zero', 0.0) * times(scale, 3)), lambda f: f[
                      'sent_while_paused'] == 0)
    table.row('trainer killed', 'no missed tick, connected again within 5 s, no older weights',
              lambda: stack_rows.trainer_dies(training, times(scale, 50)),
              lambda f: f['missed'] == 0 and f['connected_again_s'] <= rows.BOUNDS[
                  'trainer_back'])
    outside = folder / 'outside'
    outside.mkdir()
    table.row('checkpoint names that lead out', 'refused, nothing touched outside',
              lambda: {**stack_rows.paths(training, outside),
                       **stack_rows.roots(ros, folder / 'roots')},
              lambda f: f['refused'] == f['names'] and f['roots_refused'] == f['roots'])


def long_rows(table, make, folder, scale):
    """Run the rows about leaks."""
    checkpoint = folder / 'constant.pth'
    constant_agent(0.0).save_checkpoint(checkpoint)
    with make('cycles') as ros:
        table.row('life cycle 100 times', 'no leak',
                  lambda: stack_rows.life_cycles(ros, checkpoint, times(scale, 100, 8)),
                  lambda f: f['threads_grown'] <= 0 and f['files_grown'] <= 0
                  and f['memory_grown'] < 10.0)
    with make('endurance') as ros:
        table.row('30 minutes as fast as it goes', 'memory, threads, files flat; p99 drifts '
                  'under 10 %', lambda: stack_rows.endurance(
                      ros, folder, 1800.0 * max(scale, 0.005), checkpoint),
                  lambda f: stack_rows.flat(f) and f['latency_drift'] < 0.1)


class Graphs:
    """Makes a graph for each group of rows."""

    def __init__(self, folder):
        self._folder = folder

    def __call__(self, name):
        folder = self._folder / name
        folder.mkdir()
        return _Graph(folder)


class _Graph:

    def __init__(self, folder):
        self._made = make_graph(folder)

    def __enter__(self):
        return next(self._made)

    def __exit__(self, *_):
        next(self._made, None)


def main():
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--scale', type=float, default=1.0, help='1: the full form')
    parser.add_argument('--only', nargs='*', help='rows whose name holds one of these')
    parser.add_argument('--json', type=Path, help='file for the figures')
    parser.add_argument('--logs', action='store_true', help="show the nodes' logs")
    options = parser.parse_args()
    table = Table(options.only)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = Graphs(folder)
        if not options.logs:
            # The graphs print their processes' logs at the end.
            sys.modules['support'].Graph.logs = lambda self: ''
        table.row('NaN or infinity at any layer', 'no command that is not finite in a million',
                  lambda: gate_sequences(times(options.scale, 1_000_000, 1000)),
                  lambda f: f['violations'] == 0)
        for group, part, names in (
                ('driving', driving_rows, ('image', 'odometry', 'guard', 'policy_node',
                                           'malformed images and messages')),
                ('hostile', hostile_training_rows, ('malformed messages while training',)),
                ('swaps', swap_rows, ('weights swapped',)),
                ('training', training_rows, ('clock', 'trainer', 'checkpoint names'))):
            if not options.only or any(word in name or name in word for name in names
                                       for word in options.only):
                with make(group) as ros:
                    part(table, ros, folder / group, options.scale)
        if table.wants('life cycle 100 times', '30 minutes as fast as it goes'):
            long_rows(table, make, folder, options.scale)
    if options.json:
        options.json.write_text(json.dumps({
            'scale': options.scale, 'load': os.getloadavg(), 'rows': table.rows}, indent=1) + '\n')
    failed = [row['fault'] for row in table.rows if not row['passed']]
    print(f'{len(table.rows) - len(failed)} of {len(table.rows)} rows hold'
          + (f'; not: {", ".join(failed)}' if failed else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
