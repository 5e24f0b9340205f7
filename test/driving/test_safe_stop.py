# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The safe stop: a set deceleration, then hold."""

from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.safety.stop import SafeStop, StopSettings

TICK = 50_000_000


def make(**changes):
    """Return a safe stop of a car that brakes with 8 m/s^2."""
    return SafeStop(StopSettings(**changes), 8.0)


def test_it_brakes_with_the_set_deceleration_and_then_holds():
    stop = make(deceleration=4.0)
    stop.begin(4.0, steer=-0.2)
    gentle, held = Control(brake=0.5, steer=-0.2), Control(brake=1.0, steer=-0.2)
    assert stop.command(10 * TICK, 4.0) == gentle and not stop.holding
    assert stop.command(20 * TICK, 2.0) == gentle
    assert stop.command(21 * TICK, 0.1) == held and stop.holding
    # It stays held, whatever the speed says then.
    assert stop.command(22 * TICK, 3.0) == held


def test_without_odometry_it_holds_once_the_car_should_stand():
    stop = make(deceleration=4.0)
    stop.begin(4.0, steer=0.0)
    # 1 s and half a second on top, by the stamps.
    assert all(stop.command(n * TICK, None).brake == 0.5 for n in range(30))
    assert stop.command(30 * TICK, None).brake == 1.0


def test_a_car_that_does_not_slow_down_gets_the_full_brake():
    stop = make(deceleration=2.0)
    stop.begin(2.0, steer=0.0)
    assert stop.command(0, 2.0).brake == 0.25 and stop.command(30 * TICK, 2.0).brake == 1.0


def test_a_car_that_brakes_harder_already_goes_on_with_that():
    stop = make(deceleration=4.0)
    stop.begin(4.0, steer=0.0, brake=0.8)
    assert stop.command(0, 4.0).brake == 0.8
    stop.begin(4.0, steer=0.0, brake=0.1)
    assert stop.command(0, 4.0).brake == 0.5


def test_a_speed_that_was_never_known_is_braked_in_full():
    stop = make()
    stop.begin(None, steer=0.3)
    assert stop.command(0, None) == Control(brake=1.0, steer=0.3)


def test_it_can_begin_anew_and_a_deceleration_beyond_the_brake_is_the_full_brake():
    stop = make(deceleration=16.0)
    for speed in (8.0, 3.0):
        stop.begin(speed, steer=0.0)
        assert stop.command(0, speed).brake == 1.0 and not stop.holding
        assert stop.command(0, 0.0).brake == 1.0 and stop.holding


def test_an_absurd_speed_is_braked_for_too():
    """Odometry is checked to be finite; what is reckoned from it need not be."""
    stop = make()
    stop.begin(1.7e308, steer=0.0)
    assert stop.command(0, 1.7e308).brake == 0.5
    assert stop.command(60 * 20 * TICK, 1.7e308).brake == 1.0
