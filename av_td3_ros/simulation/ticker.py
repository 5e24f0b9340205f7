# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When the simulation may tick: play, pause, single steps, and waiting for commands."""

from __future__ import annotations

import enum


class Run(enum.IntEnum):
    """What ``/carla/control`` can ask for (carla_msgs/CarlaControl)."""

    PLAY = 0
    PAUSE = 1
    STEP_ONCE = 2


class Ticker:
    """
    The bridge's rules for ticking, without a clock of its own.

    With ``waits``, each tick wants one command before the next tick: the caller ticks when
    :attr:`due`, and calls :meth:`give_up` after a second of wall time without one. A command that
    comes late counts for the tick that is then being waited for. Without ``waits`` the caller
    paces the ticks, and :attr:`running` says whether it may.
    """

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self.running = True
        self.awaiting = False
        self._step = False

    @property
    def due(self) -> bool:
        """Whether a tick that needs no pacing is to be made now."""
        return self._step or (self.waits and self.running and not self.awaiting)

    def ticked(self) -> bool:
        """Note that a tick was made; return whether it was a single step, so that it pauses."""
        self.awaiting = self.waits
        paused, self._step = self._step, False
        if paused:
            self.running = False
        return paused

    def command(self) -> bool:
        """Note a command for the vehicle; return False where none was expected."""
        if not self.waits:
            return True
        expected, self.awaiting = self.awaiting, False
        return expected

    def give_up(self) -> None:
        """Wait no longer for this tick's command."""
        self.awaiting = False

    def control(self, command: int) -> None:
        """Obey a run command; raises ValueError for an unknown one."""
        command = Run(command)
        self._step = command is Run.STEP_ONCE
        self.running = command is not Run.PAUSE
