# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of evaluate_bag, from file to action, on a bag of 800x600 bgra8 pictures."""

import argparse
import json
from pathlib import Path
import resource
import tempfile
import time

import cv2
import numpy as np
import torch

from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.evaluation.assessment import choose_topics, load_candidate, Options
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.bag_writer import BridgeBag, COMPRESSIONS, STORAGES
from av_td3_ros.evaluation.replay import Replay
from av_td3_ros.resources import shipped

TICK = 50_000_000


def write(path, frames, storage, compression):
    """Write a straight drive of noisy pictures; return the bytes of a picture."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 600, 800, 4), dtype=np.uint8)
    with BridgeBag(path, storage=storage, compression=compression) as bag:
        bag.route(TICK, np.stack([np.arange(0.0, 0.5 * frames + 100), np.zeros(
            int(np.ceil(0.5 * frames + 100)))], axis=1))
        for number in range(1, frames + 1):
            bag.odometry(VehicleState(number * TICK, Pose(0.4 * number, 0.1, 0.0, 0.0),
                                      (8.0, 0.0), 0.0))
            bag.image(number * TICK, noise[number % 8])
            bag.command(number * TICK, Control(throttle=0.4))
    return noise[0].nbytes


def measure(path, checkpoint, threads=1):
    """Return pictures, seconds of wall and of the processor for one pass from file to action."""
    candidate, _ = load_candidate(checkpoint, 'A')
    begun, worked = time.perf_counter(), time.process_time()
    with Bag(path) as bag:
        recording = Replay(bag, choose_topics(bag, Options()), [candidate],
                           threads=threads).run()
    assert recording.used.all()
    return recording.count, time.perf_counter() - begun, time.process_time() - worked


def main():
    """Write a bag, go through it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=2000)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--storage', choices=sorted(STORAGES), default='mcap')
    parser.add_argument('--compression', choices=sorted(COMPRESSIONS), default='none')
    parser.add_argument('--threads', type=int, choices=(1, 2), default=1,
                        help='2: the bag is read in a thread of its own')
    parser.add_argument('--checkpoint', type=Path, default=shipped('models', 'policy.pth'))
    parser.add_argument('--directory', type=Path, help='where to write the bag (temporary)')
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        path = Path(folder) / 'bag'
        size = write(path, options.frames, options.storage, options.compression)
        runs = [measure(path, options.checkpoint, options.threads) for _ in range(options.repeats)]
    rates = [count / wall for count, wall, _ in runs]
    figures = {
        'frames': options.frames, 'threads': options.threads, 'storage': options.storage,
        'compression': options.compression,
        'frames_per_second': round(float(np.median(rates)), 1),
        'spread': [round(min(rates), 1), round(max(rates), 1)],
        'frames_per_cpu_second': round(float(np.median(
            [count / work for count, _, work in runs])), 1),
        'bytes_of_pictures': size * options.frames,
        'peak_memory_mb': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f'{name}: {value}')


if __name__ == '__main__':
    main()
