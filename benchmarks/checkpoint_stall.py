#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What saving behind costs learning: the stall of each save, and updates lost to one every 30 s.

A stall is the time that the learning thread spends in :meth:`BackgroundSaver.save` and in waiting
for the snapshot before the next optimiser step. Rates with and without saves are measured in
turns, so that a machine that changes its speed changes both. Prints one line of JSON.
"""

import argparse
import json
from pathlib import Path
import statistics
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test' / 'learning')]

from agents import batch_for  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from av_td3_ros.learning.background import BackgroundSaver  # noqa: E402
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, RetentionSettings  # noqa: E402
from av_td3_ros.learning.networks import get_cnn_extractor  # noqa: E402
from av_td3_ros.learning.td3 import TD3Agent  # noqa: E402


class TimedAgent(TD3Agent):
    """Counts the time spent waiting for snapshots."""

    waited = 0.0

    def finish_snapshot(self):
        begun = time.perf_counter()
        super().finish_snapshot()
        self.waited += time.perf_counter() - begun


def stalls(agent, saver, batch, count):
    """Return the stall of each of ``count`` saves in ms, and how long each took to be durable."""
    found, durable = [], []
    for _ in range(count):
        agent.waited, begun = 0.0, time.perf_counter()
        future = saver.save(agent)
        called = time.perf_counter() - begun
        while not future.done():
            agent.update(batch)
        future.result()
        durable.append(time.perf_counter() - begun)
        found.append(1e3 * (called + agent.waited))
    return found, durable


def rate(agent, batch, seconds, saver=None, every=30.0):
    """Return updates per second over ``seconds``, with a save every ``every`` s."""
    begun, updates, future = time.perf_counter(), 0, None
    next_save = begun + every / 2
    while (now := time.perf_counter()) < begun + seconds:
        if saver is not None and now >= next_save:
            future, next_save = saver.save(agent), next_save + every
        agent.update(batch)
        updates += 1
    if future is not None:
        future.result()
    return updates / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--architecture', default='nature')
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--saves', type=int, default=100)
    parser.add_argument('--turns', type=int, default=3, help='pairs of 60 s; 0 for none')
    parser.add_argument('--folder', type=Path, help='where to save; a temporary one otherwise')
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    agent = TimedAgent(535, 2, 1.0, *(get_cnn_extractor(4, 512, arguments.architecture)
                                      for _ in range(2)))
    batch = batch_for(agent, arguments.batch)
    for _ in range(4):
        agent.update(batch)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, BackgroundSaver(
            CheckpointFolder(folder, RetentionSettings(keep_last=2))) as saver:
        found, durable = stalls(agent, saver, batch, arguments.saves)
        pairs = [(rate(agent, batch, 60.0), rate(agent, batch, 60.0, saver))
                 for _ in range(arguments.turns)]
        size = next(Path(folder).glob('*.pth')).stat().st_size
    sys.stdout.write(json.dumps({
        'benchmark': 'checkpoint_stall', 'architecture': arguments.architecture,
        'batch': arguments.batch, 'threads': arguments.threads, 'file_mb': round(size / 1e6, 1),
        'saves': len(found),
        'stall_ms': {f'p{p}': round(float(np.percentile(found, p)), 2) for p in (50, 90, 99)},
        'durable_s_median': round(statistics.median(durable), 3),
        'updates_per_s_without_and_with': [[round(a, 2), round(b, 2)] for a, b in pairs],
        'lost_percent_median': round(statistics.median(
            100 * (1 - b / a) for a, b in pairs), 2) if pairs else None}) + '\n')


if __name__ == '__main__':
    main()
