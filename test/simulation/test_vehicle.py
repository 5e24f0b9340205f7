# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vehicle: the figures of a mid-size car, and CARLA's meaning of a command."""

import math
import time

from hypothesis import given, settings, strategies
import numpy as np
import pytest

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.settings import build
from av_td3_ros.simulation import bicycle
from av_td3_ros.simulation.vehicle import Vehicle, VehicleSettings

DT = 0.05
KMH = 1.0 / 3.6


def drive(control, seconds, *, speed=0.0, vehicle=None):
    """Return a vehicle driven straight ahead from the origin, and its states after each tick."""
    if vehicle is None:
        vehicle = Vehicle()
        vehicle.set_map_velocity(speed, 0.0)
    states = []
    for _ in range(round(seconds / DT)):
        vehicle.step(control, DT)
        states.append(vehicle.state.copy())
    return vehicle, np.array(states)


def seconds_to(states, speed):
    return DT * (1 + np.flatnonzero(states[:, bicycle.VX] >= speed)[0])


def tail_slip(states):
    """Return the largest slip angle of the rear axle above walking pace, in rad."""
    rear = states[:, bicycle.VY] - VehicleSettings().rear_axle * states[:, bicycle.YAW_RATE]
    return np.abs(np.arctan2(rear, states[:, bicycle.VX]))[states[:, bicycle.VX] > 3.0].max()


def test_acceleration():
    _, states = drive(Control(throttle=1.0), 20.0)
    assert 4.0 <= seconds_to(states, 50 * KMH) <= 5.0
    assert 8.5 <= seconds_to(states, 100 * KMH) <= 10.5
    assert np.abs(states[:, bicycle.Y]).max() < 1e-9


@pytest.mark.parametrize('speed', [30 * KMH, 50 * KMH, 100 * KMH])
def test_full_brake(speed):
    vehicle, states = drive(Control(brake=1.0), 8.0, speed=speed)
    assert 7.5 <= speed**2 / (2.0 * vehicle.x) <= 8.6
    assert vehicle.velocity == (0.0, 0.0)


@pytest.mark.parametrize('steer', [-1.0, 1.0])
def test_turning_circle_from_kerb_to_kerb(steer):
    vehicle = Vehicle()
    drive(Control(steer=steer), 2.0, vehicle=vehicle)
    figures = vehicle.settings
    outer = []
    for _ in range(1200):
        vehicle.step(Control(throttle=0.12 if vehicle.speed < 1.0 else 0.0, steer=steer), DT)
        c, s = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
        side = math.copysign(0.5 * figures.track, steer)
        outer.append((vehicle.x + c * figures.front_axle - s * side,
                      vehicle.y + s * figures.front_axle + c * side))
    across = np.ptp(np.array(outer[200:]), axis=0)
    assert 10.5 < across[0] < 11.4 and 10.5 < across[1] < 11.4


def test_positive_steer_turns_right():
    vehicle, _ = drive(Control(throttle=0.3, steer=0.3), 2.0)
    assert vehicle.yaw < -0.05 and vehicle.y < -0.05 and vehicle.yaw_rate < 0.0
    mirrored, _ = drive(Control(throttle=0.3, steer=-0.3), 2.0)
    assert mirrored.yaw == pytest.approx(-vehicle.yaw, abs=1e-9)
    assert mirrored.y == pytest.approx(-vehicle.y, abs=1e-9)


def test_cornering_is_limited_and_understeers():
    for steer in (0.05, 0.1, 0.2, 0.4, 0.8):
        vehicle, states = drive(Control(throttle=0.3, steer=steer), 4.0, speed=20.0)
        lateral = np.abs(states[40:, bicycle.VX] * states[40:, bicycle.YAW_RATE])
        assert lateral.mean() < vehicle.settings.friction * 9.81
        # The front slides first: the tail's slip stays small however far the wheel is turned.
        assert tail_slip(states) < 0.35
    assert lateral.mean() > 6.0


def test_at_moderate_speed_the_path_is_the_bicycle_s():
    vehicle, states = drive(Control(throttle=0.15, steer=0.2), 6.0, speed=5.0)
    figures = vehicle.settings
    speed, rate = states[-1, bicycle.VX], states[-1, bicycle.YAW_RATE]
    expected = speed * math.tan(states[-1, bicycle.STEER]) / figures.wheelbase
    assert rate == pytest.approx(expected, rel=0.05)
    # The centre of mass leads the rear axle: there is lateral velocity at the centre.
    assert states[-1, bicycle.VY] == pytest.approx(figures.rear_axle * rate, abs=0.15)


def test_actuators_have_limits():
    vehicle = Vehicle()
    vehicle.step(Control(steer=1.0), DT)
    assert vehicle.steer_angle == pytest.approx(-vehicle.settings.steer_rate * DT)
    vehicle.step(Control(throttle=1.0, steer=1.0), DT)
    throttle, _ = vehicle.actuators
    assert throttle == pytest.approx(1.0 - math.exp(-DT / vehicle.settings.throttle_lag))
    drive(Control(steer=1.0), 2.0, vehicle=vehicle)
    assert vehicle.steer_angle == pytest.approx(-vehicle.settings.max_steer_angle, abs=2e-3)


def test_less_steer_angle_at_speed():
    # CARLA's default steering curve: 0.9 of it at 20 km/h, 0.8 at 60.
    slow, _ = drive(Control(throttle=0.22, steer=0.1), 2.0, speed=20 * KMH)
    fast, _ = drive(Control(throttle=0.3, steer=0.1), 2.0, speed=60 * KMH)
    full = 0.1 * slow.settings.max_steer_angle
    assert -slow.steer_angle / full == pytest.approx(0.9, abs=0.02)
    assert -fast.steer_angle / full == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize('control', [
    Control(), Control(brake=1.0), Control(hand_brake=True), Control(steer=1.0, brake=0.3),
    Control(brake=1.0, reverse=True), Control(throttle=1.0, manual_gear_shift=True, gear=0)])
def test_stands_still(control):
    vehicle, states = drive(control, 20.0)
    assert (states[:, :6] == 0.0).all()
    # And comes to rest for good from a roll.
    vehicle, states = drive(Control(brake=0.5), 3.0, speed=2.0)
    assert (states[-20:, bicycle.VX:bicycle.YAW_RATE + 1] == 0.0).all()


def test_brake_beats_throttle_and_never_pushes():
    vehicle, states = drive(Control(throttle=1.0, brake=1.0), 5.0, speed=10.0)
    assert vehicle.speed == 0.0
    assert (states[:, bicycle.VX] >= 0.0).all()


def test_coasting_slows_down():
    _, states = drive(Control(), 10.0, speed=15.0)
    slowing = (15.0 - states[-1, bicycle.VX]) / 10.0
    assert 0.2 < slowing < 0.8
    assert (np.diff(states[:, bicycle.VX]) < 0.0).all()


def test_reverse():
    vehicle, states = drive(Control(throttle=0.5, reverse=True), 15.0)
    assert -10.0 < vehicle.velocity[0] < -5.0 and vehicle.x < -20.0
    # Going back with the wheel to the right, the tail swings right: the yaw grows.
    turning, _ = drive(Control(throttle=0.3, steer=0.5, reverse=True), 3.0)
    assert turning.yaw > 0.1 and turning.velocity[0] < 0.0
    # In motion forwards it first brakes the car.
    braked, _ = drive(Control(throttle=0.5, reverse=True), 1.0, speed=10.0)
    assert 0.0 < braked.velocity[0] < 9.0


def test_manual_gears_choose_the_direction():
    back, _ = drive(Control(throttle=0.5, manual_gear_shift=True, gear=-1), 2.0)
    forth, _ = drive(Control(throttle=0.5, manual_gear_shift=True, gear=2, reverse=True), 2.0)
    assert back.velocity[0] < -1.0 and forth.velocity[0] > 1.0


def test_hand_brake_locks_the_rear():
    vehicle, _ = drive(Control(hand_brake=True), 10.0, speed=15.0)
    assert vehicle.speed == 0.0
    assert 3.0 < 15.0**2 / (2.0 * vehicle.x) < 5.0
    turned, states = drive(Control(hand_brake=True, steer=0.5), 10.0, speed=15.0)
    _, rolling = drive(Control(steer=0.5, brake=0.4), 10.0, speed=15.0)
    assert turned.speed == 0.0 and turned.yaw < -0.5
    assert tail_slip(states) > 1.5 * tail_slip(rolling)


def test_sideways_push_dies_out():
    vehicle = Vehicle()
    vehicle.set_map_velocity(0.0, 6.0, 3.0)
    _, states = drive(Control(brake=1.0), 5.0, vehicle=vehicle)
    assert vehicle.speed == 0.0 and vehicle.yaw_rate == 0.0
    assert 1.0 < vehicle.y < 6.0
    assert np.isfinite(states).all()


def test_values_out_of_range_are_clipped_and_nan_refused():
    wild, _ = drive(Control(throttle=7.0, steer=-9.0, brake=-3.0), 1.0)
    tame, _ = drive(Control(throttle=1.0, steer=-1.0, brake=0.0), 1.0)
    assert (wild.state == tame.state).all()
    for name in ('throttle', 'steer', 'brake'):
        vehicle = Vehicle()
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(ValueError, match='finite'):
                vehicle.step(Control(**{name: value}), DT)
        assert (vehicle.state == 0.0).all()


def test_placing_keeps_the_map_velocity():
    vehicle, _ = drive(Control(throttle=0.5), 3.0)
    before = vehicle.map_velocity
    vehicle.place(Pose(50.0, -20.0, 0.0, 2.0))
    assert vehicle.map_velocity == pytest.approx(before)
    assert (vehicle.x, vehicle.y, vehicle.yaw) == (50.0, -20.0, 2.0)
    vehicle.reset(Pose(1.0, 2.0, 0.0, 3.0))
    assert vehicle.speed == 0.0 and vehicle.actuators == (0.0, 0.0)


def test_smaller_substeps_change_little():
    fine = Vehicle()
    for _ in range(40):
        for _ in range(10):
            fine.step(Control(throttle=0.6, steer=0.3), DT / 10)
    coarse, _ = drive(Control(throttle=0.6, steer=0.3), 2.0)
    assert np.allclose(fine.state[:6], coarse.state[:6], atol=0.05)


@settings(max_examples=60, deadline=None)
@given(strategies.lists(strategies.tuples(
    strategies.floats(0, 1), strategies.floats(-1, 1), strategies.floats(0, 1),
    strategies.booleans(), strategies.booleans()), min_size=1, max_size=12))
def test_energy_and_slip_stay_bounded(commands):
    vehicle = Vehicle()
    vehicle.set_map_velocity(15.0, 0.0)
    top = 15.0
    for throttle, steer, brake, hand_brake, reverse in commands:
        control = Control(throttle, steer, brake, hand_brake, reverse)
        for _ in range(20):
            vehicle.step(control, DT)
            assert np.isfinite(vehicle.state).all()
            top = top + 4.0 * DT
            assert vehicle.speed <= top
            assert abs(vehicle.yaw_rate) < 4.0
            assert -math.pi <= vehicle.yaw <= math.pi


def test_settings_are_checked_and_change_the_car():
    heavy = build(VehicleSettings, {'mass': 3000.0})
    vehicle = Vehicle(heavy)
    drive(Control(throttle=1.0), 4.0, vehicle=vehicle)
    assert vehicle.speed < 0.6 * drive(Control(throttle=1.0), 4.0)[0].speed
    with pytest.raises(ValueError, match='mass'):
        build(VehicleSettings, {'mass': -1.0})


def test_a_tick_costs_microseconds():
    vehicle, control = Vehicle(), Control(throttle=0.5, steer=0.1)
    best = math.inf
    for _ in range(5):
        started = time.process_time()
        for _ in range(2000):
            vehicle.step(control, DT)
        best = min(best, (time.process_time() - started) / 2000)
    assert best < 30e-6
