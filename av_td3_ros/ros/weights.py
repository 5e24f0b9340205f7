# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Weights and progress on the wire: what the training node tells the policy nodes.

Weights go out whole, in ``std_msgs/UInt8MultiArray``: :data:`HEADER`, then the exported policy
with its own checksum. Versions are microseconds of the trainer's wall clock, made strictly
increasing, so that they go on rising when the trainer is started anew; where that clock was set
back meanwhile, they go on from those that vehicles tell with their experience. Progress is one
``std_msgs/UInt64MultiArray`` with the fields of :class:`Progress`; in lockstep it answers each
experience, and the vehicle acts once it has the weights that the answer names.
"""

from __future__ import annotations

import array
import re
import struct
import threading
import time
from typing import NamedTuple, Sequence

MAGIC = b'AVW1'
HEADER = struct.Struct('<4sxxxxQQ')


class WeightsError(ValueError):
    """The bytes are no weights message; the message says why."""


class Weights(NamedTuple):
    """version: rises with every publication. iteration: updates done. policy: exported bytes."""

    version: int
    iteration: int
    policy: memoryview


class Progress(NamedTuple):
    """
    How far the learner is.

    stream, sequence: the experience that this answers (0, 0 where it answers none). version:
    newest weights. transitions, updates: in all. learning: 1 once actions are the policy's.
    """

    stream: int
    sequence: int
    version: int
    transitions: int
    updates: int
    learning: int


def encode(version: int, iteration: int, policy: bytes) -> array.array:
    """Return the data of a weights message."""
    data = array.array('B', HEADER.pack(MAGIC, version, iteration))
    data.frombytes(policy)
    return data


def decode(data: array.array | bytes) -> Weights:
    """Return a weights message's content, sharing its memory, or raise :class:`WeightsError`."""
    view = memoryview(data)
    if len(view) <= HEADER.size:
        raise WeightsError(f'a weights message of {len(view)} bytes is too short')
    magic, version, iteration = HEADER.unpack_from(view)
    if magic != MAGIC:
        raise WeightsError(f'weights start with {MAGIC!r}, not {magic!r}')
    return Weights(version, iteration, view[HEADER.size:])


def encode_progress(progress: Progress) -> array.array:
    """Return the data of a progress message."""
    return array.array('Q', progress)


def decode_progress(data: Sequence[int]) -> Progress:
    """Return a progress message's content, or raise :class:`WeightsError`."""
    if len(data) != len(Progress._fields):
        raise WeightsError(f'progress has {len(Progress._fields)} numbers, not {len(data)}')
    return Progress(*data)


def tell_version(message: str, version: int) -> str:
    """Return an answer to a load that also names the version under which the weights go out."""
    return f'{message} (weights {version})'


def version_in(message: str) -> int:
    """Return the version that :func:`tell_version` put into an answer, 0 where there is none."""
    found = re.search(r'\(weights (\d{1,20})\)$', message)
    return int(found.group(1)) if found else 0


# No clock shows more, in microseconds; a vehicle that tells such a version is not believed.
_LATEST = 1 << 56


class VersionCounter:
    """
    Makes versions: the wall clock in microseconds, never the same or less than before.

    It may be used in several threads.
    """

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def advance(self) -> int:
        """Return the next version."""
        with self._lock:
            self.value = max(self.value + 1, time.time_ns() // 1000)
            return self.value

    def heed(self, version: int) -> bool:
        """
        Go on above a version that a vehicle tells; return whether it was newer than all here.

        It comes from a trainer before this one, whose clock was ahead: until there is a version
        above it, the vehicle takes no weights of this one.
        """
        with self._lock:
            if not self.value < version < _LATEST:
                return False
            self.value = version
            return True
