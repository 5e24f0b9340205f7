# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command gate: by example, and by thousands of drawn sequences."""

import dataclasses
import math

from gate_support import check_sequence, SPECIAL
import numpy as np
import pytest

from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.safety.gate import CommandGate, GateSettings, GateState
from av_td3_ros.settings import declarations

TICK = 50_000_000
OFF = {'steer_rate': 0.0, 'jerk': 0.0, 'brake_jerk': 0.0, 'ramp': 0.0}


def gate(*, limits=True, **changes):
    """Return a gate with only the named limits."""
    return CommandGate(GateSettings(**{**OFF, **changes}), limits=limits)


def drive(gate_, *wanted, tick=TICK):
    """Pass commands a tick apart, and return what comes out."""
    first = (gate_._stamp or 0) + tick
    return [gate_(command, first + number * tick) for number, command in enumerate(wanted)]


@pytest.mark.parametrize('seed', range(20))
def test_what_leaves_the_gate_keeps_the_rules(seed):
    for number in range(200):
        check_sequence(seed * 1000 + number)


def test_without_limits_a_sane_command_passes_to_the_bit():
    wanted = [Control(throttle=0.3), Control(steer=-1.0, brake=1.0), Control(steer=1.0),
              Control(throttle=1.0, steer=0.123456789), Control(brake=5e-324)]
    passing = gate()
    for command in wanted:
        assert passing(command, 0) == command and passing.state is GateState.PASSING
    assert passing.limited == passing.refused == 0
    for limits in (False, True):
        assert drive(gate(limits=limits), *wanted) == wanted
    # While training, the limits of the settings do not matter.
    assert drive(CommandGate(GateSettings(), limits=False), *wanted) == wanted


@pytest.mark.parametrize('name', ['throttle', 'steer', 'brake'])
@pytest.mark.parametrize('limits', [False, True])
@pytest.mark.parametrize('value', [
    value for value in SPECIAL if not isinstance(value, float) and value is not True
    or isinstance(value, float) and not math.isfinite(value)])
def test_what_is_not_finite_brakes_with_the_steer_as_it_was(name, value, limits):
    refusing = gate(limits=limits)
    refusing(Control(throttle=0.5, steer=0.25), TICK)
    wanted = Control(**{'throttle': 0.2, 'steer': 0.1, name: value})
    assert refusing(wanted, 2 * TICK) == Control(steer=0.25, brake=1.0)
    assert refusing.state is GateState.REFUSING
    assert (refusing.refused, refusing.limited) == (1, 0)
    assert refusing(Control(steer=0.1), 3 * TICK) == Control(steer=0.1)
    assert refusing.state is GateState.PASSING
    refusing(wanted, 4 * TICK)
    assert refusing.refused == 2


def test_a_sum_that_overflows_is_refused():
    assert gate()(Control(throttle=1.7e308, brake=1.7e308), 0).brake == 1.0


def test_values_out_of_range_are_brought_into_it():
    clipping = gate()
    assert clipping(Control(throttle=7.0, steer=-3.0), 0) == Control(throttle=1.0, steer=-1.0)
    assert clipping.state is GateState.LIMITING and clipping.limited == 1
    assert clipping(Control(throttle=-1.0, steer=3.0), 0) == Control(steer=1.0)
    assert clipping(Control(throttle=0.4, brake=9.0), 0) == Control(brake=1.0)
    assert clipping(Control(throttle=0.4, brake=-9.0), 0) == Control(throttle=0.4)
    assert clipping.limited == 4


def test_throttle_and_brake_are_never_given_together():
    assert gate(limits=False)(Control(throttle=1.0, brake=0.01), 0) == Control(brake=0.01)


def test_what_the_policy_never_asks_for_does_not_pass():
    given = gate()(Control(throttle=0.5, reverse=True, gear=-1, manual_gear_shift=True,
                           hand_brake=True), 0)
    assert given == Control(throttle=0.5)


def test_numpys_numbers_become_plain_ones():
    given = gate()(Control(throttle=np.float32(0.5), steer=np.float64(0.25)), 0)
    assert type(given.throttle) is float and type(given.steer) is float and given.throttle == 0.5


def test_steer_changes_no_faster_than_its_rate():
    steering = gate(steer_rate=2.0)
    # Nothing is known of the time before the first command.
    assert [c.steer for c in drive(steering, *[Control(steer=1.0)] * 4)] == pytest.approx(
        [0.0, 0.1, 0.2, 0.3])
    assert steering.limited == 4
    assert [c.steer for c in drive(steering, *[Control(steer=-0.05)] * 5)] == pytest.approx(
        [0.2, 0.1, 0.0, -0.05, -0.05])
    assert steering.state is GateState.PASSING
    # In a gap it may not catch up without bound.
    assert steering(Control(steer=1.0), 10 ** 12).steer == pytest.approx(-0.05 + 2.0 * 0.2)


def test_time_that_stands_or_runs_back_changes_nothing():
    steering = gate(steer_rate=2.0, jerk=20.0)
    # Braking harder is granted a tick of 0.05 s: here without limit.
    first = drive(steering, Control(steer=0.5), Control(steer=0.5))[1]
    stamp = steering._stamp
    for late in (stamp, stamp - TICK, stamp - 10 ** 9, 0):
        given = steering(Control(steer=1.0, throttle=1.0), late)
        assert (given.steer, given.throttle) == (first.steer, 0.0)
    # The newest stamp counts, not the last.
    assert steering(Control(steer=1.0), stamp + TICK).steer == pytest.approx(first.steer + 0.1)


def test_acceleration_rises_no_faster_than_the_jerk():
    rising = gate(jerk=20.0, full_throttle=4.0, full_brake=8.0)
    # It begins as if the brake were on: -8 m/s^2, and goes up by 1 m/s^2 a tick.
    given = drive(rising, *[Control(throttle=1.0)] * 14)
    assert [c.brake for c in given[:9]] == pytest.approx([1 - n / 8 for n in range(9)])
    assert [c.throttle for c in given[:9]] == [0.0] * 9
    assert [c.throttle for c in given[9:]] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rising.state is GateState.PASSING and rising.limited == 12
    # Down it goes at once.
    assert rising(Control(brake=1.0), 0).brake == 1.0


def test_acceleration_falls_no_faster_than_the_jerk_of_braking():
    falling = gate(brake_jerk=60.0, full_throttle=4.0, full_brake=8.0)
    assert drive(falling, Control(throttle=1.0)) == [Control(throttle=1.0)]
    given = drive(falling, *[Control(brake=1.0)] * 5)
    assert given[0] == Control(throttle=0.25)
    assert [c.brake for c in given[1:]] == pytest.approx([0.25, 0.625, 1.0, 1.0])
    # A command that is not newer brakes harder all the same, by what a tick allows.
    drive(falling, Control(throttle=1.0))
    assert falling(Control(brake=1.0), 0).throttle == pytest.approx(0.25)
    # A longer time allows more, up to 0.2 s.
    drive(falling, Control(throttle=1.0))
    assert falling(Control(brake=1.0), falling._stamp + 10 ** 8).brake == pytest.approx(0.25)
    drive(falling, Control(throttle=1.0))
    assert falling(Control(brake=1.0), falling._stamp + 10 ** 10).brake == pytest.approx(1.0)


def test_an_urgent_brake_is_not_limited():
    falling = gate(brake_jerk=60.0, steer_rate=1.0)
    drive(falling, Control(throttle=1.0))
    assert falling(Control(brake=1.0, steer=1.0), 0, urgent=True) == Control(brake=1.0)
    # What follows starts from there.
    assert falling(Control(brake=1.0), 0).brake == 1.0


def test_a_refused_command_is_where_the_next_starts_from():
    rising = gate(jerk=20.0, full_throttle=4.0, full_brake=8.0)
    drive(rising, *[Control(throttle=1.0)] * 14)
    drive(rising, Control(throttle=math.nan))
    assert drive(rising, Control(throttle=1.0))[0].brake == pytest.approx(7 / 8)


def test_after_a_stop_throttle_comes_little_by_little():
    ramped = gate(ramp=0.5)
    full = [Control(throttle=1.0)] * 12
    expected = [min(n / 10, 1.0) for n in range(12)]
    assert [c.throttle for c in drive(ramped, *full)] == pytest.approx(expected)
    assert [c.throttle for c in drive(ramped, *full)] == [1.0] * 12
    ramped.stop()
    # Waiting with the brake on does not shorten it, nor does less throttle.
    drive(ramped, *[Control(brake=1.0)] * 20)
    assert [c.throttle for c in drive(ramped, *full)] == pytest.approx(
        [min((n + 1) / 10, 1.0) for n in range(12)])
    ramped.stop()
    assert [c.throttle for c in drive(ramped, *[Control(throttle=0.15)] * 4)] == pytest.approx(
        [0.0, 0.1, 0.15, 0.15])
    # Braking is never ramped.
    ramped.stop()
    assert drive(ramped, Control(brake=0.7))[0].brake == 0.7


def test_a_stop_is_one_of_the_clock_too():
    steering = gate(steer_rate=2.0)
    drive(steering, Control(), Control())
    steering.stop()
    # Whatever its stamp, the next command is the first.
    assert steering(Control(steer=1.0), 10 ** 15).steer == 0.0
    assert steering(Control(steer=1.0), 10 ** 15 + TICK).steer == pytest.approx(0.1)


def test_the_defaults_leave_room_for_an_emergency():
    driving = CommandGate(GateSettings())
    drive(driving, *[Control(throttle=1.0)] * 40)
    assert drive(driving, Control(throttle=1.0))[0] == Control(throttle=1.0)
    # From full throttle to full brake in one tick, and from lock to lock in four.
    assert drive(driving, Control(brake=1.0))[0].brake == 1.0
    drive(driving, *[Control(steer=-1.0)] * 5)
    assert drive(driving, *[Control(steer=1.0)] * 4)[-1].steer == 1.0


def test_the_declarations():
    declared = {d.name: d for d in declarations(GateSettings)}
    defaults = {name: d.default for name, d in declared.items()}
    assert defaults == {'steer_rate': 10.0, 'jerk': 60.0, 'brake_jerk': 300.0,
                        'full_throttle': 3.6, 'full_brake': 8.0, 'ramp': 0.5,
                        'in_training': False}
    bounds = {name: (d.ge, d.le) for name, d in declared.items()}
    assert bounds == {'steer_rate': (0.0, 1000.0), 'jerk': (0.0, 10000.0),
                      'brake_jerk': (0.0, 10000.0), 'full_throttle': (0.1, 50.0),
                      'full_brake': (0.1, 50.0), 'ramp': (0.0, 60.0), 'in_training': (None, None)}
    assert all('m/s' in declared[name].description for name in
               ('jerk', 'brake_jerk', 'full_throttle', 'full_brake'))


def test_settings_do_not_change_under_a_gate():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GateSettings().jerk = 1.0


def test_the_states_have_names():
    assert [state.value for state in GateState] == ['passing', 'limiting', 'refusing a command']
