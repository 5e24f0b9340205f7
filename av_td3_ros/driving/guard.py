# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The guard's judgement: when to brake for a driver that fell silent, and when to hand back.

CARLA and its bridge keep applying the last command, so a driver that dies at full throttle leaves
a car that drives on. The guard watches commands and vehicle, and takes over through the bridge's
manual override. It knows no ROS; times are seconds of a steady clock, stamps nanoseconds of
simulation time.

**Silence** is measured on two clocks at once. The driver is silent when, since its last good
command, both ``deadline`` seconds of wall time have passed *and* the simulation has made
``missed_ticks`` ticks. Either alone misjudges:

- ``/carla/control`` PAUSE stops the simulation. The driver gets no pictures and sends nothing for
  minutes of wall time, and the car stands still in the world too: no ticks, no silence.
- In synchronous mode with waiting commands, a learner may think for as long as it likes. The
  world waits with it, up to a second of wall time a tick; a driver that is slower than that now
  and then misses one tick, not three in a row. One that is dead misses them all, one a second,
  and the guard takes over after three, 0.15 s of simulated driving.
- A simulation faster than real time makes three ticks within milliseconds, while a good command
  is on its way; wall time tells.
- A simulation that stalls (a busy machine) makes no ticks; no command could reach it either.

Ticks are told by ``/clock``.

One rule goes by wall time alone: where the clock stopped coming although the simulation is not
paused and is not in synchronous mode, the world may be moving unseen, and ``blind_deadline``
seconds without a command are enough.

A driver that also sends a heartbeat is known to live, and may have its reasons: while its beats go
on it has ``alive_deadline`` instead of ``deadline``, in which its own watchdogs stop the car more
gently. It is known to be dead sooner where ticks wait for it: after ``heartbeat_deadline``
seconds without a beat and without a command, one missed tick is enough.

**A guard that was halted itself** (a busy machine) has not listened: ticks and commands of that
time come to it at once, the older ones lost, and three ticks may be heard before a command that
fits. After ``_AWAY`` seconds without a look it first takes in what has come, for ``_CATCH_UP``
seconds, but once only between two good commands.

A command that is not finite or out of range is braked for at once. One whose stamp is older than
``max_age`` of simulation time (a driver that repeats itself) counts as silence; one with no stamp
is judged by its arrival.

A silent driver is only braked for when there is something to brake: a moving car. A speed that
was heard more than ten ticks ago says nothing of now: unknown counts as moving. A driver that
stopped the car and said goodbye is left in peace, and one that never drove (the autopilot, a
person at the manual controls) is not the guard's to judge: it arms with the first good command,
and yields while the autopilot is on or someone else holds the override.

**A clock that is set back** is another simulation, in which nobody drove yet, or the same one
under a car that moves. Which of both the speed tells: the guard stays armed until the car stands.

**Braking** sends the override and then one brake command a tick, no faster than real time, so
that a waiting simulation neither stalls nor races. Steering stays as it was last applied: the
car comes to a stop along the bend that it was in. The brake is held until ``good_commands`` good
ones in a row have come, then the override is released: the brake stays applied until the driver's
next command, so nothing jolts.

**Restart.** A guard that dies while it brakes leaves the brake applied and the override on, which
is safe. The next one releases the override after ``good_commands`` good ones, once, whether or
not it was on. For the guard itself nothing is at stake while it only watches.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import NamedTuple, Optional

from av_td3_ros.settings import setting


@dataclasses.dataclass(frozen=True)
class GuardSettings:
    """When the guard brakes, how, and when it lets go."""

    deadline: float = setting(0.2, 'wall time without a good command after which to brake, s',
                              ge=0.02, le=60.0)
    missed_ticks: int = setting(3, 'ticks without a good command that are needed as well',
                                ge=1, le=1000)
    blind_deadline: float = setting(
        1.0, 'wall time without a good command after which to brake where the clock stopped '
        'too, s', ge=0.1, le=600.0)
    alive_deadline: float = setting(
        0.6, "wall time without a good command after which to brake while the driver's heartbeat "
        'goes on, s', ge=0.02, le=60.0)
    heartbeat_deadline: float = setting(
        1.0, "wall time without the driver's heartbeat after which one missed tick is enough, s",
        ge=0.1, le=600.0)
    max_age: float = setting(0.5, 'oldest stamp of a good command, s of simulation time', ge=0.01,
                             le=60.0)
    good_commands: int = setting(5, 'good commands in a row after which to hand back', ge=1,
                                 le=1000)
    brake: float = setting(1.0, 'brake applied, as in CarlaEgoVehicleControl', ge=0.1, le=1.0)
    standstill_speed: float = setting(0.1, 'the car stands below this, m/s', ge=0.0, le=5.0)


class State(str, enum.Enum):
    """What the guard is doing."""

    IDLE = 'idle'            # nobody has driven yet
    WATCHING = 'watching'
    BRAKING = 'braking'
    YIELDING = 'yielding'    # the autopilot or a person drives


class Brake(NamedTuple):
    """A brake command; fields and signs of CarlaEgoVehicleControl."""

    brake: float
    steer: float


class Order(NamedTuple):
    """What to publish now: the override if not None, and then a brake command if not None."""

    override: Optional[bool] = None
    brake: Optional[Brake] = None


# Two topics have no common order: the first brake command may arrive before the override and be
# lost, so it is said again, after the override has surely arrived.
_SETTLING = 0.05    # s
_RESEND = 0.02      # s between brake commands while settling
_PACE = 0.05        # s between brake commands after that
_ALIVE = 0.15       # s; three beats
_SPEED_TICKS = 10   # after which a speed that was not heard again is not known any more
_AWAY = 0.1         # s without a look after which the guard was halted itself; five polls
_CATCH_UP = 0.1     # s for what came meanwhile to be taken in
_AHEAD = 0.25       # s that a command may be stamped ahead of the newest vehicle status seen


class Guard:
    """Tell it what is seen; ask :meth:`step` after each and every few milliseconds."""

    def __init__(self, settings: GuardSettings) -> None:
        self.settings = settings
        self.state = State.IDLE
        self.reason = ''
        self.interventions = self.commands = self.refused = 0
        self._autopilot = self._other_override = False
        self._synchronous, self._running = False, True
        self._looked = -math.inf        # when the last look was
        self._catching_up = -math.inf   # until when nothing is concluded from silence
        self._was_away = False          # that was granted since the last good command
        self._forget()
        # Whether the override may be on from a former guard, and whether it is to go off now.
        self._unsure, self._release = True, False

    def _forget(self) -> None:
        self._sim = 0                   # newest simulation time seen, ns
        self._tick_at = -math.inf       # when it was seen
        self._speed = math.inf          # unknown is as good as fast
        self._speed_ticks = 0           # ticks since it was heard
        self._carried = False           # armed by a drive before the clock was set back
        self._steer = 0.0               # of the last good command
        self._heard = -math.inf         # when that came
        self._beat: Optional[float] = None      # when the driver's heartbeat came last
        self._ticks = 0                 # ticks since
        self._good = 0                  # good commands in a row
        self._bad = ''                  # why the newest command is to be braked for at once
        self._begun = self._sent = -math.inf    # when braking began, and was last said
        self._answered = False          # this tick has had its brake command

    # What is seen

    def command(self, steer: float | None, stamp: int, now: float) -> None:
        """Note a command by its steer; None says that it is not finite or out of range."""
        self.commands += 1
        if steer is None:
            self.refused += 1
            self._good, self._bad = 0, 'a command that is not finite or out of range'
            if self.state is State.IDLE:
                self.state = State.WATCHING
            return
        age = (self._sim - stamp) * 1e-9
        if stamp and self._sim and not -_AHEAD <= age <= self.settings.max_age:
            self._good = 0
            self.refused += 1
            return
        self._bad = ''
        self._heard, self._ticks, self._carried, self._was_away = now, 0, False, False
        self._good += 1
        if self.state is not State.BRAKING:
            self._steer = steer
        if self.state is State.IDLE:
            self.state = State.WATCHING

    def tick(self, stamp: int, now: float) -> None:
        """Note that the simulation reached a time."""
        if stamp < self._sim:
            self._set_back(now)
        elif stamp > self._sim:
            self._ticks += 1
            self._answered = False
            self._speed_ticks += 1
            if self._speed_ticks > _SPEED_TICKS:
                self._speed = math.inf
        self._sim, self._tick_at = stamp, now

    def _set_back(self, now: float) -> None:
        """Forget the time before, but not that a car moves."""
        speed, ticks, steer = self._speed, self._speed_ticks, self._steer
        self._forget()
        self._speed, self._speed_ticks = speed, ticks
        if self.state in (State.WATCHING, State.BRAKING):
            self._heard, self._steer, self._carried = now, steer, True
            self._let_go_where_it_stands()

    def _let_go_where_it_stands(self) -> None:
        if self._carried and self._speed <= self.settings.standstill_speed:
            self._carried = False
            if self.state is not State.YIELDING:
                # A latched override reaches a new simulation too.
                self._release = self.state is State.BRAKING
                self.state, self._heard = State.IDLE, -math.inf

    def heartbeat(self, now: float) -> None:
        """Note that the driver's process lives."""
        self._beat = now

    def hears(self, now: float) -> bool:
        """Whether the driver's heartbeat is heard."""
        return self._beat is not None and now - self._beat <= self.settings.heartbeat_deadline

    def speed(self, speed: float) -> None:
        """Note the vehicle's speed in m/s, of either sign."""
        self._speed = abs(speed) if math.isfinite(speed) else math.inf
        self._speed_ticks = 0
        self._let_go_where_it_stands()

    def simulation(self, *, synchronous: bool, running: bool) -> None:
        """Note what ``/carla/status`` says; only a synchronous simulation can be paused."""
        self._synchronous, self._running = synchronous, running or not synchronous

    def other_override(self, on: bool) -> None:
        """Note that someone else switched the manual override."""
        self._other_override = on
        self._unsure = False
        if self.state is State.BRAKING and not on:
            self.state, self._ticks = State.WATCHING, 0
        self._yield_or_resume()

    def autopilot(self, on: bool) -> None:
        """Note that the vehicle's own driver was switched."""
        self._autopilot = on
        self._yield_or_resume()

    def _yield_or_resume(self) -> None:
        if self._autopilot or self._other_override:
            self.state = State.YIELDING
        elif self.state is State.YIELDING:
            # Whoever drove before gets the time of a few ticks to begin.
            self.state = State.IDLE if self._heard == -math.inf else State.WATCHING
            self._ticks = 0

    def clock_age(self, now: float) -> float:
        """Return for how long no clock has been heard, s; infinite where there never was one."""
        return now - self._tick_at

    # What follows

    def step(self, now: float) -> Order:
        """Return what to publish now."""
        if now - self._looked > _AWAY and not self._was_away:
            self._catching_up, self._ticks, self._was_away = now + _CATCH_UP, 0, True
        self._looked = now
        if self._release:
            self._release, self.reason = False, ''
            return Order(False)
        if self.state is State.BRAKING:
            return self._braking(now)
        if self.state is State.WATCHING:
            reason = self._danger(now)
            if reason:
                self.state, self.reason = State.BRAKING, reason
                self.interventions += 1
                self._good, self._unsure = 0, False
                self._begun = self._sent = now
                self._answered = False
                return Order(True, self._brake())
            if self._unsure and self._good >= self.settings.good_commands:
                self._unsure = False
                return Order(False)
        return Order()

    def _danger(self, now: float) -> str:
        """Return why to brake, or nothing."""
        settings = self.settings
        if self._bad:
            return self._bad
        silence = now - self._heard
        if not self._running or now < self._catching_up:
            return ''
        blind = not self._synchronous and now - self._tick_at > settings.blind_deadline
        if blind and silence > settings.blind_deadline:
            return f'no good command and no clock for {silence:.2f} s'
        dead = (self._beat is not None and not self.hears(now)
                and silence > settings.heartbeat_deadline)
        alive = self._beat is not None and now - self._beat < _ALIVE
        deadline = settings.alive_deadline if alive else settings.deadline
        if silence < deadline or self._ticks < (1 if dead else settings.missed_ticks) \
                or self._speed <= settings.standstill_speed:
            return ''
        return (f'no good command for {silence:.2f} s and {self._ticks} ticks'
                + (', and no heartbeat' if dead else ''))

    def _braking(self, now: float) -> Order:
        if self._good >= self.settings.good_commands:
            self.state, self.reason = State.WATCHING, ''
            return Order(False)
        settling = now - self._begun < _SETTLING
        waits = self._synchronous and not settling and self._answered
        if self._running and not waits and now - self._sent >= (_RESEND if settling else _PACE):
            self._sent, self._answered = now, True
            return Order(None, self._brake())
        return Order()

    def _brake(self) -> Brake:
        return Brake(self.settings.brake, self._steer)
