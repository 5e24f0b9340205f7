# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ring of a replay memory: rows come in, batches come out."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator
import zlib

import numpy as np
import torch

from . import replay_checks as checks
from .replay_batch import Batch, BatchBuilder
from .replay_chains import Chains
from .replay_device import DeviceFrames
from .replay_store import chain, COVERED, Layout, MemoryStore, TERMINATED, TRUNCATED


class ReplayRing:
    """
    Writing and sampling; :class:`.replay.ReplayMemory` tells what holds, and keeps it on disk.

    ``store`` is where the rows lie, ``frames_on`` the device that batches' images are gathered on.
    """

    def __init__(self, layout: Layout, store: MemoryStore, stack: int, n_step: int,
                 discount: float, seed: int, frames_on: str | torch.device | None) -> None:
        self.layout = layout
        self.stack = checks.count('stack', stack)
        self.n_step = checks.count('n_step', n_step)
        if not 0 <= discount <= 1:
            raise ValueError(f'discount must be between 0 and 1, not {discount!r}')
        self.discount = float(discount)
        self._lock = threading.RLock()
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._chains = Chains(layout.slots, self.stack if layout.image_shape else 1)
        self._chain = 0
        self._session = 0
        self._open: dict[int, int] = {}
        self._counters = {'added': 0, 'abandoned': 0, 'lost': 0}
        self._record = np.zeros(1, layout.record)
        self._record_bytes = self._record.view(np.uint8)[COVERED:]
        self._store = store
        copied = None if frames_on is None or store.frames is None \
            else DeviceFrames(store, frames_on)
        self._batches = BatchBuilder(store, self.n_step, self.discount, copied)

    def __len__(self) -> int:
        """Return the number of transitions that can be sampled."""
        return self._chains.transitions

    @property
    def head(self) -> int:
        """Return the number of the next row; rows are numbered from 0 and never anew."""
        return self._chains.head

    # Writing

    def begin_episode(self, stream: int, image: np.ndarray | None, vector: np.ndarray) -> None:
        """
        Store the first observation of an episode of ``stream``.

        ``image`` is one frame, uint8 of ``image_shape`` (None where there are no images),
        ``vector`` float (vector_dim,). An episode of that stream that is still open is
        abandoned. Raises ValueError, naming what is wrong, and OSError where the row cannot be
        written; nothing is stored then.
        """
        stream = checks.stream(stream)
        self.abandon(stream)
        frame, vector = self._checked(image, vector)
        with self._writing():
            self._open[stream] = self._append(0, None, 0.0, 0, frame, vector)

    def add(self, stream: int, action: np.ndarray, reward: float, terminated: bool,
            truncated: bool, image: np.ndarray | None, vector: np.ndarray) -> None:
        """
        Store a transition of the open episode of ``stream``.

        ``action`` is float (action_dim,), ``reward`` a finite number; ``image`` and ``vector``
        are the observation that followed, as in :meth:`begin_episode`. ``terminated`` or
        ``truncated`` ends the episode. Raises ValueError, naming what is wrong, and OSError
        where the row cannot be written; then nothing is stored and the episode is abandoned.
        """
        stream = checks.stream(stream)
        try:
            action = checks.floats('action', action, self.layout.action_dim)
            reward = checks.reward(reward)
            flags = (TERMINATED * checks.flag('terminated', terminated)
                     + TRUNCATED * checks.flag('truncated', truncated))
            frame, vector = self._checked(image, vector)
            with self._writing():
                if stream not in self._open:
                    raise ValueError(f'stream {stream} has no open episode: begin_episode first')
                back = self._chains.head - self._open[stream]
                row = self._append(back, action, reward, flags, frame, vector)
                self._counters['added'] += 1
                self._open[stream] = row
                if flags:
                    del self._open[stream]
        except BaseException:
            self.abandon(stream)
            raise

    def abandon(self, stream: int) -> None:
        """End the open episode of ``stream``, if there is one: experience of it was lost."""
        with self._lock:
            if self._open.pop(checks.stream(stream), None) is not None:
                self._counters['abandoned'] += 1

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock while a row may be written."""
        while True:
            with self._lock:
                if not self._store.blocked(self._chains.head, self._session):
                    yield
                    return
            self.commit()

    def _append(self, back: int, action: np.ndarray | None, reward: float, flags: int,
                frame: np.ndarray | None, vector: np.ndarray) -> int:
        chains, record, row = self._chains, self._record, self._chains.head
        record['row'] = row
        record['back'] = min(back, 0xFFFFFFFF)
        record['session'] = self._session & 0xFFFF
        record['flags'] = flags
        record['action'] = 0 if action is None else action
        record['reward'] = reward
        record['vector'] = vector
        crc = zlib.crc32(self._record_bytes)
        crc = crc if frame is None else zlib.crc32(frame, crc)
        link = chain(crc, self._chain)
        record['crc'] = crc
        record['chain'] = link
        self._store.write(row, record, frame)
        self._chain = link
        chains.append(back)
        while chains.transitions > self.layout.capacity or len(chains) > self.layout.live:
            chains.evict()
        return row

    def _checked(self, image: Any, vector: Any) -> tuple[np.ndarray | None, np.ndarray]:
        return (checks.image(image, self.layout.image_shape),
                checks.floats('vector', vector, self.layout.vector_dim))

    def commit(self) -> None:
        """Make everything stored so far durable, where the rows are on disk."""

    # Sampling

    def sample(self, batch_size: int) -> Batch:
        """
        Return ``batch_size`` transitions, each equally likely, with replacement.

        Raises ValueError where there is none yet.
        """
        with self._lock:
            return self._batches.build(self._chains, self._draw(batch_size))

    def sample_rows(self, batch_size: int) -> np.ndarray:
        """Draw as :meth:`sample` does; return the rows (int64) that the transitions end at."""
        with self._lock:
            return self._draw(batch_size)[-1].copy()

    def batch(self, rows: np.ndarray) -> Batch:
        """
        Return the transitions that end at ``rows``, int64 (B,).

        Raises ValueError for rows that are not the end of a whole transition.
        """
        with self._lock:
            rows = np.asarray(rows, np.int64)
            if not ((rows >= self._chains.tail) & (rows < self._chains.head)).all():
                raise ValueError(f'rows must be between {self._chains.tail} and '
                                 f'{self._chains.head - 1}')
            met, whole = self._chains.walk(rows)
            if not whole.all():
                raise ValueError(f'row {rows[~whole][0]} is not the end of a whole transition')
            return self._batches.build(self._chains, met)

    def _draw(self, batch_size: int) -> np.ndarray:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) \
                or batch_size < 1:
            raise ValueError(f'batch_size must be an integer of at least 1, not {batch_size!r}')
        if not self._chains.transitions:
            raise ValueError('there is no transition to sample yet')
        return self._chains.draw(batch_size, self._rng)
