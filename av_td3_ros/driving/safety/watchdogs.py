# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Watchdogs over what a driver sees.

They judge on two clocks. A steady one tells that an input is overdue; stamps tell whether the
simulation went on meanwhile, for where it did not, nothing moves and nothing is overdue:

- PAUSE is no fault: while ``/carla/status`` says so, no time counts.
- A simulation that waits for a command each tick makes no ticks either until it has one, or a
  second has passed. So an input is overdue after its deadline and three ticks, or after a second
  and one tick; where a learner in lockstep may think for as long as it likes, after two.
- A driver that was itself held up (a busy machine, SIGSTOP) has its inputs in a queue: a poll that
  comes late leaves what is overdue to the next one.

What is judged by stamps alone: a picture that stays the same, at a grid of its pixels, while the
car covers ground, whatever its stamps; a clock that runs backwards or jumps ahead.

A fault stays until every input is well and ``good_inputs`` pictures in a row came with it so.
Times are s of the steady clock, stamps ns of simulation time.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple
import zlib

import numpy as np

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.settings import setting

_SAMPLE = 4096          # pixels of a picture that are compared with the one before
_TICKS = 3              # without an input, in a simulation that does not wait
_TICK_TIMEOUT = 1.0     # s of wall time, after which one that waits for a command goes on
_HELD_UP = 0.1          # s between two polls from which on this process was held up itself
_SAME_PICTURES = 3      # at least, before a picture counts as frozen
_MOVING = 0.5           # m/s; a standing car has the same position for as long as it likes
_OVERTAKEN = 500_000_000     # ns by which messages may overtake each other
_SYNCHRONOUS_PATIENCE = 2.0     # s; twice what a waiting simulation takes for a tick
OK, WAITING, PAUSED = 'ok', 'waiting', 'paused'


@dataclasses.dataclass(frozen=True)
class WatchdogSettings:
    """When an input is no longer driven by."""

    image_deadline: float = setting(
        0.3, 'wall time without a new picture, while the simulation goes on, after which to stop, '
        's', ge=0.02, le=3600.0)
    odometry_deadline: float = setting(
        0.3, 'wall time without new odometry, while the simulation goes on, after which to stop, '
        's', ge=0.02, le=3600.0)
    frozen_deadline: float = setting(
        0.3, 'simulation time with the same picture, while the car moves, after which to stop, s',
        ge=0.02, le=3600.0)
    frozen_distance: float = setting(
        0.5, 'way that the car must have covered meanwhile, m', ge=0.01, le=1000.0)
    max_drift: float = setting(
        0.3, 'largest difference of the newest stamps of picture and odometry, s', ge=0.01,
        le=3600.0)
    clock_deadline: float = setting(
        1.0, 'wall time without any new stamp after which to stop, where the simulation is not '
        'known to be synchronous, s', ge=0.1, le=3600.0)
    max_jump: float = setting(
        2.0, 'largest step of the clock ahead, s of simulation time', ge=0.1, le=1e9)
    good_inputs: int = setting(
        5, 'good pictures in a row after which to drive on; 1: the first good one', ge=1,
        le=1000)


class _Input:
    """When an input came last, by both clocks."""

    def __init__(self, now: float) -> None:
        self.stamp, self.at, self.ticks, self.repeated = -1, now, 0, 0

    def take(self, stamp: int, now: float) -> None:
        self.stamp, self.at, self.ticks, self.repeated = stamp, now, 0, 0


class Fault(NamedTuple):
    """What is wrong: the watchdog, its state in a word, and a sentence."""

    watchdog: str
    state: str
    reason: str


def fingerprint(picture: np.ndarray) -> int:
    """Return a checksum of a picture (H, W) or (H, W, C), of a grid of its pixels."""
    step = max(1, math.isqrt(picture.shape[0] * picture.shape[1] // _SAMPLE))
    return zlib.crc32(np.ascontiguousarray(picture[::step, ::step]))


class Watchdogs:
    """
    Tell it what comes; ask :meth:`poll` every few milliseconds.

    ``lockstep``: a learner may hold a tick. ``needs_route``: without a route the vehicle stops.
    """

    def __init__(self, settings: WatchdogSettings, now: float, *, lockstep: bool = False,
                 needs_route: bool = True) -> None:
        self.settings = settings
        self._missed = 2 if lockstep else 1
        self._needs_route = needs_route
        self.routed = False
        self.trips: dict[str, int] = {}
        self.faults = 0     # begun so far; what was built on the inputs before is to be dropped
        self.latest = Fault('', OK, '')     # the one that began last
        self._synchronous, self._running, self._status_heard = False, True, False
        self.start(now)

    def start(self, now: float) -> None:
        """Forget what came, as at activation."""
        self.fault: Fault | None = None
        self._present: dict[str, Fault] = {}
        self._event: Fault | None = None    # what happened once, and is over
        self._overdue: list[Fault] = []
        self._guard = ''
        self._good = 0
        self._polled, self._late = now, False
        self.image, self.odometry, self.clock = _Input(now), _Input(now), _Input(now)
        self._advanced = now
        self.newest = -1
        self.speed: float | None = None
        self._picture: int | None = None
        self._changed, self._same, self._moved = 0, 0, 0.0
        self._place: tuple[float, float] | None = None
        self._stuck = 0.0
        self._drifting: float | None = None

    # What comes

    def add_clock(self, stamp: int, now: float) -> None:
        """Note ``/clock``."""
        before = self.clock.stamp
        if before >= 0 and stamp < before:
            self._backwards(before, stamp, now)
        elif before >= 0:
            self._check_jump(before, stamp)
        if stamp > self.clock.stamp:
            self._tick()
        self.clock.take(stamp, now)
        self._advance(stamp, now)

    def add_image(self, stamp: int, picture: int, now: float) -> None:
        """Note a usable picture by its :func:`fingerprint`; asks :meth:`poll` too."""
        before = self.image.stamp
        if stamp == before:
            self.image.repeated += 1
            return
        if before >= 0:
            if stamp < before - _OVERTAKEN:
                # Also where /clock goes on well: one picture far ahead, or one that is left of
                # another time, would have all the later ones taken for old.
                self._backwards(before, stamp, now)
            elif stamp > before and self.clock.stamp < 0:
                # Without /clock, the pictures are the clock.
                self._check_jump(before, stamp)
        if self.image.stamp >= 0 and stamp < self.image.stamp:
            return
        self.image.take(stamp, now)
        if self.clock.stamp < 0:
            self.odometry.ticks += 1
        self._advance(stamp, now)
        if picture != self._picture:
            self._picture, self._changed, self._same, self._moved = picture, stamp, 0, 0.0
        else:
            self._same += 1
        self._judge(now, now - self._polled > _HELD_UP)
        if self.fault is not None:
            self._good = 0 if self._present else self._good + 1
            if self._good >= self.settings.good_inputs:
                self.fault = None

    def add_odometry(self, state: VehicleState, now: float) -> None:
        """Note usable odometry."""
        stamp, before = state.stamp, self.odometry.stamp
        if 0 <= stamp < before - _OVERTAKEN:
            self._backwards(before, stamp, now)
            self._judge(now, late=True)
        if stamp <= self.odometry.stamp:
            self.odometry.repeated += 1
            return
        if self.clock.stamp < 0:
            self._tick()
        seconds = (stamp - self.odometry.stamp) * 1e-9 if self.odometry.stamp >= 0 else 0.0
        self.odometry.take(stamp, now)
        self._advance(stamp, now)
        self.speed = state.speed
        covered = state.speed * seconds if seconds < 1.0 else 0.0
        self._moved += covered
        place = state.pose.x, state.pose.y
        still = place == self._place and state.speed > _MOVING
        self._stuck = self._stuck + covered if still else 0.0
        self._place = place

    def simulation(self, *, synchronous: bool, running: bool, now: float) -> None:
        """Note what ``/carla/status`` says."""
        if running and not self._running:
            self._excuse(now)
        self._status_heard = True
        self._synchronous, self._running = synchronous, running or not synchronous

    def guard(self, reason: str) -> None:
        """Note why the guard brakes; empty when it does not."""
        self._guard = reason

    def poll(self, now: float) -> Fault | None:
        """Return what is wrong now, None where all is well and may be driven by."""
        # Twice in a row is how it is on this machine.
        late = now - self._polled > _HELD_UP and not self._late
        self._polled, self._late = now, late
        self._judge(now, late)
        return self.fault

    @property
    def paused(self) -> bool:
        """Whether the simulation is paused."""
        return not self._running

    def states(self) -> dict[str, str]:
        """Return each watchdog's state in a word."""
        first = {'image': self.image, 'odometry': self.odometry}
        found = {name: WAITING if item.stamp < 0 else OK for name, item in first.items()}
        found['pairing'] = OK
        found['route'] = OK if self.routed or not self._needs_route else WAITING
        found['clock'] = (PAUSED if self.paused else WAITING if self.newest < 0
                          else 'stopped' if self._stands(self._polled) else OK)
        found['guard'] = OK
        for fault in ([] if self.fault is None else [self.fault]) + list(self._present.values()):
            found[fault.watchdog] = fault.state
        return found

    # What follows

    def _judge(self, now: float, late: bool) -> None:
        before = self._present
        found = self._at_once() + (
            [fault for fault in before.values() if fault in self._overdue] if late
            else self._look_at_time(now))
        self._present = {fault.watchdog: fault for fault in reversed(found)}
        event, self._event = self._event, None
        new = [fault for name, fault in self._present.items() if name not in before]
        new += [event] if event is not None else []
        for fault in new:
            self.trips[fault.watchdog] = self.trips.get(fault.watchdog, 0) + 1
        if new:
            self.faults += 1
            self.latest = new[-1]
            self._good = 0
        if found:
            self.fault = found[0]
        elif event is not None:
            self.fault = event

    def _at_once(self) -> list[Fault]:
        """Return what is wrong whatever the time is."""
        found = []
        if self._guard:
            found.append(Fault('guard', 'braking', f'the guard brakes: {self._guard}'))
        if self._needs_route and not self.routed:
            found.append(Fault('route', 'missing', 'there is no route'))
        if self._frozen:
            found.append(Fault(
                'image', 'frozen', f'{self._same + 1} pictures are the same, and the car moved '
                f'{self._moved:.1f} m'))
        if self._stuck >= 2.0 * self.settings.frozen_distance:
            found.append(Fault('odometry', 'frozen', 'the position stays the same at '
                               f'{self.speed:.1f} m/s'))
        return found

    def _look_at_time(self, now: float) -> list[Fault]:
        """Return what is overdue."""
        found: list[Fault] = []
        s = self.settings
        if not self.paused:
            for name, item, deadline, word in (
                    ('image', self.image, s.image_deadline, 'missing'),
                    ('odometry', self.odometry, s.odometry_deadline, 'stale')):
                age = now - item.at
                if age > deadline and item.ticks >= (
                        self._missed if age > _TICK_TIMEOUT else _TICKS):
                    found.append(Fault(
                        name, 'frozen' if item.repeated else word,
                        f'no new {name} for {age:.2f} s' + (
                            f', but {item.repeated} with the same stamp' if item.repeated
                            else '')))
            if self._drifts(now) and not found:
                apart = abs(self.image.stamp - self.odometry.stamp) * 1e-9
                found.append(Fault('pairing', 'drifting',
                                   f'picture and odometry are {apart:.2f} s apart'))
            if self._stands(now) and not (self._status_heard and self._synchronous):
                found.append(Fault('clock', 'stopped',
                                   f'no new stamp for {now - self._advanced:.2f} s'))
        self._overdue = found
        return found

    @property
    def _frozen(self) -> bool:
        s = self.settings
        return (self._same >= _SAME_PICTURES and self._moved >= s.frozen_distance
                and self.image.stamp - self._changed >= s.frozen_deadline * 1e9)

    def _drifts(self, now: float) -> bool:
        apart = abs(self.image.stamp - self.odometry.stamp) * 1e-9
        if self.image.stamp < 0 or self.odometry.stamp < 0 or apart <= self.settings.max_drift:
            self._drifting = None
            return False
        self._drifting = now if self._drifting is None else self._drifting
        return now - self._drifting > self.settings.image_deadline

    def _stands(self, now: float) -> bool:
        """Whether no stamp came for too long."""
        patience = self.settings.clock_deadline
        if self._status_heard and self._synchronous:
            patience = max(patience, _SYNCHRONOUS_PATIENCE)
        return self.newest >= 0 and now - self._advanced > patience

    def _tick(self) -> None:
        self.image.ticks += 1
        self.odometry.ticks += 1

    def _advance(self, stamp: int, now: float) -> None:
        if stamp > self.newest:
            self.newest, self._advanced = stamp, now

    def _check_jump(self, before: int, stamp: int) -> None:
        ahead = (stamp - before) * 1e-9
        if ahead > self.settings.max_jump:
            self._event = Fault('clock', 'jumped', f'the clock jumped ahead by {ahead:.2f} s')

    def _backwards(self, before: int, stamp: int, now: float) -> None:
        """Forget the inputs of another time."""
        self._event = Fault('clock', 'backwards', 'the clock was set back by '
                            f'{(before - stamp) * 1e-9:.2f} s')
        self.newest = -1
        for item in (self.image, self.odometry, self.clock):
            item.take(-1, now)
        self._changed, self._same, self._moved = stamp, 0, 0.0
        self._drifting = None

    def _excuse(self, now: float) -> None:
        for item in (self.image, self.odometry, self.clock):
            item.at = max(item.at, now)
        self._advanced = now
        self._drifting = None
