# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which rows of a replay ring are live, and how they hang together in episodes.

A row is one observation. Rows are numbered 0, 1, 2, ... for ever, in the order in which they
are written, whichever vehicle they come from; row ``r`` lies in slot ``r % slots``. ``back[r]``
is the distance to the row before it in the same episode, 0 for an episode's first row;
``ahead[r]`` the distance to the row after it, 0 while there is none. The live rows are
``tail <= r < head``.

A row whose ``back`` is not 0 is the end of a transition: from the row before it to itself. The
transition is *whole*, and may be sampled, while every row that its two stacks need is live.
"""

from __future__ import annotations

import numpy as np

_CHUNK = 1 << 18


class Chains:
    """
    The links between the rows of a ring of ``slots``, and the number of whole transitions.

    ``depth`` is how many rows before its own a transition needs: the number of stacked frames,
    or 1 where observations have no image.
    """

    def __init__(self, slots: int, depth: int) -> None:
        self.slots = slots
        self.depth = depth
        self.back = np.zeros(slots, np.uint32)
        self.ahead = np.zeros(slots, np.uint32)
        self.tail = 0
        self.head = 0
        self.transitions = 0

    def __len__(self) -> int:
        return self.head - self.tail

    def append(self, back: int) -> None:
        """Make row ``head`` live; it follows the row ``back`` before it, 0 for none."""
        row, slots = self.head, self.slots
        self.back[row % slots] = back
        self.ahead[row % slots] = 0
        self.head = row + 1
        if back == 0 or row - back < self.tail:
            return
        self.ahead[(row - back) % slots] = back
        for _ in range(self.depth):
            back = int(self.back[row % slots])
            if back == 0:
                break
            row -= back
            if row < self.tail:
                return
        self.transitions += 1

    def evict(self) -> None:
        """Drop the oldest live row, and with it the transitions whose stacks need it."""
        row = self.tail
        first = self.back[row % self.slots] == 0
        self.tail = row + 1
        for step in range(1, self.depth + 1):
            ahead = int(self.ahead[row % self.slots])
            if ahead == 0:
                break
            row += ahead
            # Where an earlier row of this episode is gone, nearer successors were no longer
            # whole: only the last one that needs this row still was.
            if first or step == self.depth:
                self.transitions -= 1

    def rebuild(self, tail: int, head: int, back: np.ndarray) -> None:
        """Make ``tail <= r < head`` the live rows, with ``back`` of each, uint32."""
        self.tail, self.head = tail, head
        rows = np.arange(tail, head, dtype=np.int64)
        self.back[rows % self.slots] = back
        self.ahead[rows % self.slots] = 0
        before = rows - back
        linked = (back > 0) & (before >= tail)
        self.ahead[before[linked] % self.slots] = back[linked]
        self.transitions = sum(
            int(np.count_nonzero(self.walk(rows[i:i + _CHUNK])[1]))
            for i in range(0, len(rows), _CHUNK))

    def walk(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Go from live ``rows`` (int64, (M,)) back through their episodes.

        Returns the rows met, (depth + 1, M), oldest first and ending with ``rows`` themselves,
        an episode's first row repeated; and whether each is the end of a whole transition.
        Where it is not, the rows met are live but mean nothing.
        """
        met = np.empty((self.depth + 1, len(rows)), np.int64)
        met[self.depth] = rows
        back = self.back[rows % self.slots]
        whole = back > 0
        for level in range(self.depth - 1, -1, -1):
            earlier = np.subtract(met[level + 1], back, out=met[level])
            if len(earlier) and earlier.min() < self.tail:
                whole &= earlier >= self.tail
                np.maximum(earlier, self.tail, out=earlier)
            if level:
                back = self.back[earlier % self.slots]
        return met, whole

    def whole_transitions(self) -> np.ndarray:
        """Return the rows (int64) that are the end of a whole transition, oldest first."""
        rows = np.arange(self.tail, self.head, dtype=np.int64)
        parts = [part[self.walk(part)[1]]
                 for part in (rows[i:i + _CHUNK] for i in range(0, len(rows), _CHUNK))]
        return np.concatenate(parts) if parts else rows

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """
        Draw ``count`` whole transitions, each equally likely, with replacement.

        Returns what :meth:`walk` met, (depth + 1, count). What is drawn depends on the live
        rows and on ``rng`` alone. There must be a whole transition.
        """
        rows = self.head - self.tail
        if self.transitions * 64 < rows:
            whole = self.whole_transitions()
            return self.walk(whole[rng.integers(0, len(whole), count)])[0]
        # Rejection: nearly every row ends a whole transition, so one round nearly always does.
        surplus = rows / self.transitions * 1.03
        kept: list[np.ndarray] = []
        missing = count
        while missing > 0:
            drawn = rng.integers(self.tail, self.head, int(missing * surplus) + 8)
            met, whole = self.walk(drawn)
            if not whole.all():
                met = met[:, whole]
            kept.append(met[:, :missing])
            missing -= met.shape[1]
        return kept[0] if len(kept) == 1 else np.concatenate(kept, axis=1)
