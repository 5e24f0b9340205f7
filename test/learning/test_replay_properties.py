# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Any sequence of calls gives what a plain implementation gives, in memory and on disk."""

import os
from pathlib import Path
import shutil
import tempfile
from unittest import mock
import warnings

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, RuleBasedStateMachine
import numpy as np
import pytest
from replay_reference import check, Reference

from av_td3_ros.learning import replay_directory
from av_td3_ros.learning.replay import ReplayError, ReplayMemory, ReplayWarning

STREAMS = st.integers(0, 2)


class ReplayMachine(RuleBasedStateMachine):
    """Steps of a memory and of the reference, side by side."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        # What is durable is another test's matter, and would take most of this one's time.
        self.syncs = [mock.patch.object(replay_directory, '_sync', lambda file: None),
                      mock.patch.object(replay_directory.os, 'fsync', lambda file: None)]
        for patch in self.syncs:
            patch.start()
        self.written = 0
        self.checkpoints = []
        self.copied = set()

    def teardown(self):
        if hasattr(self, 'memory'):
            self.memory.close()
        shutil.rmtree(self.folder)
        for patch in self.syncs:
            patch.stop()

    @initialize(capacity=st.integers(1, 16), stack=st.integers(1, 5), n_step=st.integers(1, 5),
                has_image=st.booleans(), on_disk=st.booleans(), spare=st.integers(1, 8),
                frames_on=st.sampled_from([None, 'cpu']))
    def make(self, capacity, stack, n_step, has_image, on_disk, spare, frames_on):
        self.options = {'capacity': capacity, 'stack': stack, 'n_step': n_step, 'vector_dim': 3,
                        'image_shape': (2, 3) if has_image else None, 'discount': 0.9,
                        'spare': spare, 'frames_on': frames_on,
                        'directory': self.folder / 'a' if on_disk else None}
        self.memory = ReplayMemory(**self.options)
        self.reference = Reference(capacity, self.memory.layout.live, stack, n_step, 0.9,
                                   has_image)
        self.high = 0

    def observation(self):
        self.written += 1
        frame = np.arange(6, dtype=np.uint8).reshape(2, 3) + np.uint8(self.written % 250)
        return (frame if self.options['image_shape'] else None,
                np.array([self.written, -1, 0.5], np.float32))

    @rule(stream=STREAMS)
    def begin(self, stream):
        observation = self.observation()
        self.memory.begin_episode(stream, *observation)
        self.reference.begin_episode(stream, *observation)

    @rule(streams=st.lists(STREAMS, min_size=1, max_size=4), count=st.integers(1, 50),
          end_every=st.integers(2, 40), truncated=st.booleans())
    def add(self, streams, count, end_every, truncated):
        for i in range(count):
            stream = streams[i % len(streams)]
            if stream not in self.reference.open:
                self.begin(stream)
            end = self.written % end_every == 0
            transition = (np.array([self.written, 1], np.float32), self.written * 0.5,
                          end and not truncated, end and truncated, *self.observation())
            self.memory.add(stream, *transition)
            self.reference.add(stream, *transition)
            self.high = max(self.high, len(self.reference.rows))

    @rule(count=st.integers(1, 50))
    def many(self, count):
        self.add([0, 1], count, 13, False)

    @rule(stream=STREAMS)
    def abandon(self, stream):
        self.memory.abandon(stream)
        self.reference.abandon(stream)

    @rule(stream=STREAMS)
    def refuse(self, stream):
        frame, vector = self.observation()
        with pytest.raises(ValueError):
            self.memory.add(stream, np.zeros(2), float('nan'), False, False, frame, vector)
        self.reference.abandon(stream)

    @rule()
    def commit(self):
        self.memory.commit()

    @precondition(lambda self: self.options['directory'])
    @rule()
    def reopen(self):
        self.memory.close()
        self.memory = ReplayMemory(**self.options)
        self.reference.open.clear()

    @rule()
    def take_checkpoint(self):
        state = self.memory.state_dict()
        expected = self.memory.sample_rows(5).tolist() if len(self.memory) else []
        self.checkpoints.append((state, self.reference.copy(), expected))

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def load_checkpoint(self, data):
        state, then, expected = data.draw(st.sampled_from(self.checkpoints))
        now, memory = self.reference, self.memory
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ReplayWarning)
            restored = memory.load_state_dict(state)
        wanted, here = _identities(then), _identities(now)
        if wanted == here[:len(wanted)] and self.high <= then.tail + memory.layout.slots:
            assert restored.exact, restored
        if restored.exact:
            self.reference = then.copy()
            assert (memory.sample_rows(5).tolist() if len(memory) else []) == expected
            return
        assert restored.reasons
        if 'can be told' in restored.reasons[0]:
            assert memory._chains.tail == now.tail
            self.reference = now.copy()
            self.reference.open.clear()
            return
        head = memory._chains.head
        self.reference = then.copy()
        if head < len(then.rows):
            # The newest are gone: what is left is what was here before.
            self.reference = now.copy()
            self.reference.open.clear()
        assert memory._chains.tail > then.tail or head < len(then.rows)
        self.reference.tail = memory._chains.tail

    @rule()
    def copy_through_a_directory(self):
        path = self.folder / 'copy'
        here = set(_identities(self.reference)[self.reference.tail:])
        try:
            self.memory.save(path)
        except ReplayError:
            assert self.copied and not self.copied & here
            shutil.rmtree(path)
            self.memory.save(path)
        self.copied = here
        other = ReplayMemory(**{**self.options, 'directory': None})
        other.load(path)
        assert other.verify() == []
        state = self.memory.state_dict()
        assert other.load_state_dict(state, strict=True).exact
        check(other, self.reference)

    @invariant()
    def same(self):
        if hasattr(self, 'memory'):
            self.high = max(self.high, len(self.reference.rows))
            check(self.memory, self.reference)
            assert self.memory.verify() == []


def _identities(reference):
    return [float(row.vector[0]) for row in reference.rows]


TestReplay = ReplayMachine.TestCase
TestReplay.settings = settings(max_examples=int(os.environ.get('REPLAY_EXAMPLES', 100)),
                               derandomize='REPLAY_EXAMPLES' not in os.environ,
                               stateful_step_count=30, deadline=None,
                               suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize('seed', range(8))
def test_streams_of_very_different_pace(seed):
    # A slow stream's last rows lie at the very edge of the ring when its next one comes.
    chance = np.random.default_rng(seed)
    capacity, stack = int(chance.integers(1, 12)), int(chance.integers(2, 6))
    memory = ReplayMemory(capacity, image_shape=(1, 1), stack=stack, vector_dim=1, n_step=2)
    reference = Reference(capacity, memory.layout.live, stack, 2, 0.99, True)
    for number in range(400):
        # Every few rows, then as far apart as the live rows allow.
        slow = chance.random() < (0.3 if number % 100 < 30 else 1.5 / memory.layout.live)
        stream = int(slow)
        observation = np.full((1, 1), number % 256, np.uint8), np.array([number], np.float32)
        if stream not in reference.open or chance.random() < 0.01:
            memory.begin_episode(stream, *observation)
            reference.begin_episode(stream, *observation)
        else:
            transition = (np.zeros(2, np.float32), number, False, False, *observation)
            memory.add(stream, *transition)
            reference.add(stream, *transition)
        assert memory._chains.whole_transitions().tolist() == reference.whole()
        assert len(memory) == len(reference.whole())
    check(memory, reference)
