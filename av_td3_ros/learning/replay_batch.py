# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches: putting transitions together from the rows of a replay memory."""

from __future__ import annotations

import sys
from typing import Mapping, NamedTuple, Union

import numpy as np
import torch

from .replay_chains import Chains
from .replay_device import DeviceFrames
from .replay_store import MemoryStore, TERMINATED

Observation = Union[torch.Tensor, Mapping[str, torch.Tensor]]


class Batch(NamedTuple):
    """
    Transitions to learn from, as tensors on the CPU; images may be on another device.

    ``observation`` and ``next_observation`` are ``{'image': (B, stack, height, width) uint8,
    oldest frame first, 'vector': (B, vector_dim) float32}``, or (B, vector_dim) float32 where
    there is no image. ``action`` is (B, action_dim), ``reward`` and ``discount`` (B, 1), all
    float32. ``reward`` is the discounted sum over the k <= n steps that ``next_observation``
    lies ahead, ``discount`` is what its value counts for: gamma**k, or 0 where the episode
    terminated there, so that the target is ``reward + discount * Q(next_observation)``. ``rows``
    (B,) int64 are the rows of the replay memory that hold the actions, None for a batch of other
    origin.

    The two images may share memory (a frame that is in both is there once): read them, do not
    write into them.
    """

    observation: Observation
    action: torch.Tensor
    reward: torch.Tensor
    next_observation: Observation
    discount: torch.Tensor
    rows: np.ndarray | None = None


class _Buffers:
    """Output arrays, reused once no tensor refers to them: fresh pages cost more than copying."""

    _KEPT = 4

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an uninitialised uint8 array that nobody else uses."""
        for i in range(len(self._kept)):
            # Two references are the list's and the argument's: no tensor's storage is left.
            if sys.getrefcount(self._kept[i]) == 2 and self._kept[i].shape == shape:
                return self._kept[i]
        array = np.empty(shape, np.uint8)
        self._kept = self._kept[-self._KEPT + 1:] + [array]
        return array


class BatchBuilder:
    """
    Builds batches of n-step transitions, discounted by ``discount``, from a store's rows.

    Images are gathered on the device of ``copied``, the store's frames there, where it is given.
    """

    def __init__(self, store: MemoryStore, n_step: int, discount: float,
                 copied: DeviceFrames | None = None) -> None:
        self._store = store
        self._layout = store.layout
        self._n_step = n_step
        self._gamma = np.power(discount, np.arange(n_step + 1)).astype(np.float32)
        self._buffers = _Buffers()
        self._copied = copied

    def forget(self) -> None:
        """Take note that the store's rows may be others than they were."""
        if self._copied is not None:
            self._copied.forget()

    def build(self, chains: Chains, met: np.ndarray) -> Batch:
        """Return the transitions whose rows :meth:`Chains.walk` met; none may be written now."""
        slots = met % chains.slots
        ends = self._records(slots[-1])
        action = torch.from_numpy(ends['action'].copy())
        if self._n_step == 1:
            last = ends
            reward = ends['reward'].copy()
            discount = np.where(ends['flags'] & TERMINATED, np.float32(0), self._gamma[1])
        else:
            met_last, reward, steps = self._follow(chains, met[-1], ends['reward'].copy())
            last_slots = met_last % chains.slots
            last = self._records(last_slots[-1])
            discount = self._gamma[steps] * (last['flags'] & TERMINATED == 0)
        vector = torch.from_numpy(self._records(slots[-2])['vector'].copy())
        next_vector = torch.from_numpy(last['vector'].copy())
        observation: Observation = vector
        next_observation: Observation = next_vector
        if self._store.frames is not None:
            if self._n_step == 1:
                images = self._images(chains, slots)
                image, next_image = images[:, :-1], images[:, 1:]
            else:
                image, next_image = (self._images(chains, wanted)
                                     for wanted in (slots[:-1], last_slots[1:]))
            observation = {'image': image, 'vector': vector}
            next_observation = {'image': next_image, 'vector': next_vector}
        return Batch(observation, action, torch.from_numpy(reward)[:, None], next_observation,
                     torch.from_numpy(discount)[:, None], met[-1])

    def _records(self, slots: np.ndarray) -> np.ndarray:
        return self._store.words.take(slots, axis=0).view(self._layout.record)[:, 0]

    def _follow(self, chains: Chains, rows: np.ndarray, reward: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Go on from ``rows`` for the n-step return, as far as their episodes reach.

        Adds to ``reward``. Returns the rows met before the last ones, the return and the number
        of steps.
        """
        last, steps = rows.copy(), np.ones(len(rows), np.int64)
        for step in range(1, self._n_step):
            ahead = chains.ahead[last % chains.slots]
            last += ahead
            going = ahead > 0
            reward += np.where(going, self._gamma[step]
                               * self._store.records['reward'][last % chains.slots], 0)
            steps += going
        return chains.walk(last)[0], reward, steps

    def _images(self, chains: Chains, slots: np.ndarray) -> torch.Tensor:
        """Return the frames of ``slots`` (K, B) as (B, K, height, width)."""
        frames, batch = slots.shape
        shape = batch, frames, *(self._layout.image_shape or (0, 0))
        wanted = np.ascontiguousarray(slots.T).reshape(-1)
        if self._copied is not None:
            return self._copied.gather(wanted, chains.tail, chains.head).view(shape)
        out = self._buffers.take((batch * frames, self._layout.frame_bytes))
        # One thread, deliberately: this is bound by memory, and waiting for a second one to be
        # scheduled costs ten times the copying where the processor is shared with other nodes.
        # 'clip' writes straight into ``out``; every slot is in range.
        self._store.frames.take(wanted, axis=0, out=out, mode='clip')
        return torch.from_numpy(out).view(shape)
