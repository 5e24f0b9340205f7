# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A replay memory written as plainly as can be: lists, no ring, everything worked out anew."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np


@dataclasses.dataclass
class Row:
    """One observation and what led to it; ``episode`` lists the rows of its episode."""

    frame: np.ndarray | None
    vector: np.ndarray
    action: np.ndarray
    reward: float
    terminated: bool
    episode: list[int]
    position: int


class Reference:
    """Rows in a list that only grows; those before ``tail`` do not count."""

    def __init__(self, capacity, live, stack, n_step, discount, has_image):
        self.capacity, self.live = capacity, live
        self.stack, self.n_step, self.discount = stack, n_step, discount
        self.depth = stack if has_image else 1
        self.rows: list[Row] = []
        self.tail = 0
        self.open: dict[int, list[int]] = {}
        self.added = self.abandoned = 0

    def begin_episode(self, stream, frame, vector):
        self.abandon(stream)
        self.open[stream] = []
        self._append(stream, np.zeros(2, np.float32), 0.0, False, frame, vector)

    def add(self, stream, action, reward, terminated, truncated, frame, vector):
        self._append(stream, action, reward, terminated, frame, vector)
        self.added += 1
        if terminated or truncated:
            del self.open[stream]

    def abandon(self, stream):
        if self.open.pop(stream, None) is not None:
            self.abandoned += 1

    def _append(self, stream, action, reward, terminated, frame, vector):
        episode = self.open[stream]
        episode.append(len(self.rows))
        self.rows.append(Row(frame, vector, action, reward, terminated, episode,
                             len(episode) - 1))
        while len(self.whole()) > self.capacity or len(self.rows) - self.tail > self.live:
            self.tail += 1

    def whole(self):
        """Return the rows that are the end of a transition whose rows are all live."""
        return [number for number, row in enumerate(self.rows)
                if number >= self.tail and row.position > 0
                and row.episode[max(0, row.position - self.depth)] >= self.tail]

    def frames(self, episode, position):
        return np.stack([self.rows[episode[max(0, position - back)]].frame
                         for back in range(self.stack - 1, -1, -1)])

    def transition(self, number):
        """Return the observation's (frames, vector), action, return, the next's, discount."""
        row = self.rows[number]
        gain, last, steps = 0.0, row, 0
        for ahead in row.episode[row.position:row.position + self.n_step]:
            last = self.rows[ahead]
            gain += self.discount ** steps * last.reward
            steps += 1
            if last.terminated:
                break
        before = self.rows[row.episode[row.position - 1]]

        def observation(of):
            return (None if of.frame is None else self.frames(of.episode, of.position),
                    of.vector)
        return (observation(before), row.action, gain, observation(last),
                0.0 if last.terminated else self.discount ** steps)

    def copy(self):
        return copy.deepcopy(self)


def check(memory, reference):
    """Hold every transition of a memory against the reference."""
    whole = reference.whole()
    assert len(memory) == len(whole)
    assert memory._chains.tail == reference.tail
    assert memory._chains.head == len(reference.rows)
    assert memory._chains.whole_transitions().tolist() == whole
    assert memory.open_episodes == set(reference.open)
    if not whole:
        return
    batch = memory.batch(np.array(whole))
    wanted = [reference.transition(number) for number in whole]
    for got, index in ((batch.observation, 0), (batch.next_observation, 3)):
        if memory.layout.image_shape:
            np.testing.assert_array_equal(got['image'].numpy(),
                                          np.stack([w[index][0] for w in wanted]))
            got = got['vector']
        np.testing.assert_array_equal(got.numpy(), np.stack([w[index][1] for w in wanted]))
    np.testing.assert_array_equal(batch.action.numpy(), np.stack([w[1] for w in wanted]))
    np.testing.assert_allclose(batch.reward.numpy()[:, 0], [w[2] for w in wanted], rtol=1e-5)
    np.testing.assert_allclose(batch.discount.numpy()[:, 0], [w[4] for w in wanted], rtol=1e-6)
