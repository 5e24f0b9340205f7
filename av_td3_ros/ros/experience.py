# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Experience on the wire: what a policy node tells the training node, one message an observation.

Carried in ``std_msgs/UInt8MultiArray``, little-endian, a fixed layout (:data:`HEADER`, then the
vector, then the newest frame). A ``BEGIN`` holds an episode's first observation; a ``STEP`` holds
an action and the observation that followed it, with only its newest frame, for the older ones
were sent before. Every message of a vehicle's stream has the next sequence number, so that one
that is lost, doubled or out of order is noticed.
"""

from __future__ import annotations

import array
import dataclasses
import struct
from typing import NamedTuple

import numpy as np

from av_td3_ros.driving.action import ACTION_SIZE
from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.image import SIZE
from av_td3_ros.driving.observation import VECTOR_SIZE
from av_td3_ros.driving.reward import RewardTerms, TERMS

MAGIC = b'AVX1'
HEADER = struct.Struct(f'<4sBBxxIQQQq{ACTION_SIZE}ff{len(TERMS)}f')
_VECTOR = 4 * VECTOR_SIZE
_FRAME = SIZE * SIZE
MESSAGE_SIZE = HEADER.size + _VECTOR + _FRAME


class ExperienceError(ValueError):
    """The bytes are no experience message; the message says why."""


_ENDINGS = (None, *Ending)


@dataclasses.dataclass(frozen=True)
class Experience:
    """
    One message: a transition of a vehicle's stream.

    stream: identity of the vehicle's policy process. sequence: running number of the message in
    it. weights: version of the weights that the vehicle drives with.
    """

    stream: int
    sequence: int
    weights: int
    transition: Transition


def encode(item: Experience) -> array.array:
    """Return the message's data."""
    step = item.transition
    data = array.array('B', HEADER.pack(
        MAGIC, step.kind, _ENDINGS.index(step.ending), step.episode, item.stream, item.sequence,
        item.weights, step.stamp, *map(float, step.action), step.reward,
        *(getattr(step.terms, name) for name in TERMS)))
    data.frombytes(np.ascontiguousarray(step.vector, dtype='<f4').tobytes())
    data.frombytes(np.ascontiguousarray(step.frame, dtype=np.uint8).tobytes())
    return data


def decode(data: array.array | bytes) -> Experience:
    """Return the experience in a message's data; raise :class:`ExperienceError` if it is none."""
    if len(data) != MESSAGE_SIZE:
        raise ExperienceError(f'an experience has {MESSAGE_SIZE} bytes, not {len(data)}')
    view = memoryview(data)
    magic, kind, ending, episode, stream, sequence, weights, stamp, *rest = \
        HEADER.unpack_from(view)
    if magic != MAGIC:
        raise ExperienceError(f'an experience starts with {MAGIC!r}, not {magic!r}')
    if kind > max(Kind) or ending >= len(_ENDINGS):
        raise ExperienceError(f'kind {kind} or ending {ending} is not known')
    vector = np.frombuffer(view, '<f4', VECTOR_SIZE, HEADER.size).astype(np.float32)
    frame = np.frombuffer(view, np.uint8, _FRAME, HEADER.size + _VECTOR).reshape(SIZE, SIZE)
    if not (np.isfinite(rest).all() and np.isfinite(vector).all()):
        raise ExperienceError('an experience has values that are not finite')
    return Experience(stream, sequence, weights, Transition(
        Kind(kind), episode, stamp, frame.copy(), vector,
        np.array(rest[:ACTION_SIZE], dtype=np.float32), rest[ACTION_SIZE],
        RewardTerms(*rest[ACTION_SIZE + 1:]), _ENDINGS[ending]))


class Receipt(NamedTuple):
    """What :meth:`StreamLedger.receive` found out about a message."""

    accept: bool
    lost: int


class StreamLedger:
    """Counts, for every stream, what came, what was lost on the way, and what came twice."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._index: dict[int, int] = {}
        self._open: set[int] = set()
        self.received = self.lost = self.doubled = self.headless = 0

    def index(self, stream: int) -> int:
        """Return the small number of a stream, in the order of appearance."""
        return self._index.setdefault(stream, len(self._index))

    def receive(self, item: Experience) -> Receipt:
        """
        Take note of a message.

        accept is false for a doubled one and for a step of an episode whose beginning was not
        seen; lost is how many messages are missing before this one, in which case the stream's
        open episode must be abandoned before the message is used.
        """
        expected = self._next.get(item.stream)
        if expected is not None and item.sequence < expected:
            self.doubled += 1
            return Receipt(False, 0)
        lost = 0 if expected is None else item.sequence - expected
        self._next[item.stream] = item.sequence + 1
        self.received += 1
        self.lost += lost
        if lost:
            self._open.discard(item.stream)
        step = item.transition
        if step.kind is Kind.BEGIN:
            self._open.add(item.stream)
        elif item.stream not in self._open:
            self.headless += 1
            return Receipt(False, lost)
        if step.kind is Kind.ABANDON or step.ending is not None:
            self._open.discard(item.stream)
        return Receipt(True, lost)
