# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a replay memory on the device that learns, so that batches never leave it."""

from __future__ import annotations

import numpy as np
import torch

from .replay_store import MemoryStore

# Rows copied at once: what is read from a file at a time.
_PIECE = 4096


class DeviceFrames:
    """
    A copy of a store's frames on ``device``, brought up to date when a batch is gathered.

    The store stays what counts: nothing is ever read back. Takes as many bytes on the device as
    the store's frames; raises torch.OutOfMemoryError where it has none.
    """

    def __init__(self, store: MemoryStore, device: str | torch.device) -> None:
        if store.frames is None:
            raise ValueError('there are no frames: observations have no image')
        self._source, self._slots = store.frames, store.slots
        self._frames = torch.empty(store.frames.shape, dtype=torch.uint8, device=device)
        self._head = 0

    def forget(self) -> None:
        """Copy everything anew: the store's rows may be others than they were."""
        self._head = 0

    def gather(self, slots: np.ndarray, tail: int, head: int) -> torch.Tensor:
        """Return the frames in ``slots``, int64 (N,), of the live rows ``tail <= r < head``."""
        row = max(self._head, tail)
        while row < head:
            first = row % self._slots
            last = min(first + min(head - row, _PIECE), self._slots)
            # A copy: torch warns of arrays that are read-only, as those of files are.
            self._frames[first:last] = torch.from_numpy(self._source[first:last].copy())
            row += last - first
        self._head = head
        return self._frames.index_select(0, torch.from_numpy(slots).to(self._frames.device))
