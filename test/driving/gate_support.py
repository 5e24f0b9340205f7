# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sequences of commands, sane and not, and what must hold of what a gate lets through."""

import dataclasses
import math
import random

from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.safety.gate import CommandGate, GateSettings, LONGEST, TICK

SPECIAL = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 1.0, -1.0, 0.0, 1.0 + 1e-9,
           2.0, -2.0, None, 'x', [], 10 ** 400, True)
ROUNDING = 1e-9


def draw_settings(rng):
    """Draw limits, each of them off now and then."""
    def limit(low, high):
        return 0.0 if rng.random() < 0.2 else rng.uniform(low, high)
    return GateSettings(
        steer_rate=limit(0.1, 30.0), jerk=limit(1.0, 300.0), brake_jerk=limit(10.0, 600.0),
        full_throttle=rng.uniform(0.5, 10.0), full_brake=rng.uniform(2.0, 15.0),
        ramp=limit(0.05, 3.0))


def draw_command(rng, odd):
    """Draw a command; ``odd`` is the chance of each value to be none."""
    def value(low):
        if rng.random() < odd:
            return rng.choice(SPECIAL) if rng.random() < 0.7 else rng.uniform(-1e3, 1e3)
        return rng.uniform(low, 1.0)
    drive = value(-1.0)
    if rng.random() < 0.8 and isinstance(drive, float):
        throttle, brake = max(drive, 0.0), max(-drive, 0.0)
    else:
        throttle, brake = value(0.0), value(0.0)
    return Control(throttle=throttle, steer=value(-1.0), brake=brake,
                   reverse=rng.random() < odd, gear=rng.randrange(-1, 3),
                   manual_gear_shift=rng.random() < odd, hand_brake=rng.random() < odd)


def draw_step(rng):
    """Draw the time between two stamps, ns: mostly a tick."""
    chance = rng.random()
    if chance < 0.8:
        return 50_000_000
    return 0 if chance < 0.85 else rng.randrange(-10 ** 9, 10 ** 10)


def check_sequence(seed, length=10):
    """Pass a drawn sequence through a gate, hold what comes out to the rules; count commands."""
    rng = random.Random(seed)
    settings, limits = draw_settings(rng), rng.random() < 0.8
    gate = CommandGate(settings, limits=limits)
    odd = rng.choice((0.0, 0.02, 0.3))
    stamp, newest = rng.randrange(0, 10 ** 12), None
    steer, acceleration = 0.0, -settings.full_brake
    throttle_time = 0.0
    for _ in range(length):
        if rng.random() < 0.05:
            gate.stop()
            newest, throttle_time = None, 0.0
        wanted, urgent = draw_command(rng, odd), rng.random() < 0.05
        given = gate(wanted, stamp, urgent=urgent)
        since = 0.0 if newest is None else min(max((stamp - newest) * 1e-9, 0.0), LONGEST)
        check_command(given)
        usable = is_usable(wanted)
        assert usable or (given.brake == 1.0 and given.throttle == 0.0 and given.steer == steer)
        asked = given.throttle * settings.full_throttle - given.brake * settings.full_brake
        if limits and usable:
            throttle_time += since if wanted.throttle > 0.0 and not wanted.brake > 0.0 else 0.0
            check_limits(settings, given, steer, acceleration, asked, since, throttle_time,
                         urgent=urgent)
        elif usable:
            assert given.steer == min(max(wanted.steer, -1.0), 1.0)
            assert given.brake == min(max(wanted.brake, 0.0), 1.0)
        steer, acceleration = given.steer, asked
        newest = stamp if newest is None else max(stamp, newest)
        stamp = max(stamp + draw_step(rng), 0)
    return length


def is_usable(wanted):
    """Whether a command is three finite numbers."""
    try:
        return math.isfinite(math.fsum(
            float(value) for value in (wanted.throttle, wanted.steer, wanted.brake)))
    except (TypeError, ValueError, OverflowError):
        return False


def check_command(given):
    """Hold a command to what must be true of each."""
    for value in (given.throttle, given.steer, given.brake):
        assert type(value) is float and math.isfinite(value)
    assert 0.0 <= given.throttle <= 1.0 and 0.0 <= given.brake <= 1.0
    assert -1.0 <= given.steer <= 1.0
    assert given.throttle == 0.0 or given.brake == 0.0
    assert given == dataclasses.replace(Control(), throttle=given.throttle, steer=given.steer,
                                        brake=given.brake)


def check_limits(settings, given, steer, before, asked, since, throttle_time, *, urgent):
    """Hold a command to the limits, given the one before."""
    if settings.steer_rate:
        assert abs(given.steer - steer) <= settings.steer_rate * since + ROUNDING
    if settings.jerk and not urgent:
        assert asked <= before + settings.jerk * since + ROUNDING
    if settings.brake_jerk and not urgent:
        assert asked >= before - settings.brake_jerk * max(since, TICK) - ROUNDING
    if settings.ramp:
        # What was given already may fall as slowly as the jerk of braking has it.
        assert given.throttle <= max(throttle_time / settings.ramp,
                                     before / settings.full_throttle) + ROUNDING
