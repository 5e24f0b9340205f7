# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag as experience: the transitions that a learner would have had, had it sat at the wheel.

Observation, reward and endings are made by :mod:`av_td3_ros.driving` as they are live; what is
added here is which recorded command answered which picture.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from av_td3_ros.driving.action import action_from_control
from av_td3_ros.driving.driver import Transition
from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.reading import MessageError
from av_td3_ros.driving.recorded import RecordedDriver
from av_td3_ros.driving.task import DrivingTask
from av_td3_ros.evaluation.alignment import RECEIVED, stamp_of
from av_td3_ros.evaluation.bag import Bag, Message
from av_td3_ros.evaluation.recording import Recording
from av_td3_ros.evaluation.replay import Replay, Seat
from av_td3_ros.evaluation.storage import BagError, Damaged
from av_td3_ros.evaluation.topics import Selection

_DRIVEN_BY = ('command', 'status')
_FOLLOWED = ('route', 'collision', 'odometry', 'image')
_ROUNDED = 1e-6
_MISSING = 1.5      # usual times between two pictures, beyond which one is missing


class Experience(Replay):
    """
    One pass through a bag that tells ``take`` of each transition, in order.

    task: what is driven and rewarded, with the map where there is one. look: called with width and
    height of every picture; may raise :class:`.BagError`. :meth:`run` reads the bag twice: first
    commands and stamps, then the pictures, one at a time: less than 1 kB a picture is kept.

    Afterwards ``recording.account`` has every picture, used or skipped and why, ``driver.cuts``
    why episodes were cut off, ``clipped`` how many commands were beyond what the task's actions
    reach, ``source`` which commands were taken, ``period`` the usual time between two pictures,
    s. Raises :class:`.BagError` where there is no route, or no command to learn from.
    """

    def __init__(self, bag: Bag, selection: Selection, task: DrivingTask,
                 take: Callable[[Transition], None],
                 look: Callable[[int, int], None] = lambda width, height: None) -> None:
        if 'route' not in selection.chosen:
            raise BagError(f'{bag.name} has no route (nav_msgs/msg/Path), without which there is '
                           'no reward; record the topic waypoints too')
        if not any(kind in selection.chosen for kind in _DRIVEN_BY):
            raise BagError(f'{bag.name} has no commands to learn from; record the topic '
                           'vehicle_control_cmd or vehicle_status too')
        super().__init__(bag, selection, [])
        self._task, self._take, self.look = task, take, look
        self.clipped, self.source, self.period = 0, '', 0.0

    def first_size(self) -> tuple[int, int] | None:
        """Read width and height of the first picture that can be read, None without one."""
        for message in self.bag.messages(self._entries_of('image')):
            found = self._decoded(message)
            if not isinstance(found, Exception) and found.picture is not None:
                return found.picture.shape[1], found.picture.shape[0]
        return None

    def run(self) -> Recording:
        """Go through the bag; raise :class:`.BagError` where no command answers a picture."""
        self._actions = self._recorded()
        if np.isnan(self._actions).all():
            raise BagError(f'{self.bag.name} has no command that answers one of its pictures, '
                           'going forward; record pictures and commands of one vehicle together')
        self.driver = RecordedDriver(self._task, self._take, gap=_MISSING * self.period)
        self._seats = [Seat(self.driver)]
        return super().run()

    def _recorded(self) -> np.ndarray:
        """Read what the recorded driver did at each picture, (pictures, 2), NaN for nothing."""
        for message in self.bag.messages(self._entries_of(*_DRIVEN_BY, 'image')):
            self.progress()
            kind = self.selection.kind(message.topic)
            if kind == 'image':
                stamp = None if message.data is None else stamp_of(message.data)
                self.recording.stamp(self.recording.image(message.time), stamp or message.time)
                continue
            note = self._on_command if kind == 'command' else self._on_status
            try:
                decoded = self._decoded(message)
                if isinstance(decoded, Exception):
                    raise decoded
                note(message, decoded)
            except Damaged as error:
                self._lost(kind, -1, f'damaged: {error}')
            except MessageError as error:
                self._lost(kind, -1, f'not usable: {error}')
        self.recording.finish()
        actions, self.source = self.recording.driver, self.recording.driver_source
        times = self.recording.frames['time' if self.pairing == RECEIVED else 'stamp']
        # In the order of receipt: stamps of a time that was set back lie among those before.
        steps = np.diff(times)
        self.period = float(np.median(steps[steps > 0])) * 1e-9 if (steps > 0).any() else 0.0
        self.recording = Recording(0)
        self.entries = self._entries_of(*_FOLLOWED)
        return actions

    def _entries_of(self, *kinds: str) -> Any:
        wanted = [self.selection.chosen[kind] for kind in kinds if kind in self.selection.chosen]
        return self.entries[np.isin(self.entries['topic'], wanted)]

    def _action(self, number: int) -> np.ndarray | None:
        """Return the action (2,) float32 whose command is nearest to what was recorded."""
        steer, drive = self._actions[number].tolist()
        if np.isnan(steer):
            return None
        limits = self._task.settings.action
        # Messages hold float32, in which 0.8 is more than 0.8.
        self.clipped += bool(abs(steer) > limits.max_steer + _ROUNDED
                             or drive > limits.max_throttle + _ROUNDED
                             or -drive > limits.max_brake + _ROUNDED)
        return action_from_control(
            Control(steer=steer, throttle=max(drive, 0.0), brake=max(-drive, 0.0)), limits)

    def _on_image(self, message: Message, image: Any, number: int) -> None:
        if image.picture is not None:
            height, width = image.picture.shape[:2]
            self.look(width, height)
        super()._on_image(message, image, number)

    def _answer(self, number: int, seat: Seat, answer: Any) -> None:
        """Have the recorded driver take a picture; say whether anything is learned from it."""
        image, driver = answer.image.note, self.driver
        driver.action = self._action(image)
        try:
            seat.ticks.observe(answer)
        except ImageError as error:
            self.recording.skip(image, f'not usable: {error}')
            return
        if answer.state is None:
            self.recording.skip(image, 'no odometry of its time')
        elif not driver.used:
            self.recording.skip(image, driver.reason)
        else:
            self.recording.use(image, answer.state, driver.task.route, driver.task.position)

    def _finish(self) -> None:
        super()._finish()
        self.driver.cut("the bag's end")
