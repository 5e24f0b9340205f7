# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stamps and vehicle commands, for a process that needs no more of :mod:`av_td3_ros.ros.messages`.

The guard must start at once and stay small, and numpy and the messages that load it are a quarter
of its size.
"""

from __future__ import annotations

from builtin_interfaces.msg import Time

from av_td3_ros.driving.wire import (check_command, check_finite, MessageError, NANOSECONDS,
                                     read_stamp)

__all__ = ['check_command', 'check_finite', 'make_stamp', 'MessageError', 'read_stamp']


def make_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds since zero as a stamp."""
    sec, nanosec = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)
