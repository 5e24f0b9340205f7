# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag's messages through the driver of the policy node, once, in the order of their receipt.

The observation, the pairing and the command are those of :mod:`av_td3_ros.driving`; nothing of
them is made here. What the recorded driver did is gathered on the way.
"""

from __future__ import annotations

from collections import Counter
import dataclasses
import time
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import numpy as np

from av_td3_ros.driving.action import action_from_control, ActionSettings
from av_td3_ros.driving.driver import Driver, Phase
from av_td3_ros.driving.frames import Control, VehicleState
from av_td3_ros.driving.image import ImageError, to_frame
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.pictures import read_picture
from av_td3_ros.driving.reading import (MessageError, read_control, read_odometry, read_path,
                                        read_stamp)
from av_td3_ros.driving.route import Route, RouteError
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.driving.ticks import Picture, Ticks
from av_td3_ros.evaluation.ahead import ahead
from av_td3_ros.evaluation.alignment import Aligner, choose, EXACT, RECEIVED, stamp_of
from av_td3_ros.evaluation.bag import Bag, Message
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.evaluation.recording import Recording
from av_td3_ros.evaluation.storage import BagError, Damaged
from av_td3_ros.evaluation.topics import KINDS, OTHERS, Selection

_SAMPLE = 40
_PLAIN = ActionSettings()


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A policy to be judged: its name, how it acts, and the task that it was trained on."""

    name: str
    act: Callable[[Observation], np.ndarray]
    settings: TaskSettings = TaskSettings()


class _Seen(NamedTuple):
    """A picture's stamp, ns, and the picture, or why it cannot be used."""

    stamp: int
    picture: Any = None
    encoding: str = ''
    error: MessageError | None = None


def _seen(image: Any, *, reduce: bool) -> _Seen:
    """Return what is in a message with a picture; reduced to what a policy is shown if asked."""
    stamp = read_stamp(image.header.stamp)
    try:
        picture, encoding = read_picture(image)
    except MessageError as error:
        return _Seen(stamp, error=error)
    if reduce:
        try:
            # Of a frame that is one already, the policy's own reduction makes the same again.
            picture, encoding = to_frame(picture, encoding), 'mono8'
        except ImageError:
            pass    # it is said where the picture is used
    return _Seen(stamp, picture, encoding)


class Seat:
    """A place at the wheel: a driver, and the order of its ticks."""

    took: Sequence[float] = ()

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.ticks = Ticks(driver, lambda transitions: None)


class _Seat(Seat):
    """One policy's place at the wheel; ``took`` is how long its decisions were, s."""

    def __init__(self, candidate: Candidate) -> None:
        self.took: list[float] = []
        self._act = candidate.act
        super().__init__(Driver(DrivingTask(candidate.settings), self._timed))

    def _timed(self, observation: Observation) -> np.ndarray:
        begun = time.perf_counter()
        action = self._act(observation)
        self.took.append(time.perf_counter() - begun)
        return action


class Replay:
    """
    One pass through a bag with any number of policies, each with a driver of its own.

    pairing: 'exact', 'nearest' or 'received' (:mod:`.alignment`), empty to find out. seen: called
    for every used picture with its number, the policy's number and what it was given. progress:
    called for every message. threads: 2 to read, decode and reduce pictures in a second thread,
    which changes nothing else.
    """

    def __init__(self, bag: Bag, selection: Selection, candidates: Sequence[Candidate], *,
                 pairing: str = '', route: Route | None = None,
                 seen: Callable[[int, int, Observation], None] | None = None,
                 progress: Callable[[], None] = lambda: None, threads: int = 1) -> None:
        self._threads = threads
        self.bag, self.selection = bag, selection
        self._decoder = Decoder(bag.topics)
        self._seats: list[Seat] = [_Seat(candidate) for candidate in candidates]
        self.seen, self.progress = seen, progress
        self.recording = Recording(len(candidates))
        self._unreadable: Counter[str] = Counter()
        for kind, number in selection.chosen.items():
            name = bag.topics[number].type
            if not self._decoder.knows(name):
                raise BagError(f'{bag.topics[number].name} is {name}, whose definition is neither '
                               'in the bag nor known')
        self.entries = self._order()
        self.pairing = pairing or self._find_pairing()
        self._aligner = None if self.pairing == EXACT else Aligner()
        self._route = route
        if route is not None:
            for seat in self._seats:
                seat.driver.set_route(route)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def pictures(self) -> int:
        """How many pictures the bag has."""
        return int((self.entries['topic'] == self.selection.chosen['image']).sum())

    @property
    def times(self) -> list[Sequence[float]]:
        """How long each policy took for its decisions, s."""
        return [seat.took for seat in self._seats]

    def run(self) -> Recording:
        """Go through the bag."""
        handlers: dict[str, Callable[[Message, Any], None]] = {
            'odometry': self._on_odometry, 'route': self._on_route,
            'collision': self._on_collision, 'command': self._on_command,
            'status': self._on_status, 'lane_invasion': self._on_lane_invasion,
            'objects': self._on_objects, OTHERS: self._on_other}
        kinds = {number: self.selection.kind(number) for number in
                 (*self.selection.chosen.values(), *self.selection.others)}
        taken = self._taken()
        for message, decoded in ahead(taken) if self._threads > 1 else taken:
            kind = kinds[message.topic]
            number = self.recording.image(message.time) if kind == 'image' else -1
            try:
                if isinstance(decoded, Exception):
                    raise decoded
                if kind == 'image':
                    self._on_image(message, decoded, number)
                else:
                    handlers[kind](message, decoded)
            except Damaged as error:
                self._lost(kind, number, f'damaged: {error}')
            except (MessageError, RouteError) as error:
                self._lost(kind, number, f'not usable: {error}')
                if kind == 'route' and self._route is None:
                    for seat in self._seats:
                        seat.driver.set_route(None)
            self.progress()
        self._finish()
        return self.recording

    def _taken(self) -> Iterator[tuple[Message, Any]]:
        """Yield each message and what is in it, or why that cannot be said."""
        for message in self.bag.messages(self.entries):
            yield message._replace(data=None), self._decoded(message)

    def _decoded(self, message: Message) -> Any:
        """Return what is in a message, or the Damaged or MessageError that says why not."""
        try:
            if message.data is None:
                raise Damaged(message.lost)
            decoded = self._decoder.decode(self.bag.topics[message.topic].type, message.data)
            if message.topic == self.selection.chosen['image']:
                decoded = _seen(decoded, reduce=self._threads > 1)
        except (Damaged, MessageError) as error:
            return error
        return decoded

    def _lost(self, kind: str, number: int, reason: str) -> None:
        if number >= 0:
            self.recording.skip(number, reason)
        else:
            self._unreadable[f'{kind}: {reason}'] += 1

    def _finish(self) -> None:
        if self._aligner is not None:
            self._aligned(self._aligner.finish())
        for number, seat in enumerate(self._seats):
            for answer in seat.ticks.give_up():
                self._answer(number, seat, answer)
        self.recording.finish()
        self.recording.notes += [
            f'{count} messages were left out ({reason})'
            for reason, count in sorted(self._unreadable.items())] + self._decoder.notes

    # Order and pairing

    def _order(self) -> Any:
        order = list(KINDS)
        rank = [len(order) + 1] * len(self.bag.topics)
        for kind, number in self.selection.chosen.items():
            rank[number] = 1 + order.index(kind)
        return self.bag.order([*self.selection.chosen.values(), *self.selection.others], rank)

    def _find_pairing(self) -> str:
        """Look at the first pictures and the odometry around them."""
        topics = self.entries['topic']
        images = self.entries[topics == self.selection.chosen['image']]
        states = self.entries[topics == self.selection.chosen['odometry']]
        # From the middle on: what is recorded first may lack its other half.
        middle = max(len(images) // 2 - _SAMPLE // 2, 0)
        images = images[middle:middle + _SAMPLE]
        if not len(images) or not len(states):
            return EXACT
        near = slice(*np.searchsorted(states['time'], [
            images['time'][0] - 1_000_000_000, images['time'][-1] + 1_000_000_000]))
        found: list[list[tuple[int, int]]] = []
        for entries in (images, states[near][:20 * _SAMPLE]):
            found.append([(stamp, message.time) for message in self.bag.messages(entries)
                          if message.data is not None
                          and (stamp := stamp_of(message.data)) is not None])
        return choose(*found)

    # Input

    def _on_image(self, message: Message, image: _Seen, number: int) -> None:
        stamp = image.stamp
        self.recording.stamp(number, stamp or message.time)
        if image.error is not None:
            raise image.error
        if self.pairing == RECEIVED:
            stamp = message.time
        picture = Picture(image.picture, image.encoding, number)
        if self._aligner is None:
            self._add_picture(stamp, picture)
        else:
            # The picture outlives the message that it is a view of.
            self._aligned(self._aligner.picture(stamp, picture))

    def _on_odometry(self, message: Message, odometry: Any) -> None:
        state = read_odometry(odometry)
        if self.pairing == RECEIVED:
            state = dataclasses.replace(state, stamp=message.time)
        self.recording.odometry(state)
        if self._aligner is not None:
            self._aligned(self._aligner.state(state.stamp, state))
            return
        for number, seat in enumerate(self._seats):
            for answer in seat.ticks.add_state(state):
                self._answer(number, seat, answer)

    def _aligned(self, settled: Sequence[tuple[int, Any, VehicleState | None]]) -> None:
        for stamp, picture, state in settled:
            if state is not None:
                for number, seat in enumerate(self._seats):
                    for answer in seat.ticks.add_state(state):
                        self._answer(number, seat, answer)
            self._add_picture(stamp, picture)

    def _add_picture(self, stamp: int, picture: Picture) -> None:
        for number, seat in enumerate(self._seats):
            for answer in seat.ticks.add_picture(stamp, picture):
                self._answer(number, seat, answer)

    def _on_route(self, message: Message, path: Any) -> None:
        if self._route is None:
            route = Route(read_path(path))
            for seat in self._seats:
                seat.driver.set_route(route)

    def _on_collision(self, message: Message, event: Any) -> None:
        impulse = event.normal_impulse
        self.recording.collision(message.time, int(event.other_actor_id), float(
            np.hypot(np.hypot(impulse.x, impulse.y), impulse.z)))
        for seat in self._seats:
            seat.driver.set_collided()

    def _on_command(self, message: Message, command: Any) -> None:
        self.recording.command(read_stamp(command.header.stamp), message.time,
                               _plain_action(read_control(command, clip=True)))

    def _on_status(self, message: Message, status: Any) -> None:
        stamp = read_stamp(status.header.stamp)
        self.recording.status(stamp or message.time, message.time,
                              _plain_action(read_control(status.control, clip=True)))

    def _on_lane_invasion(self, message: Message, event: Any) -> None:
        self.recording.lane_invasion(message.time,
                                     [int(kind) for kind in event.crossed_lane_markings])

    def _on_objects(self, message: Message, objects: Any) -> None:
        self.recording.objects(message.time, objects.objects)

    def _on_other(self, message: Message, odometry: Any) -> None:
        self.recording.other(message.time, message.topic, read_odometry(odometry))

    # Output

    def _answer(self, number: int, seat: Seat, answer: Any) -> None:
        """Have a policy answer a picture; whether it is used depends on no policy."""
        image, reason = answer.image.note, ''
        try:
            seat.ticks.observe(answer)
            control = seat.driver.decide()
            if answer.state is None:
                reason = 'no odometry of its time'
            elif seat.driver.phase is not Phase.DRIVING:
                reason = seat.driver.reason
        except ImageError as error:
            reason = f'not usable: {error}'
        if reason:
            self.recording.skip(image, reason)
            return
        self.recording.action(image, number, _command(control))
        if number == 0:
            task = seat.driver.task
            self.recording.use(image, answer.state, task.route, task.position)
        if self.seen is not None:
            self.seen(image, number, seat.driver.observation)


def _command(control: Control) -> np.ndarray:
    """Return a command as (steer, throttle or brake)."""
    return action_from_control(control, _PLAIN)


def _plain_action(control: Control) -> np.ndarray | None:
    """Return a recorded command; None in reverse, which no policy drives."""
    return None if control.reverse else _command(control)
