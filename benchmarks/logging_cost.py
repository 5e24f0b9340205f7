# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What TensorBoard's event files cost: the share of a training's time that goes into them.

Learns from made-up experience with the networks, batch and settings of config/training.yaml, and
counts the processor's time of updates and of the log.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import tempfile
import time

import numpy as np

from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.telemetry.training_log import TrainingLog
from av_td3_ros.resources import shipped
from av_td3_ros.training.configuration import full_config, OTHER_SECTIONS, read_run_settings


class CountedLog(TrainingLog):
    """A log that counts the processor's time: waiting for other programs is no cost of its own."""

    clock = staticmethod(time.process_time)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--transitions', type=int, default=2500)
    parser.add_argument('--length', type=int, default=100, help='steps of an episode')
    parser.add_argument('--every', type=int, default=200, help='transitions between two records')
    parser.add_argument('--examine-every', type=int, default=2000)
    parser.add_argument('--precision', default='float32')
    return parser.parse_args()


def main() -> None:
    """Measure, and print one line of JSON."""
    options = parse_arguments()
    settings = read_run_settings(shipped('config', 'training.yaml'), {
        'training.threads': 1, 'algorithm.learning_starts': 100, 'algorithm.actor_starts': 0,
        'algorithm.precision': options.precision})
    learner = Learner(settings.learner, full_config(settings), other_sections=OTHER_SECTIONS)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (64, 84, 84), dtype=np.uint8)
    learned = 0.0
    with tempfile.TemporaryDirectory() as folder:
        log = CountedLog(Path(folder), learner, every=options.every,
                         examine_every=options.examine_every)
        while learner.transitions < options.transitions:
            learner.begin(0, frames[0], rng.standard_normal(23))
            for step in range(options.length):
                last = step == options.length - 1
                learner.add(0, rng.uniform(-1.0, 1.0, 2), float(rng.random()), False, last,
                            frames[step % 64], rng.standard_normal(23))
                begun = time.process_time()
                while learner.due:
                    learner.update()
                learned += time.process_time() - begun
            log.episode({'episode/return': 0.0})
        log.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    updates = learner.agent.total_it
    print(json.dumps({
        'updates': updates, 'update_ms': round(1e3 * learned / updates, 2),
        'log_ms_per_update': round(1e3 * log.spent / updates, 3),
        'share': round(log.spent / learned, 5),
        'bytes_per_1000_transitions': round(1e3 * size / learner.transitions)}))


if __name__ == '__main__':
    main()
