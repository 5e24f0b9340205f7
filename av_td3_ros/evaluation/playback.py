# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a player sends of a bag, in which order and when, and which commands that will bring.

The order is that of :class:`~av_td3_ros.evaluation.replay.Replay`, so that a policy node that is
fed by it sees what ``evaluate_bag`` shows its policies.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Iterator, NamedTuple, Sequence, Union

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.pairing import StampPairer
from av_td3_ros.driving.pictures import read_picture
from av_td3_ros.driving.reading import MessageError, read_odometry, read_path, read_stamp
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.evaluation.alignment import Aligner, EXACT, RECEIVED
from av_td3_ros.evaluation.bag import Bag, Message
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.evaluation.replay import Replay
from av_td3_ros.evaluation.storage import Damaged
from av_td3_ros.evaluation.topics import Selection

PLAYED = ('route', 'collision', 'lane_invasion', 'command', 'status', 'odometry', 'image')
"""The kinds of topics that are sent; other vehicles are none of a policy's business."""


class Sent(NamedTuple):
    """
    One message to be sent.

    time: when it was received, ns of the bag's clock. stamp: ns of simulation time, -1 where it
    does not say when it is. data: the message in CDR as it is in the bag, or what takes its place:
    a decoded picture, or odometry with another stamp. answers: the stamps of the pictures that a
    policy node answers once it has this.
    """

    time: int
    kind: str
    stamp: int
    data: Union[bytes, Picture, VehicleState]
    answers: tuple[int, ...] = ()


class Playback:
    """
    A bag as it is to be sent to a policy node.

    pairing and route as for :class:`.replay.Replay`; with a ``route`` those of the bag are left
    out. Where pictures and odometry have no equal stamps, odometry gets the picture's, since a
    node pairs by them. What nobody could read is left out, and counted in ``left_out``.
    """

    def __init__(self, bag: Bag, selection: Selection, *, pairing: str = '',
                 route: Route | None = None) -> None:
        self._bag, self._selection, self._route = bag, selection, route
        replay = Replay(bag, selection, [], pairing=pairing)
        self.pairing, self.left_out = replay.pairing, 0
        self._entries = replay.entries
        self._decoder = Decoder(bag.topics)
        self._aligner = None if self.pairing == EXACT else Aligner()
        self._pairer: StampPairer[None, None] = StampPairer()

    @property
    def pictures(self) -> int:
        """How many pictures the bag has."""
        return int((self._entries['topic'] == self._selection.chosen['image']).sum())

    def __iter__(self) -> Iterator[Sent]:
        time = 0
        for message in self._bag.messages(self._entries):
            kind, time = self._selection.kind(message.topic), message.time
            if kind not in PLAYED or kind == 'route' and self._route is not None:
                continue
            try:
                if message.data is None:
                    raise Damaged(message.lost)
                decoded = self._decoder.decode(self._bag.topics[message.topic].type, message.data)
                sent = list(self._of(message, kind, decoded))
            except (Damaged, MessageError):
                # A route that is none takes away the one before it, as in the node.
                self.left_out += 1
                sent = [Sent(time, kind, -1, b'')] if kind == 'route' else []
            yield from sent
        if self._aligner is not None:
            yield from self._aligned(time, self._aligner.finish())

    def _of(self, message: Message, kind: str, decoded: Any) -> Iterator[Sent]:
        time = message.time
        if kind == 'image':
            yield from self._picture(message, decoded)
        elif kind == 'odometry':
            state = read_odometry(decoded)
            if self._aligner is None:
                yield Sent(time, kind, state.stamp, bytes(message.data),
                           self._pair(state.stamp, None))
            else:
                at = time if self.pairing == RECEIVED else state.stamp
                yield from self._aligned(time, self._aligner.state(at, dataclasses.replace(
                    state, stamp=at)))
        else:
            if kind == 'route':
                read_path(decoded)
            stamp = read_stamp(decoded.header.stamp)
            yield Sent(time, kind, -1 if kind == 'route' else stamp, bytes(message.data))

    def _picture(self, message: Message, image: Any) -> Iterator[Sent]:
        stamp = read_stamp(image.header.stamp)
        picture, encoding = read_picture(image)
        raw = hasattr(image, 'encoding')
        if self._aligner is None:
            data: Any = bytes(message.data) if raw else Picture(picture, encoding)
            yield Sent(message.time, 'image', stamp, data, self._pair(stamp, data))
            return
        # The memory is the message's, which may be gone before an aligner lets go of it.
        data = Picture(picture.copy() if raw else picture, encoding)
        yield from self._aligned(message.time, self._aligner.picture(
            message.time if self.pairing == RECEIVED else stamp, data))

    def _aligned(self, time: int, settled: Sequence[tuple[int, Any, VehicleState | None]]
                 ) -> Iterator[Sent]:
        for stamp, picture, state in settled:
            if state is not None:
                yield Sent(time, 'odometry', stamp, state, self._pair(stamp, None))
            yield Sent(time, 'image', stamp, picture, self._pair(stamp, picture))

    def _pair(self, stamp: int, picture: Any) -> tuple[int, ...]:
        """Return which pictures the node's own pairing will answer."""
        pairer = self._pairer
        if pairer.went_back(stamp):
            pairer.clear()
        answers = pairer.add_state(stamp, None) if picture is None \
            else pairer.add_image(stamp, None)
        return tuple(answer.stamp for answer in answers)
