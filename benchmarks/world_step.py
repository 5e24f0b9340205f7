#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time the simulated world without its camera: prints one JSON object.

Steps per second of one core for each number of other cars, the microseconds of a step, and what
loading the town and a reset cost. Each figure is the median of several rounds; the process's
own CPU time is given beside the wall clock's, which other processes disturb.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import platform
import statistics
import sys
import time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from av_td3_ros.driving.frames import Control, Pose  # noqa: E402
from av_td3_ros.simulation.town import default_town, Town  # noqa: E402
from av_td3_ros.simulation.world import World  # noqa: E402


def measure(town: Town, vehicles: int, steps: int, rounds: int) -> dict[str, Any]:
    """Return the figures of a world with so many other cars."""
    world = World(town, seed=1, vehicles=vehicles)
    start: Pose = town.spawn_points[0]
    control = Control(throttle=0.3, steer=0.3)
    wall, cpu, resets = [], [], []
    for seed in range(rounds):
        begun = time.perf_counter()
        world.reset(seed=seed, start=start)
        resets.append(time.perf_counter() - begun)
        # The ego vehicle circles where it started: in reach of the traffic all the time.
        wall_begun, cpu_begun = time.perf_counter(), time.process_time()
        for _ in range(steps):
            world.step(control)
        wall.append((time.perf_counter() - wall_begun) / steps)
        cpu.append((time.process_time() - cpu_begun) / steps)
    step = statistics.median(wall)
    return {'vehicles': vehicles, 'steps_per_s': round(1.0 / step),
            'step_us': round(1e6 * step, 2),
            'step_cpu_us': round(1e6 * statistics.median(cpu), 2),
            'reset_ms': round(1e3 * statistics.median(resets), 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--town', default=None, help='OpenDRIVE file (default: the shipped one)')
    parser.add_argument('--vehicles', type=int, nargs='+', default=[0, 5, 20, 50, 100, 200])
    parser.add_argument('--steps', type=int, default=2000, help='steps in a round')
    parser.add_argument('--rounds', type=int, default=7)
    arguments = parser.parse_args()
    path = arguments.town or default_town()
    begun, cpu_begun = time.perf_counter(), time.process_time()
    town = Town.load(path)
    load = time.perf_counter() - begun, time.process_time() - cpu_begun
    figures = [measure(town, count, arguments.steps, arguments.rounds)
               for count in arguments.vehicles]
    print(json.dumps({
        'benchmark': 'world_step', 'town': town.name, 'load_s': round(load[0], 3),
        'load_cpu_s': round(load[1], 3), 'worlds': figures,
        'python': platform.python_version(), 'machine': platform.machine(),
        'cores': os.cpu_count()}))


if __name__ == '__main__':
    main()
