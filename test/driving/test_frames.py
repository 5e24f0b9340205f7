# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames and signs, by hand-computed cases."""

import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from av_td3_ros.driving.frames import (from_carla, Pose, quaternion_from_yaw, to_body, to_carla,
                                       to_map, VehicleState, wrap_angle, yaw_from_quaternion)

ANGLE = st.floats(-50.0, 50.0)
METRES = st.floats(-5000.0, 5000.0)


@pytest.mark.parametrize('angle, expected', [
    (0.0, 0.0), (math.pi, -math.pi), (-math.pi, -math.pi), (1.5 * math.pi, -0.5 * math.pi),
    (-1.5 * math.pi, 0.5 * math.pi), (7.0, 7.0 - 2.0 * math.pi)])
def test_angles_are_wrapped(angle, expected):
    assert wrap_angle(angle) == pytest.approx(expected)


@given(ANGLE)
def test_a_wrapped_angle_points_the_same_way(angle):
    wrapped = wrap_angle(angle)
    assert -math.pi <= wrapped < math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@given(st.floats(-math.pi, math.pi), st.floats(0.1, 10.0))
def test_a_yaw_survives_as_a_quaternion_of_any_length(yaw, length):
    x, y, z, w = quaternion_from_yaw(yaw)
    assert math.hypot(x, y, z, w) == pytest.approx(1.0)
    back = yaw_from_quaternion(length * x, length * y, length * z, length * w)
    assert abs(wrap_angle(back - yaw)) < 1e-9


def test_the_yaw_of_a_quaternion_with_roll_and_pitch():
    # ZYX: yaw 90 degrees about z after a pitch of 30 about y: q = qz * qy.
    half, tilt = math.radians(45.0), math.radians(15.0)
    z, w = math.sin(half), math.cos(half)
    y, v = math.sin(tilt), math.cos(tilt)
    assert yaw_from_quaternion(-z * y, w * y, z * v, w * v) == pytest.approx(math.pi / 2.0)


def test_points_ahead_and_to_the_left_of_a_car_that_faces_north():
    car = Pose(10.0, 20.0, 0.0, math.pi / 2.0)      # +y is its forward, -x its left
    points = np.array([[10.0, 25.0], [7.0, 20.0], [11.0, 18.0]])
    assert to_body(car, points) == pytest.approx(np.array([[5.0, 0.0], [0.0, 3.0], [-2.0, -1.0]]))


@settings(max_examples=50)
@given(METRES, METRES, ANGLE, METRES, METRES)
def test_body_and_map_are_inverse(x, y, yaw, px, py):
    pose, points = Pose(x, y, 0.0, yaw), np.array([[px, py], [0.0, 0.0]])
    assert to_map(pose, to_body(pose, points)) == pytest.approx(points, abs=1e-6)


def test_carla_is_left_handed():
    # In CARLA, y is to the right and yaw is clockwise, in degrees.
    assert from_carla(1.0, 2.0, 3.0, 90.0) == pytest.approx((1.0, -2.0, 3.0, -math.pi / 2.0))
    assert to_carla(Pose(1.0, -2.0, 3.0, -math.pi / 2.0)) == pytest.approx((1.0, 2.0, 3.0, 90.0))


@given(METRES, METRES, st.floats(-179.0, 179.0))
def test_carla_there_and_back(x, y, yaw):
    assert to_carla(from_carla(x, y, 0.5, yaw)) == pytest.approx((x, y, 0.5, yaw))


def test_speed_is_the_magnitude_of_the_velocity():
    assert VehicleState(0, Pose(0.0, 0.0, 0.0, 0.0), (-3.0, 4.0), 0.0).speed == 5.0
