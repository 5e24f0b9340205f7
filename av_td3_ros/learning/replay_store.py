# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the rows of a replay memory lie: in memory, or in a directory (``replay_directory``).

A row is a record of :attr:`Layout.record`, little endian, and a frame of
:attr:`Layout.frame_bytes` bytes (none where observations have no image):

=============  ==========  ===========================================================
``crc``        uint32      CRC-32 of the record's bytes after ``session``, then the frame
``chain``      uint32      CRC-32 of ``crc`` (4 bytes), started from the row before's
                           ``chain``: two histories are equal where they end equal
``session``    uint16      which opening, or rewinding, of the memory wrote it
``flags``      uint16      1 = terminated, 2 = truncated
``back``       uint32      distance to the row before it in its episode; 0: first row
``row``        uint64      the row's number
``action``     float32[A]  the action that led here (0 in a first row)
``reward``     float32     the reward that came with it (0 in a first row)
``vector``     float32[V]  the vector part of the observation
=============  ==========  ===========================================================

Records are padded to a multiple of 8 bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from typing import NamedTuple
import zlib

import numpy as np

TERMINATED = 1
TRUNCATED = 2

_U32 = struct.Struct('<I')
_MAGIC = b'AVTD3RPL'
_COMMIT = struct.Struct('<8s3Q2I3Q')
# What a row's CRC covers begins here; so the same experience always has the same CRC.
COVERED = 10


class ReplayError(RuntimeError):
    """A replay directory or state that cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """
    What decides where a byte of a replay memory lies.

    ``capacity`` is the largest number of transitions that can be sampled from at once,
    ``image_shape`` is (height, width) of one uint8 frame or None, ``spare`` the number of rows
    that may be written between two commits.
    """

    capacity: int
    image_shape: tuple[int, int] | None
    vector_dim: int
    action_dim: int
    spare: int

    @property
    def live(self) -> int:
        """
        Return the largest number of live rows.

        Beyond the capacity there is room for the one additional row of each episode; where
        episodes are shorter than 200 steps, the memory holds fewer transitions.
        """
        return self.capacity + self.capacity // 200 + 16

    @property
    def slots(self) -> int:
        """Rows that the ring has room for."""
        return self.live + self.spare

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame; 0 where observations have no image."""
        return self.image_shape[0] * self.image_shape[1] if self.image_shape else 0

    @functools.cached_property
    def record(self) -> np.dtype:
        """Return the type of a record."""
        fields = [('crc', '<u4'), ('chain', '<u4'), ('session', '<u2'), ('flags', '<u2'),
                  ('back', '<u4'), ('row', '<u8'), ('action', '<f4', (self.action_dim,)),
                  ('reward', '<f4'), ('vector', '<f4', (self.vector_dim,))]
        if np.dtype(fields).itemsize % 8:
            fields.append(('padding', '<u4'))
        return np.dtype(fields)


def chain(crc: int, before: int) -> int:
    """Return the ``chain`` of a row with ``crc`` after a row whose chain is ``before``."""
    return zlib.crc32(_U32.pack(crc), before)


class Commit(NamedTuple):
    """
    What a commit makes durable: the rows ``tail <= r < head``, and the counters.

    ``chain`` is that of row head - 1. ``replay_directory`` tells what is made of it on disk.
    """

    number: int = 0
    tail: int = 0
    head: int = 0
    chain: int = 0
    session: int = 0
    added: int = 0
    abandoned: int = 0
    lost: int = 0

    def pack(self) -> bytes:
        """Return the commit record's bytes."""
        packed = _COMMIT.pack(_MAGIC, *self)
        return packed + _U32.pack(zlib.crc32(packed))

    @classmethod
    def unpack(cls, data: bytes) -> Commit | None:
        """Return the commit in ``data``, or None where there is no valid one."""
        packed, crc = data[:_COMMIT.size], data[_COMMIT.size:_COMMIT.size + _U32.size]
        if len(crc) < _U32.size or zlib.crc32(packed) != _U32.unpack(crc)[0] \
                or packed[:len(_MAGIC)] != _MAGIC:
            return None
        return cls(*_COMMIT.unpack(packed)[1:])


class MemoryStore:
    """
    Rows in memory: arrays ``records`` (slots,) and ``frames`` (slots, frame_bytes) or None.

    Also what every store has in common: ``words``, the records as float32 (slots, words), and
    the check of a row.
    """

    def __init__(self, layout: Layout) -> None:
        # Pages are taken from the system only when a row is first written.
        self._adopt(layout, np.empty(layout.slots, layout.record),
                    np.empty((layout.slots, layout.frame_bytes), np.uint8)
                    if layout.frame_bytes else None)

    def _adopt(self, layout: Layout, records: np.ndarray, frames: np.ndarray | None) -> None:
        self.layout = layout
        self.slots = layout.slots
        self.records = records
        self.frames = frames
        self.words = records.view('<f4').reshape(layout.slots, -1)

    def write(self, row: int, record: np.ndarray, frame: np.ndarray | None) -> None:
        """Store a row: a record, (1,), and a contiguous uint8 frame; over what the slot held."""
        slot = row % self.slots
        self.records[slot] = record[0]
        if frame is not None and self.frames is not None:
            self.frames[slot] = frame.reshape(-1)

    def blocked(self, head: int, session: int) -> bool:
        """Return whether a commit must come before row ``head`` is written."""
        return False

    def take_dirty(self) -> int:
        """Return the first row written since the last call."""
        return 0

    def commit(self, commit: Commit, dirty: int) -> None:
        """Make rows durable; memory never is."""

    def chain_at(self, row: int) -> int:
        """Return the ``chain`` in the slot of ``row``."""
        return int(self.records['chain'][row % self.slots])

    def holds(self, row: int) -> bool:
        """Return whether the slot of ``row`` holds it, whole."""
        record = self.records[row % self.slots]
        return bool(record['row'] == row and record['crc'] == self.row_crc(row))

    def row_crc(self, row: int) -> int:
        """Return the CRC-32 that the row in the slot of ``row`` should have."""
        slot = row % self.slots
        crc = zlib.crc32(self.records[slot:slot + 1].view(np.uint8)[COVERED:])
        return crc if self.frames is None else zlib.crc32(self.frames[slot], crc)

    def follows(self, row: int, before: int) -> bool:
        """Return whether the slot of ``row`` holds it, after a row of chain ``before``."""
        return self.holds(row) and self.chain_at(row) == chain(
            int(self.records['crc'][row % self.slots]), before)

    def close(self) -> None:
        """Give back what the store holds."""
