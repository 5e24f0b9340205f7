# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From pictures and odometry as they come to ticks that the driver takes, live and from a bag."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from av_td3_ros.driving.driver import Driver, Transition
from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.pairing import Answer, StampPairer
from av_td3_ros.driving.start import Request


class Picture(NamedTuple):
    """A picture, (H, W, C) or (H, W) uint8 in ``encoding``, with what its receiver notes of it."""

    image: np.ndarray
    encoding: str
    note: Any = None


class Ticks:
    """
    The order of a vehicle's ticks, for one driver.

    Every picture that is added comes back once, in an :class:`~.pairing.Answer` to be passed to
    :meth:`observe`, except one whose stamp repeats. Stamps are ns of simulation time; where they
    go back by half a second or more, time was set back: ``restarted`` is called with what the
    learner must know of the open episode, and everything before is forgotten.
    """

    def __init__(self, driver: Driver, restarted: Callable[[list[Transition]], None]) -> None:
        self.driver = driver
        self.pairer: StampPairer[Picture, VehicleState] = StampPairer()
        self._restarted = restarted

    def add_picture(self, stamp: int, picture: Picture) -> list[Answer]:
        """Take a picture; return what can be answered now, oldest first."""
        self._check(stamp)
        return self.pairer.add_image(stamp, picture)

    def add_state(self, state: VehicleState) -> list[Answer]:
        """Take an odometry; return what can be answered now, oldest first."""
        self._check(state.stamp)
        return self.pairer.add_state(state.stamp, state)

    def give_up(self) -> list[Answer]:
        """Return the pictures that still wait for odometry, to be answered alone."""
        waiting = self.pairer.waiting
        return [] if waiting is None else self.pairer.give_up(waiting)

    def start_anew(self) -> None:
        """Forget everything about the ticks so far."""
        self.pairer.clear()
        self._restarted(self.driver.reset())

    def observe(self, answer: Answer) -> tuple[list[Transition], Request]:
        """
        Have the driver take an answered picture; the command is then :meth:`.Driver.decide`'s.

        Raises ImageError as :meth:`.Driver.observe`: that picture gets no command.
        """
        if answer.state is None:
            return self.driver.observe_alone(), Request.NOTHING
        return self.driver.observe(answer.state, answer.image.image, answer.image.encoding)

    def _check(self, stamp: int) -> None:
        if self.pairer.went_back(stamp):
            self.start_anew()
