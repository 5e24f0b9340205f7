#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Counts the ticks per second of simulator and policy node in lockstep over ROS; prints JSON.

Both are processes of their own in a ROS domain of their own, with config/fastdds.xml: the
simulator waits at each tick of 0.05 s for the command that answers its picture. The sizes of the
picture take turns, with new processes for each round. Real time is 20 ticks/s. Between its two
readings of the simulation's time, this process takes in nothing. ``cpu_ms`` is what a tick takes
of the processor in both nodes, which other programs change less.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path
import statistics
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT), str(ROOT / 'test' / 'nodes'),
                str(ROOT / 'test')]

import measuring  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from support import make_graph  # noqa: E402

POLICY = ROOT / 'models' / 'policy.pth'
START = 100.0
REAL_TIME = 20.0


class Time:
    """The simulation's time, read when asked for."""

    def __init__(self, graph):
        self._graph = graph
        self._heard = graph.subscribe(
            Clock, '/clock', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))

    def read(self, timeout=30.0):
        """Return the time of the next tick, s, and when it was heard."""
        # The one that lies in the queue may be old.
        self._graph.next_of(self._heard, 'a tick', timeout)
        clock = self._graph.next_of(self._heard, 'another tick', timeout).clock
        return clock.sec + 1e-9 * clock.nanosec, time.monotonic()


def cpu_seconds(pid):
    """Return what a process has used of the processor."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(size, options):
    """Return ticks per second with pictures of one size, and each node's ms of a tick."""
    with tempfile.TemporaryDirectory() as folder:
        graphs = make_graph(Path(folder))
        graph = next(graphs)
        try:
            nodes = [graph.start('simulator', {
                'synchronous_mode_wait_for_vehicle_control_command': True, 'seed': 1,
                'vehicles': options.vehicles, 'camera.width': size[0], 'camera.height': size[1]}),
                     graph.start('policy', {'checkpoint': POLICY, 'expect_guard': False})]
            now = Time(graph)
            now.read(START)
            graph.spin(options.warmup)
            begun, heard = now.read()
            used = [cpu_seconds(node.pid) for node in nodes]
            time.sleep(options.seconds)
            ended, last = now.read()
            ticks = (ended - begun) * REAL_TIME
            return ticks / (last - heard), [
                1e3 * (cpu_seconds(node.pid) - before) / ticks
                for node, before in zip(nodes, used)]
        finally:
            # What the processes said is for tests.
            with contextlib.redirect_stdout(io.StringIO()):
                next(graphs, None)


def figures(rounds):
    """Return what is reported of the rounds with one size."""
    rates = [rate for rate, _ in rounds]
    middle = statistics.median(rates)
    cpu = [statistics.median(values) for values in zip(*(used for _, used in rounds))]
    return {'steps_per_s': round(middle, 1), 'least': round(min(rates), 1),
            'most': round(max(rates), 1), 'times_real_time': round(middle / REAL_TIME, 2),
            'cpu_ms': {name: round(value, 2) for name, value in zip(('simulator', 'policy'), cpu)}}


def parse_arguments(arguments=None):
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--sizes', nargs='+', default=['800x600', '256x144'])
    parser.add_argument('--vehicles', type=int, default=0, help='other cars')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--warmup', type=float, default=3.0, help='s after the first tick')
    parser.add_argument('--seconds', type=float, default=5.0)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, and print one line of JSON."""
    measuring.stop_when_told()
    options = parse_arguments(arguments)
    found = {size: [] for size in options.sizes}
    for number in range(options.rounds):
        for size in list(found)[::1 if number % 2 else -1]:
            found[size].append(measure([int(side) for side in size.split('x')], options))
    measuring.report('lockstep', {
        'machine': measuring.machine(), 'vehicles': options.vehicles, 'real_time': REAL_TIME,
        'sizes': {size: figures(rounds) for size, rounds in found.items()}})


if __name__ == '__main__':
    main()
