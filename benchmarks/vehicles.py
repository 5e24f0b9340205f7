#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measures how experience per second grows with the number of vehicles; prints JSON.

For each number N of vehicles, N embedded simulators, N policy nodes and one training node are
started as processes in a ROS domain of their own, with the names and settings of
training.launch.py vehicles:=N, in three ways. ``learning``: in lockstep, an update for each
transition. ``gathering``: in lockstep, without updates: what simulators, vehicles and transport
can do. ``free``: simulators in real time, 20 ticks/s each, that wait for nobody, with updates.

Once every vehicle has sent experience and --warm-up s have passed, what arrives on the training
node's topic is counted for --seconds s, each vehicle's by itself. A run that has not begun after
--patience s is given up, and reported as such. Times are of wall clock: where others use the
machine, the figures are lower bounds.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT), str(ROOT / 'test' / 'nodes'),
                str(ROOT / 'test')]

import measuring  # noqa: E402
from std_msgs.msg import UInt64MultiArray, UInt8MultiArray  # noqa: E402
from support import make_graph  # noqa: E402

from av_td3_ros.driving.driver import Kind  # noqa: E402
from av_td3_ros.ros import experience, qos, weights  # noqa: E402

TRAINER = '/av_td3_trainer'
# As launch_common.py has it; that one needs launch, which is not everywhere.
WORLD = {'/clock': 'clock', '/carla/status': 'status', '/carla/control': 'control',
         '/carla/world_info': 'world_info'}
WAYS = ('learning', 'gathering', 'free')
NEVER = 10**6


def say(text: str) -> None:
    """Say how far the measurement is; the figures alone are on standard output."""
    print(text, file=sys.stderr, flush=True)


def start(graph: Any, executable: str, parameters: dict[str, Any], *arguments: str) -> Any:
    """Start a node with the training's file and, after it and so above it, parameters."""
    given = [f'{name}:={str(value).lower() if isinstance(value, bool) else value}'
             for name, value in parameters.items()]
    return graph.start(executable, arguments=[
        '--params-file', str(ROOT / 'config' / 'training.yaml'), *arguments,
        *(word for text in given for word in ('-p', text))])


def start_vehicle(graph: Any, number: int, way: str, options: argparse.Namespace) -> None:
    """Start a vehicle's simulator and policy node, with a world of its own."""
    role = f'ego_vehicle_{number + 1}'
    space = f'/carla/{role}'
    arguments = ['-r', f'__ns:={space}']
    for name, short in WORLD.items():
        arguments += ['-r', f'{name}:={space}/world/{short}']
    lockstep = way != 'free'
    # The file's section for the simulator is for the bridge's own name.
    start(graph, 'simulator', {
        'role_name': role, 'seed': number, 'camera.width': options.width,
        'camera.height': options.height,
        'synchronous_mode_wait_for_vehicle_control_command': lockstep}, *arguments)
    start(graph, 'policy', {'training': True, 'lockstep': lockstep, 'expect_guard': False},
          *arguments)


def measure(way: str, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures for ``count`` vehicles."""
    with tempfile.TemporaryDirectory() as folder:
        maker = make_graph(Path(folder))
        graph = next(maker)
        try:
            start(graph, 'training', {
                'checkpoint_dir': f'{folder}/checkpoints', 'lockstep': way != 'free',
                'training.threads': options.threads, 'save_at_end': False,
                'algorithm.learning_starts': (
                    NEVER if way == 'gathering' else options.learning_starts)})
            return {'vehicles': count, **count_experience(graph, way, count, options)}
        except AssertionError as error:
            say(str(error))
            return {'vehicles': count, 'failed': str(error).splitlines()[0]}
        finally:
            # What the processes said is for tests.
            with contextlib.redirect_stdout(io.StringIO()):
                next(maker, None)


def count_experience(graph: Any, way: str, count: int, options: argparse.Namespace
                     ) -> dict[str, Any]:
    """Return the rates beside a training node that was started."""
    streams: collections.Counter[int] = collections.Counter()
    updates = [0]

    def heard(message: UInt8MultiArray) -> None:
        item = experience.decode(message.data)
        if item.transition.kind is Kind.STEP:
            streams[item.stream] += 1

    def learned(message: UInt64MultiArray) -> None:
        updates[0] = weights.decode_progress(message.data).updates
    graph.node.create_subscription(UInt8MultiArray, f'{TRAINER}/experience', heard,
                                   qos.EXPERIENCE)
    graph.node.create_subscription(UInt64MultiArray, f'{TRAINER}/progress', learned,
                                   qos.PROGRESS)
    begun = time.monotonic()
    for number in range(count):
        start_vehicle(graph, number, way, options)
    graph.wait_for(lambda: len(streams) == count, f'experience of {count} vehicles',
                   options.patience)
    if way != 'gathering':
        graph.wait_for(lambda: updates[0], 'updates', options.patience)
    took = time.monotonic() - begun
    graph.spin(options.warm_up)
    before, done, begun = dict(streams), updates[0], time.monotonic()
    graph.spin(options.seconds)
    span = time.monotonic() - begun
    rates = sorted((streams[stream] - before[stream]) / span for stream in streams)
    figures = {'experience_per_s': round(sum(rates), 2),
               'of_each': [round(rate, 2) for rate in rates],
               'updates_per_s': round((updates[0] - done) / span, 2),
               'began_after_s': round(took, 1)}
    say(f'{way}, {count} vehicles: {figures}')
    return figures


def parse_arguments(arguments: Any = None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--vehicles', type=int, nargs='+', default=[1, 2, 3, 4],
                        help='numbers of vehicles to measure')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS))
    parser.add_argument('--seconds', type=float, default=20.0, help='time that is counted')
    parser.add_argument('--warm-up', type=float, default=5.0, help='time before that')
    parser.add_argument('--patience', type=float, default=90.0, help='s until a run has begun')
    parser.add_argument('--threads', type=int, default=1, help='of torch while learning')
    parser.add_argument('--learning-starts', type=int, default=100,
                        help='transitions before updates begin')
    parser.add_argument('--width', type=int, default=800, help="width of the camera's pictures")
    parser.add_argument('--height', type=int, default=600, help='height of them')
    return parser.parse_args(arguments)


def main(arguments: Any = None) -> None:
    """Measure, and print one line of JSON."""
    measuring.stop_when_told()
    options = parse_arguments(arguments)
    found: dict[str, list[dict[str, Any]]] = {}
    for way in options.ways:
        found[way] = [measure(way, count, options) for count in options.vehicles]
        first = found[way][0].get('experience_per_s')
        for figures in found[way] if first else ():
            if 'experience_per_s' in figures:
                figures['times_the_first'] = round(figures['experience_per_s'] / first, 2)
    measuring.report('vehicles', {
        'machine': measuring.machine(), 'image': f'{options.width}x{options.height}',
        'threads': options.threads, 'ways': found})


if __name__ == '__main__':
    main()
