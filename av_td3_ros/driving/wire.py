# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stamps, and whether a vehicle command can be obeyed, whoever decoded the message.

What is read here and in :mod:`~av_td3_ros.driving.reading` are messages by their fields alone:
those of rclpy while driving, those of a bag reader offline. Needs no numpy: the guard is a
process that must start at once and stay small.
"""

from __future__ import annotations

import math
from typing import Any

# Commands are float32 on the wire: a rounded bound is not a violation.
_TOLERANCE = 1e-6
NANOSECONDS = 1_000_000_000


class MessageError(ValueError):
    """A message cannot be used; the text says why in one sentence."""


def read_stamp(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def check_finite(what: str, *values: float) -> None:
    """Raise :class:`MessageError` unless every value is finite."""
    # A sum is finite where every term is, but for overflow, which is no sane input either.
    if not math.isfinite(sum(values)):
        raise MessageError(f'{what} is not finite: ' + ', '.join(f'{v:g}' for v in values))


def check_command(message: Any, *, any_range: bool = False) -> None:
    """
    Raise :class:`MessageError` for a CarlaEgoVehicleControl that is not finite or out of range.

    Throttle and brake are in [0, 1], steer in [-1, 1]; with ``any_range`` they need only be
    finite.
    """
    check_finite('the command (throttle, steer, brake)', message.throttle, message.steer,
                 message.brake)
    if any_range:
        return
    for name, value, low in (('throttle', message.throttle, 0.0), ('steer', message.steer, -1.0),
                             ('brake', message.brake, 0.0)):
        if not low - _TOLERANCE <= value <= 1.0 + _TOLERANCE:
            raise MessageError(f'the command has {name} {value:g}, outside [{low:g}, 1]')
