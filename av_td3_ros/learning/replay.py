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
import math
import sys
import threading
from typing import Any, Iterator, Mapping, NamedTuple, Sequence, Union
import zlib

import numpy as np
import torch

from .replay_chains import Chains
from .replay_store import chain, COVERED, Layout, MemoryStore, TERMINATED, TRUNCATED

Observation = Union[torch.Tensor, Mapping[str, torch.Tensor]]


class Batch(NamedTuple):
    """
    Transitions to learn from, as tensors on the CPU.

    ``observation`` and ``next_observation`` are ``{'image': (B, stack, height, width) uint8,
    oldest frame first, 'vector': (B, vector_dim) float32}``, or (B, vector_dim) float32 where
    there is no image. ``action`` is (B, action_dim), ``reward`` and ``discount`` (B, 1), all
    float32. ``reward`` is the discounted sum over the k <= n steps that ``next_observation``
    lies ahead, ``discount`` is what its value counts for: gamma**k, or 0 where the episode
    terminated there, so that the target is ``reward + discount * Q(next_observation)``.

    The two images may share memory (a frame that is in both is there once): read them, do not
    write into them.
    """

    observation: Observation
    action: torch.Tensor
    reward: torch.Tensor
    next_observation: Observation
    discount: torch.Tensor


class _Buffers:
    """Output arrays, reused once no tensor refers to them: fresh pages cost more than copying."""

    _KEPT = 4

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...]) -> torch.Tensor:
        for i in range(len(self._kept)):
            # Referred to by the list and by the argument: no tensor's storage is left.
            if sys.getrefcount(self._kept[i]) == 2 and self._kept[i].shape == shape:
                return torch.from_numpy(self._kept[i])
        array = np.empty(shape, np.uint8)
        self._kept = self._kept[-self._KEPT + 1:] + [array]
        return torch.from_numpy(array)


class ReplayMemory:
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

    One thread may add while another samples, commits or saves: every method may be called from
    any thread. For the same seed and the same sequence of calls, samples are the same.
    """

    def __init__(self, capacity: int, *, image_shape: Sequence[int] | None = (84, 84),
                 stack: int = 4, vector_dim: int = 23, action_dim: int = 2, n_step: int = 1,
                 discount: float = 0.99, seed: int = 0) -> None:
        for name, value in (('capacity', capacity), ('stack', stack), ('vector_dim', vector_dim),
                            ('action_dim', action_dim), ('n_step', n_step)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f'{name} must be an integer of at least 1, not {value!r}')
        if not 0 <= discount <= 1:
            raise ValueError(f'discount must be between 0 and 1, not {discount!r}')
        if image_shape is not None:
            image_shape = tuple(int(size) for size in image_shape)
            if len(image_shape) != 2 or min(image_shape) < 1:
                raise ValueError(f'image_shape must be (height, width) or None, '
                                 f'not {image_shape!r}')
        self.layout = Layout(int(capacity), image_shape, int(vector_dim), int(action_dim))
        self.stack = int(stack)
        self.n_step = int(n_step)
        self.discount = float(discount)
        self._lock = threading.RLock()
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._open: dict[int, int] = {}
        self._counters = {'added': 0, 'abandoned': 0, 'lost': 0}
        self._chain = 0
        self._session = 0
        self._chains = Chains(self.layout.slots, self.stack if image_shape else 1)
        self._store = MemoryStore(self.layout)
        self._buffers = _Buffers()
        self._frames = self._frame_words()
        self._record = np.zeros(1, self.layout.record)
        self._record_bytes = self._record.view(np.uint8)[COVERED:]
        self._gamma = np.power(discount, np.arange(n_step + 1)).astype(np.float32)

    def _frame_words(self) -> torch.Tensor | None:
        """View the frames as (slots, words) of the widest word that they are made of."""
        if self._store.frames is None:
            return None
        wide = self.layout.frame_bytes % 8 == 0
        return torch.from_numpy(self._store.frames.view(np.int64 if wide else np.uint8))

    def __len__(self) -> int:
        """Return the number of transitions that can be sampled."""
        return self._chains.transitions

    # Writing

    def begin_episode(self, stream: int, image: np.ndarray | None, vector: np.ndarray) -> None:
        """
        Store the first observation of an episode of ``stream``.

        ``image`` is one frame, uint8 of ``image_shape`` (None where there are no images),
        ``vector`` float (vector_dim,). An episode of that stream that is still open is
        abandoned. Raises ValueError, naming what is wrong, and OSError where the row cannot be
        written; nothing is stored then.
        """
        stream = _stream(stream)
        self.abandon(stream)
        frame, vector = self._check_observation(image, vector)
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
        stream = _stream(stream)
        try:
            action = _floats('action', action, self.layout.action_dim)
            reward = _reward(reward)
            flags = (TERMINATED * _flag('terminated', terminated)
                     + TRUNCATED * _flag('truncated', truncated))
            frame, vector = self._check_observation(image, vector)
            with self._writing():
                if stream not in self._open:
                    raise ValueError(f'stream {stream} has no open episode: begin_episode first')
                back = self._chains.head - self._open[stream]
                row = self._append(back, action, reward, flags, frame, vector)
                self._counters['added'] += 1
                self._open[stream] = row
                if flags:
                    del self._open[stream]
        except (ValueError, OSError):
            self.abandon(stream)
            raise

    def abandon(self, stream: int) -> None:
        """End the open episode of ``stream``, if there is one: experience of it was lost."""
        with self._lock:
            if self._open.pop(_stream(stream), None) is not None:
                self._counters['abandoned'] += 1

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock while a row may be written."""
        while True:
            with self._lock:
                if not self._store.blocked(self._chains.head):
                    yield
                    return

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
        live = self.layout.slots - self.layout.spare
        while chains.transitions > self.layout.capacity or len(chains) > live:
            chains.evict()
        return row

    def _check_observation(self, image: Any, vector: Any) -> tuple[np.ndarray | None, np.ndarray]:
        shape = self.layout.image_shape
        if shape is None:
            if image is not None:
                raise ValueError('image must be None: this memory stores no images')
        elif not isinstance(image, np.ndarray) or image.shape != shape \
                or image.dtype != np.uint8:
            raise ValueError(f'image must be a uint8 array of shape {shape}, not '
                             + _describe(image))
        else:
            image = np.ascontiguousarray(image)
        return image, _floats('vector', vector, self.layout.vector_dim)

    # Sampling

    def sample(self, batch_size: int) -> Batch:
        """
        Return ``batch_size`` transitions, each equally likely, with replacement.

        Raises ValueError where there is none yet.
        """
        with self._lock:
            return self._batch(self._draw(batch_size))

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
            return self._batch(met)

    def _draw(self, batch_size: int) -> np.ndarray:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) \
                or batch_size < 1:
            raise ValueError(f'batch_size must be an integer of at least 1, not {batch_size!r}')
        if not self._chains.transitions:
            raise ValueError('there is no transition to sample yet')
        return self._chains.draw(batch_size, self._rng)

    def _batch(self, met: np.ndarray) -> Batch:
        """Build the batch of the transitions whose rows :meth:`Chains.walk` met."""
        slots = met % self.layout.slots
        ends = self._records(slots[-1])
        action = torch.from_numpy(ends['action'].copy())
        if self.n_step == 1:
            last = ends
            reward = ends['reward'].copy()
            discount = self._gamma[1] * (ends['flags'] & TERMINATED == 0)
        else:
            met_last, reward, steps = self._follow(met[-1], ends['reward'].copy())
            last_slots = met_last % self.layout.slots
            last = self._records(last_slots[-1])
            discount = self._gamma[steps] * (last['flags'] & TERMINATED == 0)
        vector = torch.from_numpy(self._records(slots[-2])['vector'].copy())
        next_vector = torch.from_numpy(last['vector'].copy())
        observation: Observation = vector
        next_observation: Observation = next_vector
        if self._frames is not None:
            if self.n_step == 1:
                images = self._images(slots)
                image, next_image = images[:, :-1], images[:, 1:]
            else:
                image, next_image = self._images(slots[:-1]), self._images(last_slots[1:])
            observation = {'image': image, 'vector': vector}
            next_observation = {'image': next_image, 'vector': next_vector}
        return Batch(observation, action, torch.from_numpy(reward)[:, None], next_observation,
                     torch.from_numpy(discount)[:, None])

    def _records(self, slots: np.ndarray) -> np.ndarray:
        return self._store.words.take(slots, axis=0).view(self.layout.record)[:, 0]

    def _follow(self, rows: np.ndarray, reward: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Go on from ``rows`` for the n-step return, as far as their episodes reach.

        Adds to ``reward``. Returns the rows met before the last ones, the return and the number
        of steps.
        """
        chains = self._chains
        last, steps = rows.copy(), np.ones(len(rows), np.int64)
        for step in range(1, self.n_step):
            ahead = chains.ahead[last % chains.slots]
            last += ahead
            going = ahead > 0
            reward += np.where(going, self._gamma[step]
                               * self._store.records['reward'][last % chains.slots], 0)
            steps += going
        return chains.walk(last)[0], reward, steps

    def _images(self, slots: np.ndarray) -> torch.Tensor:
        """Return the frames of ``slots`` (K, B) as (B, K, height, width)."""
        frames, batch = slots.shape
        out = self._buffers.take((batch * frames, self.layout.frame_bytes))
        index = torch.from_numpy(np.ascontiguousarray(slots.T).reshape(-1))
        torch.index_select(self._frames, 0, index, out=out.view(self._frames.dtype))
        return out.view(batch, frames, *self.layout.image_shape)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f'{value.dtype} of shape {value.shape}'
    return type(value).__name__


def _stream(stream: Any) -> int:
    if isinstance(stream, bool) or not isinstance(stream, (int, np.integer)):
        raise ValueError(f'stream must be an integer, not {stream!r}')
    return int(stream)


def _floats(name: str, value: Any, size: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in 'fiu' or array.shape != (size,):
        raise ValueError(f'{name} must be numbers of shape ({size},), not {_describe(array)}')
    with np.errstate(over='ignore'):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f'{name} must be finite in float32, not {value}')
    return array


def _reward(value: Any) -> float:
    try:
        # Judged as the float32 that is stored.
        with np.errstate(over='ignore'):
            reward = float(np.float32(value))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'reward must be a number, not {value!r}') from None
    if not math.isfinite(reward):
        raise ValueError(f'reward must be finite in float32, not {value!r}')
    return reward


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f'{name} must be a bool, not {value!r}')
    return bool(value)
