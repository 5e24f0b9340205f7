# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Watchdogs, safe stop and gate together, as a driver uses them."""

from __future__ import annotations

import dataclasses

from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.safety.gate import CommandGate, GateSettings
from av_td3_ros.driving.safety.stop import SafeStop, StopSettings
from av_td3_ros.driving.safety.watchdogs import Fault, OK, Watchdogs, WatchdogSettings
from av_td3_ros.settings import section

_PACE = 0.045   # s of wall time between two commands of a safe stop: no faster than real time
_REPEAT = 0.5   # s after which a brake is said again where the clock stands


@dataclasses.dataclass(frozen=True)
class SafetySettings:
    """When to stop, how, and what may be commanded at all."""

    gate: GateSettings = section(GateSettings)
    watchdog: WatchdogSettings = section(WatchdogSettings)
    safe_stop: StopSettings = section(StopSettings)


class Safety:
    """
    What a driver's commands go through, and when they are not the driver's but a safe stop's.

    Each input is told to :attr:`watchdogs`; then :meth:`changed` tells whether what was built on
    the inputs before must be dropped, and :meth:`stop_command` gives the command where the
    driver's must not be sent. ``training``: limits of the gate are off unless asked for, and
    there may be no route. ``lockstep``: see :class:`.Watchdogs`. Times are s of a steady clock,
    stamps ns of simulation time.
    """

    def __init__(self, settings: SafetySettings, now: float, *, training: bool = False,
                 lockstep: bool = False) -> None:
        self.settings = settings
        self.gate = CommandGate(settings.gate,
                                limits=settings.gate.in_training or not training)
        self.watchdogs = Watchdogs(settings.watchdog, now, lockstep=lockstep,
                                   needs_route=not training)
        self._stop = SafeStop(settings.safe_stop, settings.gate.full_brake)
        self.start(now)

    def start(self, now: float) -> None:
        """Begin anew, as at activation."""
        self.watchdogs.start(now)
        self._seen = self.watchdogs.faults
        self._stopping = False
        self._last: int | None = None       # stamp of the newest command
        self._sent = float('-inf')          # when a safe stop's command was sent last
        self._applied = Control()
        self.gate.stop()

    @property
    def fault(self) -> Fault | None:
        """Why the vehicle is being stopped, None while it may be driven."""
        return self.watchdogs.fault

    @property
    def holding(self) -> bool:
        """Whether a safe stop holds the brake in full."""
        return self._stopping and self._stop.holding

    def answered(self, stamp: int) -> bool:
        """Whether the tick of that stamp has its command already."""
        return self._last is not None and stamp <= self._last

    def changed(self) -> bool:
        """Whether a fault began since the last call."""
        dogs, begun = self.watchdogs, False
        if dogs.faults != self._seen:
            self._seen, begun = dogs.faults, True
            if self._last is not None and dogs.newest < self._last - 500_000_000:
                self._last = None   # another time: its stamps begin anew
            self.gate.stop()
        if dogs.fault is not None and not self._stopping:
            self._stop.begin(dogs.speed, self._applied.steer, self._applied.brake)
        elif dogs.fault is None and self._stopping:
            self.gate.stop()
        self._stopping = dogs.fault is not None
        return begun

    def stop_command(self, now: float) -> tuple[Control, int] | None:
        """Return the safe stop's command that is due, and its stamp; None where none is."""
        dogs = self.watchdogs
        if dogs.fault is None or dogs.newest < 0 or now - self._sent < _PACE:
            return None
        if self.answered(dogs.newest) and not (
                dogs.fault.state == 'stopped' and now - self._sent >= _REPEAT):
            return None
        self._sent = now
        stamp = dogs.newest
        fresh = dogs.states()['odometry'] == OK
        return self.command(self._stop.command(stamp, dogs.speed if fresh else None),
                            stamp), stamp

    def command(self, wanted: Control, stamp: int, *, urgent: bool = False) -> Control:
        """Return what to publish instead of ``wanted``."""
        given = self.gate(wanted, stamp, urgent=urgent)
        self._last = stamp if self._last is None else max(self._last, stamp)
        self._applied = given
        return given
