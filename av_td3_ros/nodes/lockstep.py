# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lockstep: the vehicle acts once the learner has taken what came before."""

from __future__ import annotations

import time
from typing import Callable

from av_td3_ros.driving.pairing import Answer
from av_td3_ros.nodes.bridge_control import BridgeControl
from av_td3_ros.nodes.trainer_link import TrainerLink
from av_td3_ros.ros.throttled import Warnings


class Lockstep:
    """
    Holds a tick back: until the learner answers, or until training can begin.

    ``act`` decides on the tick whose experience was answered; ``answer`` takes up a tick that
    was held while routes or training node were missing. ``patience`` is how long the learner may
    take, s of wall time, before the simulation is paused meanwhile: it ticks on by itself after
    a second.
    """

    def __init__(self, trainer: TrainerLink, bridge: BridgeControl, warnings: Warnings,
                 patience: float, *, act: Callable[[], None],
                 answer: Callable[[Answer], None]) -> None:
        self._trainer, self._bridge, self._warnings = trainer, bridge, warnings
        self._patience, self._act, self._answer = patience, act, answer
        self._awaiting: tuple[int, float] | None = None
        self._held: Answer | None = None
        self._begun = False
        self.superseded = self.pauses = 0

    @property
    def holds(self) -> bool:
        """Whether the simulation is held until training can begin."""
        return self._held is not None

    @property
    def awaiting(self) -> bool:
        """Whether a tick waits for the learner."""
        return self._awaiting is not None

    def forget(self) -> None:
        """Drop what is held, and let the simulation go."""
        self._awaiting = self._held = None
        self._bridge.resume()

    def new_picture(self) -> None:
        """Give up the tick that waits, since the simulation went on by itself."""
        if self._awaiting is not None:
            # It went on with the last command: one that came now would count for this tick, and
            # every later one would come a tick too late.
            self._awaiting = None
            self.superseded += 1
            self._warnings.warn('superseded', 'the simulation did not wait for a command: that '
                                'of a picture before is left out')

    def await_learner(self) -> None:
        """Wait with the present tick's command for the answer to the experience just sent."""
        self._awaiting = self._trainer.last_sent, time.monotonic()

    def hold(self, answer: Answer) -> None:
        """Hold a tick, and the simulation, until training can begin."""
        self._held = answer
        self._bridge.pause()

    def heard(self) -> None:
        """Act once the learner has taken the experience and its weights are here."""
        if self._awaiting is not None and self._trainer.answered(self._awaiting[0]):
            self._finish()

    def poll(self, ready: Callable[[], bool]) -> None:
        """Look after what is held; ``ready`` tells whether training can begin."""
        if self._awaiting is not None and time.monotonic() - self._awaiting[1] > self._patience:
            self._wait_longer()
        if (not self._begun or self._held is not None) and ready():
            # From the tick at which the simulation was held.
            self._begun = True
            answer, self._held = self._held, None
            if answer is not None:
                self._answer(answer)
            # Also one that was started paused, by somebody else.
            self._bridge.resume(whether_or_not=True)

    def _finish(self) -> None:
        self._awaiting = None
        self._act()
        self._bridge.resume()

    def _wait_longer(self) -> None:
        if not self._trainer.connected:
            self._warnings.warn('lockstep', 'the learner went away: driving on without it')
            self._finish()
        elif not self._bridge.paused:
            self.pauses += 1
            self._warnings.warn('lockstep', 'the learner does not answer in time: the simulation '
                                'is paused meanwhile')
            self._bridge.pause()
