# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The replay memory: what the vehicles experienced, for TD3 to learn from.

Every observation is stored once, as one row (``replay_store`` has its layout): one frame, the
vector, and the action, reward and end of the transition that led to it. The stacks of frames
are put together when a batch is sampled, from the links between the rows (``replay_chains``),
so that they never reach across an episode's edge. A row is never changed once it is written.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import threading
from typing import Any, Mapping, Sequence
import warnings

import torch

from . import replay_checks as checks
from .replay_batch import Batch
from .replay_chains import Chains
from .replay_directory import DirectoryStore
from .replay_ring import ReplayRing
from .replay_state import (copy_rows, find_rows, live_back, load_rows, ReplayWarning, Restored,
                           State)
from .replay_store import Commit, Layout, MemoryStore, ReplayError

__all__ = ['Batch', 'ReplayError', 'ReplayMemory', 'ReplayWarning', 'Restored']


class ReplayMemory(ReplayRing):
    """
    A ring of at most ``capacity`` transitions; the oldest give way to the newest.

    ``image_shape`` is (height, width) of one uint8 frame, None for flat observations; ``stack``
    frames make an observation, oldest first, an episode's first frame repeated at its start.
    ``n_step`` and ``discount`` make the n-step return; it is cut short where an episode ends,
    by termination, truncation, abandonment or because it has come no further yet, and then
    bootstraps (unless terminated) from the last observation that there is.

    A *stream* is one source of episodes, such as a vehicle, named by an integer; the episodes
    of several streams may interleave in any way. A transition that is refused or cannot be
    written ends its episode, as :meth:`abandon` does: the next one would bridge a gap.

    ``directory`` keeps the rows on disk (``replay_directory`` tells how): what has been
    committed there is taken up again, with every episode closed. ``spare`` is the number of
    rows that the ring has beyond its capacity, 0.5 % by default: after so many rows without a
    commit one is made, and so far can a checkpoint lie behind a full ring and be resumed
    exactly. Raises :class:`ReplayError` for a directory that is in use or of another layout.

    ``frames_on`` names a device on which the frames are kept as well, and the images of batches
    gathered: as much of its memory as the ring's frames take, and torch.OutOfMemoryError where it
    has not.

    One thread may add while another samples, commits or saves: every method may be called from
    any thread. For the same seed and the same sequence of calls, samples are the same.
    """

    def __init__(self, capacity: int, *, image_shape: Sequence[int] | None = (84, 84),
                 stack: int = 4, vector_dim: int = 23, action_dim: int = 2, n_step: int = 1,
                 discount: float = 0.99, directory: str | os.PathLike | None = None,
                 seed: int = 0, spare: int | None = None,
                 frames_on: str | torch.device | None = None) -> None:
        layout = Layout(checks.count('capacity', capacity), checks.image_shape(image_shape),
                        checks.count('vector_dim', vector_dim),
                        checks.count('action_dim', action_dim),
                        32 + capacity // 200 if spare is None else checks.count('spare', spare))
        # Taken before the ring's lock, and held while the disk is written to.
        self._commit_lock = threading.Lock()
        store = MemoryStore(layout) if directory is None else DirectoryStore(layout, directory)
        try:
            super().__init__(layout, store, stack, n_step, discount, seed, frames_on)
            if isinstance(store, DirectoryStore):
                self._take_up(store)
                self.commit()
        except BaseException:
            store.close()
            raise

    @property
    def directory(self) -> Path | None:
        """Where the rows lie on disk, None where they are in memory only."""
        return self._store.path if isinstance(self._store, DirectoryStore) else None

    @property
    def counters(self) -> dict[str, int]:
        """
        Return counts for diagnostics.

        ``added`` transitions and ``abandoned`` episodes since the memory was made, transitions
        ``lost`` because a process ended without committing them, ``open`` episodes, and
        ``uncommitted`` rows (0 in memory, where nothing is ever committed).
        """
        with self._lock:
            committed = self._chains.head
            if isinstance(self._store, DirectoryStore):
                committed = self._store.last.head
            return {**self._counters, 'open': len(self._open),
                    'uncommitted': max(0, self._chains.head - committed)}

    @property
    def open_episodes(self) -> frozenset[int]:
        """Return the streams that have an open episode."""
        with self._lock:
            return frozenset(self._open)

    def commit(self) -> None:
        """
        Make everything stored so far durable; rows may be added and sampled meanwhile.

        Does nothing where the rows are in memory only. Raises OSError where the disk refuses:
        the last commit then stands, and the next one makes up for this one.
        """
        with self._commit_lock:
            with self._lock:
                commit, dirty = self._snapshot(), self._store.take_dirty()
            self._store.commit(commit, dirty)

    def close(self) -> None:
        """Commit, and let another process open the directory; the memory must not be used on."""
        try:
            self.commit()
        finally:
            self._store.close()

    def __enter__(self) -> ReplayMemory:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def verify(self) -> list[int]:
        """Read every live row and return those that are not as they were written."""
        with self._lock:
            return [row for row in range(self._chains.tail, self._chains.head)
                    if not self._store.holds(row)]

    def _snapshot(self) -> Commit:
        return Commit(0, self._chains.tail, self._chains.head, self._chain, self._session,
                      **self._counters)

    def _take_up(self, store: DirectoryStore) -> None:
        """Go on from what ``store`` has committed."""
        last = store.last
        tail, back = live_back(store, last.tail, last.head)
        lost = store.uncommitted()
        if tail > last.tail:
            warnings.warn(f'{store.path}: {tail - last.tail} rows are damaged or older than '
                          'damaged ones, and left out', ReplayWarning, stacklevel=3)
        if lost:
            warnings.warn(f'{store.path}: {lost} transitions were never committed and are lost',
                          ReplayWarning, stacklevel=3)
        self._chains.rebuild(tail, last.head, back)
        self._batches.forget()
        self._chain = last.chain
        self._session = last.session + 1
        self._counters = {'added': last.added, 'abandoned': last.abandoned,
                          'lost': last.lost + lost}
        self._open = {}

    def save(self, path: str | os.PathLike) -> None:
        """
        Copy the live rows into the directory ``path``, durably.

        A memory can be opened on that directory, or :meth:`load` it. Where it holds an earlier
        copy of this memory, only what differs is written. Nothing is added or sampled meanwhile.
        Raises :class:`ReplayError` where it holds only rows that are not in this memory.
        """
        with contextlib.closing(DirectoryStore(self.layout, path)) as target, self._lock:
            copy_rows(self._store, target, self._snapshot())

    def load(self, path: str | os.PathLike) -> None:
        """
        Replace the content, in memory, by that of the directory ``path``.

        Every episode is closed. Raises ValueError for a memory that is in a directory itself,
        FileNotFoundError and :class:`ReplayError` where ``path`` holds none of this layout.
        """
        if self.directory is not None:
            raise ValueError('load is for a memory without a directory')
        with contextlib.closing(DirectoryStore(self.layout, path, create=False)) as source, \
                self._lock:
            load_rows(source, self._store, source.last.tail, source.last.head)
            self._take_up(source)

    def state_dict(self) -> dict[str, Any]:
        """
        Return what a checkpoint must hold: plain types, no rows, at once.

        It is good after a crash once a :meth:`commit` (or :meth:`save`) that began later is done.
        """
        with self._lock:
            generator = self._rng.bit_generator.state
            rng = {**generator['state'], 'has_uint32': generator['has_uint32'],
                   'uinteger': generator['uinteger']}
            return State(
                self.layout, self.stack, self.n_step, self.discount,
                {key: int(value) for key, value in rng.items()}, self._chains.tail,
                self._chains.head, self._chain, self._chains.transitions, dict(self._open),
                dict(self._counters), str(self.directory) if self.directory else None).plain()

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = False) -> Restored:
        """
        Go back to ``state``: its rows, open episodes, counters and random state.

        Rows that were added after it are dropped (on disk once the next row is written). Where
        rows of it are gone, the reasons and the number lost are given as a
        :class:`ReplayWarning`, or with ``strict`` raised as :class:`ReplayError`; the memory
        then keeps what there is, and all of its own rows where none can be told to be the
        state's. Raises ValueError for a state of another layout, or that is no state. Nothing
        has changed where this raises.
        """
        wanted = State.read(state)
        if wanted.layout != self.layout:
            raise ValueError(f'the replay state is of another layout: {wanted.layout} there, '
                             f'{self.layout} here')
        with self._lock:
            chains = self._chains
            reasons = [f'{name} was {getattr(wanted, name)} there and is {getattr(self, name)} '
                       'here' for name in ('stack', 'n_step', 'discount')
                       if getattr(wanted, name) != getattr(self, name)]
            found = find_rows(self._store, chains.tail, chains.head, self._chain, wanted)
            if found is None:
                reasons.append(f'none of its {wanted.transitions} transitions can be told to be '
                               f'here; all {len(self)} that are here are kept')
                tail, head, link = chains.tail, chains.head, self._chain
                lost = wanted.transitions
            else:
                tail, head, link = found
                if head < wanted.head:
                    reasons.append(f'its newest {wanted.head - head} rows were never committed')
                if tail > wanted.tail:
                    reasons.append(f'its oldest {tail - wanted.tail} rows were overwritten')
            restored = Chains(chains.slots, chains.depth)
            restored.rebuild(tail, head, live_back(self._store, tail, head)[1])
            if found is not None:
                lost = max(0, wanted.transitions - restored.transitions)
            result = Restored(not reasons, lost, tuple(reasons))
            if reasons:
                message = f'the replay memory is not exactly as it was: {"; ".join(reasons)}; ' \
                          f'{lost} of {wanted.transitions} transitions are lost'
                if strict:
                    raise ReplayError(message)
                warnings.warn(message, ReplayWarning, stacklevel=2)
            if (tail, head) != (chains.tail, chains.head):
                self._session += 1
            self._chains, self._chain = restored, link
            self._batches.forget()
            self._open = {} if found is None or head < wanted.head else dict(wanted.open_episodes)
            if found is not None:
                self._counters = {**wanted.counters,
                                  'lost': max(self._counters['lost'], wanted.counters['lost'])}
            self._rng.bit_generator.state = {
                'bit_generator': 'PCG64',
                'state': {'state': wanted.rng['state'], 'inc': wanted.rng['inc']},
                'has_uint32': wanted.rng['has_uint32'], 'uinteger': wanted.rng['uinteger']}
            return result
