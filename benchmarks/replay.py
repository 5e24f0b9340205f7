#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Times the replay memory, in memory and from a memory-mapped directory; prints one JSON line.

The other side is Stable-Baselines3's DictReplayBuffer, where it can be imported, in a process of
its own, with as many rows (56 kB each) unless ``--sb3-rows`` says otherwise; both are measured in
turn in the same run, the median and the 10th and 90th percentile reported. A batch is let go of
before the next one is drawn, or, ``held``, after it, as by a loop that learns: for the other side
it decides whether memory is returned to the system in between. The part ``--kills N`` kills a
process that fills a directory N times at random moments, and reads back every row each time.

Usage: replay.py [--rows 100000] [--directory DIR] [--threads 2] [--kills 0]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
from pathlib import Path
import platform
import shutil
import sys
import tempfile
import time

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks'), str(ROOT / 'test' / 'learning')]

import measuring  # noqa: E402, I100

from av_td3_ros.learning.learner import Learner, LearnerSettings  # noqa: E402
from av_td3_ros.learning.replay import ReplayMemory  # noqa: E402
from av_td3_ros.learning.settings import AlgorithmSettings  # noqa: E402

EPISODE = 500
CACHE = np.random.default_rng(0).integers(0, 255, (64, 84, 84), dtype=np.uint8)


def percentiles(seconds):
    """Return the median, 10th and 90th percentile in milliseconds."""
    low, middle, high = np.percentile(np.array(seconds) * 1e3, [10, 50, 90])
    return {'p50_ms': round(middle, 4), 'p10_ms': round(low, 4), 'p90_ms': round(high, 4)}


class Held:
    """A call whose result is let go of when the next one has been made."""

    def __init__(self, call):
        self._call, self._last = call, None

    def __call__(self):
        """Call, and hold what comes."""
        self._last = self._call()


def in_turn(calls, repeats):
    """
    Time several calls in turn, so that what else the machine does hits all of them.

    In blocks of twenty, as a learner calls one of them and never the other: an allocator that
    is upset by one is not held against the next. Every other round goes the other way round.
    Returns the figures of each, and their ``ratios`` to the first one: the median over the rounds,
    of the processor's time, which other processes hardly take part in, for those of this process.
    """
    times = {name: [] for name in calls}
    cpu = {name: [] for name in calls if not isinstance(calls[name], measuring.Apart)}
    for number in range(max(1, repeats // 20)):
        for name in list(calls)[::1 if number % 2 else -1]:
            for _ in range(2):
                measuring.seconds(calls[name])
            used = time.thread_time()
            times[name] += [measuring.seconds(calls[name]) for _ in range(20)]
            if name in cpu:
                cpu[name].append((time.thread_time() - used) / 20)
    first = np.array(next(iter(cpu.values())))
    figures = {name: percentiles(values) for name, values in times.items()}
    for name, values in cpu.items():
        figures[name]['cpu_ms'] = round(1e3 * float(np.median(values)), 4)
    figures['ratios'] = {name: round(float(np.median(np.array(values) / first)), 3)
                         for name, values in cpu.items()}
    return figures


def grow(memory, rows):
    """Add rows of one vehicle's episodes."""
    vector, action = np.zeros(23, np.float32), np.zeros(2, np.float32)
    for i in range(rows):
        frame = CACHE[i % 64]
        if i % EPISODE == 0:
            memory.begin_episode(0, frame, vector)
        else:
            memory.add(0, action, 1.0, False, i % EPISODE == EPISODE - 1, frame, vector)


def stable_baselines(rows, size, held, threads):
    """Return a call that samples a full buffer of Stable-Baselines3, None where it is missing."""
    try:
        from gymnasium import spaces
        from stable_baselines3.common.buffers import DictReplayBuffer
    except ImportError:
        return None
    torch.set_num_threads(threads)
    observations = spaces.Dict({'image': spaces.Box(0, 255, (4, 84, 84), np.uint8),
                                'vector': spaces.Box(-1, 1, (23,), np.float32)})
    buffer = DictReplayBuffer(rows, observations, spaces.Box(-1, 1, (2,), np.float32),
                              device='cpu', handle_timeout_termination=False)
    for arrays in (buffer.observations, buffer.next_observations):
        for array in arrays.values():
            array[:] = 1
    buffer.pos, buffer.full = 0, True

    def call():
        return buffer.sample(size)
    return Held(call) if held else call


def sampling(memories, size, held, options):
    """Return the figures of sampling from ``memories`` by name, and from the other side's."""
    calls = {name: lambda memory=memory: memory.sample(size) for name, memory in memories.items()}
    if held:
        calls = {name: Held(call) for name, call in calls.items()}
    with contextlib.closing(measuring.Apart(stable_baselines, options.sb3_rows, size, held,
                                            options.threads)) as sb3:
        if sb3.there:
            calls['sb3'] = sb3
        figures = in_turn(calls, options.repeats)
    figures['mapped_over_memory'] = figures.pop('ratios')['mapped']
    if not sb3.there:
        figures['sb3'] = measuring.NO_SB3
    for name in memories if sb3.there else ():
        figures[f'times_faster_{name}'] = round(figures['sb3']['p50_ms']
                                                / figures[name]['p50_ms'], 2)
    return figures


def bytes_of(memory):
    """Return the bytes of a full memory for each transition of its capacity."""
    arrays = (memory._store.frames, memory._store.records, memory._chains.back,
              memory._chains.ahead)
    return round(sum(array.nbytes for array in arrays) / memory.layout.capacity, 1)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--rows', type=int, default=100_000)
    parser.add_argument('--sb3-rows', type=int, help='of 56 kB (default: as many as --rows)')
    parser.add_argument('--directory', help='on the disk to measure (default: a temporary one)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=1000)
    parser.add_argument('--kills', type=int, default=0)
    options = parser.parse_args()
    options.sb3_rows = options.sb3_rows or options.rows
    torch.set_num_threads(options.threads)
    folder = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        print(json.dumps(measure(options, folder)))
    finally:
        shutil.rmtree(folder)


def measure(options, folder):
    """Return all figures."""
    result = {'machine': platform.processor() or platform.machine(), 'cpus': os.cpu_count(),
              'load': [round(value, 1) for value in os.getloadavg()], 'rows': options.rows,
              'sb3_rows': options.sb3_rows,
              'torch': torch.__version__, 'numpy': np.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        result['sb3_version'] = importlib.metadata.version('stable-baselines3')
    on_disk = ReplayMemory(options.rows, directory=folder / 'replay')
    grow(on_disk, options.rows - 5000)
    on_disk.commit()
    commits, adds = [], []
    # Into new blocks of the disk first, then over old ones, as a full ring does.
    for _ in range(20):
        adds.append(measuring.seconds(lambda: grow(on_disk, 1000)) / 1000)
        commits.append(measuring.seconds(on_disk.commit))
    result['commit_1000'] = percentiles(commits)
    result['add'] = percentiles(adds)
    state = on_disk.state_dict()
    on_disk.close()
    opened = []
    for _ in range(5):
        opened.append(measuring.seconds(
            lambda: ReplayMemory(options.rows, directory=folder / 'replay').close()))
    result['reopen'] = percentiles(opened)
    on_disk = ReplayMemory(options.rows, directory=folder / 'replay')
    result['load_state_dict'] = percentiles(
        [measuring.seconds(lambda: on_disk.load_state_dict(state))])
    in_memory = ReplayMemory(options.rows)
    grow(in_memory, options.rows)
    # The first touch of each page of a map is a fault: a one-off, reported by itself.
    result['mapped_first_touch_256'] = percentiles(
        [measuring.seconds(lambda: on_disk.sample(256)) for _ in range(20)])
    for _ in range(options.rows // 100):
        on_disk.sample(256)
    memories = {'memory': in_memory, 'mapped': on_disk}
    for size in (64, 256):
        for held in (False, True):
            result[f'sample_{size}' + '_held' * held] = sampling(memories, size, held, options)
    result['bytes_per_transition'] = bytes_of(in_memory)
    learner = Learner(LearnerSettings(AlgorithmSettings(buffer_size=options.rows)), {})
    # With the rows that it keeps for checkpoints which lie behind.
    result['bytes_per_transition_in_training'] = bytes_of(learner.replay)
    learner.close()
    on_disk.close()
    if options.kills:
        import test_replay_directory  # its helpers stand beside it
        start = time.perf_counter()
        rows = test_replay_directory.kill_loop(folder / 'kills', options.kills, 2000, 100,
                                               seed=int(start * 1e6), longest=0.4)
        result['kills'] = {'survived': options.kills, 'rows': rows,
                           'seconds': round(time.perf_counter() - start, 1)}
    return result


if __name__ == '__main__':
    main()
