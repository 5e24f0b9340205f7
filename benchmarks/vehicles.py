#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how experience per second grows with the number of vehicles that feed one training node.

For each number N of vehicles, N embedded simulators, N policy nodes and one training node are
started as processes in a ROS domain of their own, with the names and settings of
training.launch.py vehicles:=N. After --warm-up s since the first experience of the last vehicle,
what arrives on the training node's topic is counted for --seconds s, each vehicle's by itself.
Times are of wall clock: where others use the machine, the figures are lower bounds.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test' / 'nodes'), str(ROOT / 'test')]

from std_msgs.msg import UInt8MultiArray  # noqa: E402
from support import make_graph  # noqa: E402

from av_td3_ros.driving.driver import Kind  # noqa: E402
from av_td3_ros.ros import experience, qos  # noqa: E402

TRAINER = '/av_td3_trainer'
# As launch_common.py has it; that one needs launch, which is not everywhere.
WORLD = {'/clock': 'clock', '/carla/status': 'status', '/carla/control': 'control',
         '/carla/world_info': 'world_info'}
START = 300.0


def start(graph: Any, executable: str, parameters: dict[str, Any], *arguments: str) -> None:
    """Start a node with the training's file and, after it and so above it, parameters."""
    given = [f'{name}:={str(value).lower() if isinstance(value, bool) else value}'
             for name, value in parameters.items()]
    graph.start(executable, arguments=[
        '--params-file', str(ROOT / 'config' / 'training.yaml'), *arguments,
        *(word for text in given for word in ('-p', text))])


def start_vehicle(graph: Any, number: int, options: argparse.Namespace) -> None:
    """Start a vehicle's simulator and policy node, with a world of its own."""
    role = f'ego_vehicle_{number + 1}'
    space = f'/carla/{role}'
    arguments = ['-r', f'__ns:={space}']
    for name, short in WORLD.items():
        arguments += ['-r', f'{name}:={space}/world/{short}']
    lockstep = not options.free
    # The file's section for the simulator is for the bridge's own name.
    start(graph, 'simulator', {
        'role_name': role, 'seed': number, 'camera.width': options.width,
        'camera.height': options.height,
        'synchronous_mode_wait_for_vehicle_control_command': lockstep}, *arguments)
    start(graph, 'policy', {'training': True, 'lockstep': lockstep, 'expect_guard': False},
          *arguments)


def measure(count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures for ``count`` vehicles."""
    with tempfile.TemporaryDirectory() as folder:
        maker = make_graph(Path(folder))
        graph = next(maker)
        try:
            start(graph, 'training', {
                'checkpoint_dir': f'{folder}/checkpoints', 'lockstep': not options.free,
                'algorithm.learning_starts': options.learning_starts, 'save_at_end': False})
            streams: collections.Counter[int] = collections.Counter()

            def heard(message: UInt8MultiArray) -> None:
                item = experience.decode(message.data)
                if item.transition.kind is Kind.STEP:
                    streams[item.stream] += 1
            graph.node.create_subscription(UInt8MultiArray, f'{TRAINER}/experience', heard,
                                           qos.EXPERIENCE)
            for number in range(count):
                start_vehicle(graph, number, options)
            graph.wait_for(lambda: len(streams) == count, f'experience of {count} vehicles', START)
            graph.spin(options.warm_up)
            before, begun = dict(streams), time.monotonic()
            graph.spin(options.seconds)
            span = time.monotonic() - begun
            rates = sorted((streams[stream] - before[stream]) / span for stream in streams)
        finally:
            next(maker, None)
    return {'vehicles': count, 'experience_per_s': round(sum(rates), 2),
            'of_each': [round(rate, 2) for rate in rates], 'seconds': round(span, 1)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--vehicles', type=int, nargs='+', default=[1, 2, 3],
                        help='numbers of vehicles to measure')
    parser.add_argument('--seconds', type=float, default=60.0, help='time that is counted')
    parser.add_argument('--warm-up', type=float, default=10.0, help='time before that')
    parser.add_argument('--free', action='store_true',
                        help='no lockstep: neither simulators nor vehicles wait')
    parser.add_argument('--learning-starts', type=int, default=100,
                        help='transitions before updates begin; 1000000 leaves learning out')
    parser.add_argument('--width', type=int, default=800, help="width of the camera's pictures")
    parser.add_argument('--height', type=int, default=600, help='height of them')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    options = parser.parse_args()
    # What the nodes say is shown when they end; the figures stand alone on standard output.
    with contextlib.redirect_stdout(sys.stderr):
        figures = [measure(count, options) for count in options.vehicles]
    for figure in figures:
        figure['times_the_first'] = round(
            figure['experience_per_s'] / max(figures[0]['experience_per_s'], 1e-9), 2)
    if options.json:
        print(json.dumps({'cpus': os.cpu_count(), 'load_at_end': os.getloadavg()[0],
                          'lockstep': not options.free, 'runs': figures}, indent=2))
        return 0
    print('vehicles  experience/s  times the first  of each')
    for figure in figures:
        print(f"{figure['vehicles']:8d}  {figure['experience_per_s']:12.2f}  "
              f"{figure['times_the_first']:15.2f}  {figure['of_each']}")
    return 0


if __name__ == '__main__':
    sys.exit(main())
