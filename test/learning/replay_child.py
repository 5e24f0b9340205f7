# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A process that fills a replay memory until it is killed; and the check of what it leaves.

Every byte of a row follows from its number, so that any mixture of rows shows.
Usage: replay_child.py DIRECTORY CAPACITY COMMIT_EVERY. For each line on its input it starts such a
process, which prints its number, then the head after each commit; once that one is dead it
prints "dead". (What takes long to import is imported but once.)
"""

from __future__ import annotations

import os
from pathlib import Path
import sys
import warnings

import numpy as np

IMAGE_SHAPE = (40, 40)
EPISODE = 37


def open_memory(directory, capacity):
    """Open the memory of this test; what is lost of the tail is expected."""
    from av_td3_ros.learning.replay import ReplayMemory, ReplayWarning
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ReplayWarning)
        return ReplayMemory(capacity, image_shape=IMAGE_SHAPE, vector_dim=3, n_step=3,
                            directory=directory)


def content(number):
    """Return frame and vector of a row."""
    base = np.arange(1600, dtype=np.uint32) * 31 + number * 7919
    return ((base >> 3) % 251).astype(np.uint8).reshape(IMAGE_SHAPE), \
        np.array([number, -number, number % 7], np.float32)


def fill(memory, rows, commit_every):
    """Write rows, whose numbers go on from those that there are; yield after each commit."""
    for _ in range(rows):
        number = memory._chains.head
        if number % EPISODE == 0 or 0 not in memory.open_episodes:
            memory.begin_episode(0, *content(number))
        else:
            memory.add(0, np.array([number, 0]), number, number % EPISODE == EPISODE - 1, False,
                       *content(number))
        if number % commit_every == commit_every - 1:
            memory.commit()
            yield number + 1


def check(memory, acknowledged):
    """Hold every live row against what its number says, and the head against the last commit."""
    chains, store = memory._chains, memory._store
    assert chains.head >= acknowledged, f'{chains.head} rows back of {acknowledged} acknowledged'
    assert memory.verify() == []
    for row in range(chains.tail, chains.head):
        frame, vector = content(row)
        slot = row % store.slots
        assert (store.frames[slot].reshape(IMAGE_SHAPE) == frame).all(), f'frame of row {row}'
        record = store.records[slot]
        assert (record['vector'] == vector).all(), f'vector of row {row}'
        assert record['back'] in (0, 1)
        assert record['back'] == 0 or record['reward'] == row
    if len(memory):
        batch = memory.sample(64)
        number = batch.observation['vector'][:, 0].numpy().astype(int)
        for i in range(64):
            assert (batch.observation['image'][i, -1].numpy() == content(number[i])[0]).all()


def say(what):
    """Print a line in one piece: a process that is killed meanwhile has said it wholly or not."""
    os.write(1, f'{what}\n'.encode())


def main():
    """Start processes that fill and commit until they are killed."""
    directory, capacity, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    import av_td3_ros.learning.replay  # noqa: F401
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            with open_memory(directory, capacity) as memory:
                say(os.getpid())
                for head in fill(memory, 1 << 60, every):
                    say(head)
        os.waitpid(child, 0)
        say('dead')


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
