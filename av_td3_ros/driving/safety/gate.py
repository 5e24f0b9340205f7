# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command gate: the last thing that a command passes before it is published.

What leaves it is finite, in range, forward, and never throttle and brake at once, whatever goes
in. Where its limits are on, steer changes no faster than ``steer_rate``, the acceleration that is
asked for rises no faster than ``jerk`` and falls no faster than ``brake_jerk``, and after a stop
throttle is let through little by little. A command within the limits passes unchanged, to the
bit.

Limits make the effect of an action depend on the command before, which the policy does not see.
They are for driving; while training they are off unless asked for (``in_training``), and are then
part of what is learned, as the vehicle's own lags are: the action that is learned from is the
policy's.
"""

from __future__ import annotations

import dataclasses
import enum
import math

from av_td3_ros.driving.frames import Control
from av_td3_ros.settings import setting

TICK = 0.05
"""Time, s, that braking harder is always granted, also to a command whose stamp is not newer."""

LONGEST = 0.2
"""Longest time between two commands, s, that the limits reckon with."""


@dataclasses.dataclass(frozen=True)
class GateSettings:
    """Limits of what the gate lets through."""

    steer_rate: float = setting(
        10.0, 'fastest change of steer, 1/s, of which left to right is 2; 0: no limit',
        ge=0.0, le=1000.0)
    jerk: float = setting(
        60.0, 'fastest rise of the acceleration asked for, m/s^3; 0: no limit', ge=0.0,
        le=10000.0)
    brake_jerk: float = setting(
        300.0, 'fastest fall of the acceleration asked for, m/s^3; wide enough for a full brake '
        'within a tick of 0.05 s; 0: no limit', ge=0.0, le=10000.0)
    full_throttle: float = setting(
        3.6, 'acceleration that full throttle stands for, m/s^2', ge=0.1, le=50.0)
    full_brake: float = setting(
        8.0, 'deceleration that full brake stands for, m/s^2', ge=0.1, le=50.0)
    ramp: float = setting(
        0.5, 'time from a stop of the safety kind (activation, fault, jump of the clock) until '
        'full throttle is let through, s; 0: at once', ge=0.0, le=60.0)
    in_training: bool = setting(
        False, 'limit commands while training too; finite, in range and never throttle with brake '
        'holds in any case')


class GateState(str, enum.Enum):
    """What the gate did with the newest command."""

    PASSING = 'passing'
    LIMITING = 'limiting'
    REFUSING = 'refusing a command'


class CommandGate:
    """Takes commands in the order in which they are published, each with its stamp in ns."""

    def __init__(self, settings: GateSettings, *, limits: bool = True) -> None:
        self.settings = settings
        self._limits = limits
        self.state = GateState.PASSING
        self.limited = self.refused = 0
        self._steer, self._acceleration = 0.0, -settings.full_brake
        self._stamp: int | None = None
        self._ceiling = 0.0

    def stop(self) -> None:
        """Have throttle ramped from the next command on, as after a stop."""
        self._stamp, self._ceiling = None, 0.0

    def __call__(self, wanted: Control, stamp: int, *, urgent: bool = False) -> Control:
        """
        Return what may be published instead of ``wanted``.

        ``urgent`` brakes are not limited. A command that is not three finite numbers is replaced
        by the full brake, with the steer as it was.
        """
        try:
            throttle, steer, brake = (
                float(value) for value in (wanted.throttle, wanted.steer, wanted.brake))
            usable = math.isfinite(throttle + steer + brake)
        except (TypeError, ValueError, OverflowError):
            usable = False
        if not usable:
            self.refused += 1
            self.state = GateState.REFUSING
            return self._note(0.0, self._steer, 1.0, stamp)
        given = throttle, steer, brake
        throttle, steer, brake = _clip(throttle, 0.0), _clip(steer, -1.0), _clip(brake, 0.0)
        if brake > 0.0:
            throttle = 0.0
        if self._limits:
            since = self._since(stamp)
            steer = self._limit_steer(steer, since)
            throttle = self._limit_throttle(throttle, since)
            if not urgent:
                throttle, brake = self._limit_acceleration(throttle, brake, since)
        self.state = GateState.PASSING
        if (throttle, steer, brake) != given:
            self.limited += 1
            self.state = GateState.LIMITING
        return self._note(throttle, steer, brake, stamp)

    def _since(self, stamp: int) -> float:
        """Return the time since the last command, s."""
        if self._stamp is None:
            return 0.0
        return min(max((stamp - self._stamp) * 1e-9, 0.0), LONGEST)

    def _limit_steer(self, steer: float, since: float) -> float:
        rate = self.settings.steer_rate
        if not rate:
            return steer
        return min(max(steer, self._steer - rate * since), self._steer + rate * since)

    def _limit_throttle(self, throttle: float, since: float) -> float:
        """Let through what the ramp after a stop allows; it rises while throttle is wanted."""
        ramp = self.settings.ramp
        if not ramp:
            return throttle
        if throttle > 0.0:
            self._ceiling = min(self._ceiling + since / ramp, 1.0)
        return min(throttle, self._ceiling)

    def _limit_acceleration(self, throttle: float, brake: float, since: float
                            ) -> tuple[float, float]:
        s = self.settings
        wanted = throttle * s.full_throttle - brake * s.full_brake
        if s.jerk and wanted > self._acceleration + s.jerk * since:
            wanted = self._acceleration + s.jerk * since
        elif s.brake_jerk and wanted < self._acceleration - s.brake_jerk * max(since, TICK):
            wanted = self._acceleration - s.brake_jerk * max(since, TICK)
        else:
            return throttle, brake
        return max(wanted / s.full_throttle, 0.0), max(-wanted / s.full_brake, 0.0)

    def _note(self, throttle: float, steer: float, brake: float, stamp: int) -> Control:
        s = self.settings
        self._steer = steer
        self._acceleration = throttle * s.full_throttle - brake * s.full_brake
        self._stamp = stamp if self._stamp is None else max(stamp, self._stamp)
        return Control(throttle=throttle, steer=steer, brake=brake)


def _clip(value: float, low: float) -> float:
    return min(max(value, low), 1.0)
