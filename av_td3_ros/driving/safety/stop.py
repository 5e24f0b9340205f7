# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The safe stop: a set deceleration along the bend that the vehicle is in, then the brake held."""

from __future__ import annotations

import dataclasses

from av_td3_ros.driving.frames import Control, FULL_BRAKE
from av_td3_ros.settings import setting

# Time beyond that of the set deceleration, s, after which the vehicle is taken to stand, or to
# need more brake than that.
_MARGIN = 0.5

# Longest time of a set deceleration, s, whatever speed odometry claims.
_LONGEST = 60.0


@dataclasses.dataclass(frozen=True)
class StopSettings:
    """How to stop when driving on would be blind."""

    deceleration: float = setting(4.0, 'deceleration of a safe stop, m/s^2', ge=0.5, le=20.0)
    standstill_speed: float = setting(0.1, 'the car stands below this, m/s', ge=0.0, le=5.0)


class SafeStop:
    """
    One safe stop after the other.

    It has no feedback but the speed, since what is lost may be the odometry: the brake is the one
    that stands for the deceleration, and full where the speed was never known, once the car
    stands, and once it should.
    """

    def __init__(self, settings: StopSettings, full_brake: float) -> None:
        self._settings = settings
        self._set = self._brake = min(settings.deceleration / full_brake, 1.0)
        self._holding = True
        self._until: int | None = None
        self._steer = 0.0
        self._speed: float | None = None

    def begin(self, speed: float | None, steer: float, brake: float = 0.0) -> None:
        """
        Begin at a speed in m/s, None where it is not known, with what was applied last.

        A car that brakes harder already goes on with that.
        """
        self._brake = max(self._set, brake)
        self._holding, self._steer, self._speed = speed is None, steer, speed
        self._until = None

    def command(self, stamp: int, speed: float | None) -> Control:
        """Return the command at a stamp in ns; ``speed`` in m/s where odometry is still good."""
        if self._until is None:
            duration = min((self._speed or 0.0) / self._settings.deceleration + _MARGIN, _LONGEST)
            self._until = stamp + int(duration * 1e9)
        if stamp >= self._until or (
                speed is not None and speed <= self._settings.standstill_speed):
            self._holding = True
        if self._holding:
            return dataclasses.replace(FULL_BRAKE, steer=self._steer)
        return Control(brake=self._brake, steer=self._steer)

    @property
    def holding(self) -> bool:
        """Whether the brake is held in full."""
        return self._holding
