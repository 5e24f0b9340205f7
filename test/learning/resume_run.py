# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One process of a training, for the test of exact resume.

``resume_run.py KIND THREADS FOLDER UPDATES [FROM]`` learns from a replay memory on disk, from the
checkpoint FROM where it is given, saves, and prints digests of all that must be equal.
"""

import hashlib
import json
from pathlib import Path
import random
import sys

from agents import fingerprint, flat_agent, image_agent
import numpy as np
import torch

from av_td3_ros.learning.replay import ReplayMemory


class Noise:
    """Exploration noise with a state of its own."""

    def __init__(self):
        self.rng, self.last = np.random.default_rng(5), np.zeros(2)

    def draw(self):
        self.last = 0.9 * self.last + self.rng.standard_normal(2)
        return self.last

    def state_dict(self):
        return {'rng': self.rng.bit_generator.state, 'last': self.last}

    def load_state_dict(self, state):
        self.rng.bit_generator.state = state['rng']
        self.last = state['last'].numpy().copy()


def fill(memory, flat):
    draw = np.random.default_rng(1)
    size = 5 if flat else 23

    def frame():
        return None if flat else draw.integers(0, 256, (84, 84), dtype=np.uint8)

    memory.begin_episode(0, frame(), draw.standard_normal(size, dtype=np.float32))
    for step in range(60):
        ended = step % 20 == 19
        memory.add(0, draw.uniform(-1, 1, 2).astype(np.float32), float(draw.standard_normal()),
                   ended, False, frame(), draw.standard_normal(size, dtype=np.float32))
        if ended:
            memory.begin_episode(0, frame(), draw.standard_normal(size, dtype=np.float32))
    memory.commit()


def main():
    kind, threads, folder, updates = sys.argv[1:5]
    folder, flat = Path(folder), kind == 'flat'
    torch.set_num_threads(int(threads))
    agent = flat_agent(seed=1) if flat else image_agent(kind, seed=1)
    memory = ReplayMemory(100, image_shape=None if flat else (84, 84),
                          vector_dim=5 if flat else 23, action_dim=2,
                          directory=folder / 'replay', seed=3)
    noise = Noise()
    random.seed(4)
    np.random.seed(4)
    if len(sys.argv) > 5:
        loaded = agent.load_checkpoint(sys.argv[5], replay=memory, exploration=noise)
        assert not loaded.warnings, loaded.warnings
    else:
        fill(memory, flat)
    drawn = []
    for _ in range(int(updates)):
        rows = memory.sample_rows(6)
        agent.update(memory.batch(rows))
        # Whatever else draws in a training: global generators and exploration.
        drawn = [float(torch.rand(())), random.random(), float(np.random.rand()),
                 [int(row) for row in rows], noise.draw().tolist()]
    agent.save_checkpoint(folder / f'{agent.total_it}.pth', replay=memory, exploration=noise)
    sys.stdout.write(json.dumps({
        'total_it': agent.total_it, 'agent': fingerprint(agent), 'drawn': drawn,
        'replay': hashlib.sha256(repr(memory.state_dict()['rng']).encode()).hexdigest(),
        'next': [int(row) for row in memory.sample_rows(6)]}) + '\n')
    memory.close()


if __name__ == '__main__':
    main()
