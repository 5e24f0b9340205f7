# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Contacts: oriented boxes, and the exchange of momentum."""

import math

import cv2
from hypothesis import assume, given, settings, strategies
import numpy as np
import pytest

from av_td3_ros.simulation import bicycle
from av_td3_ros.simulation.contact import boxes_overlap, collide, RESTITUTION

MASS, INERTIA, LENGTH, WIDTH = 1500.0, 2600.0, 4.7, 1.86
place = strategies.floats(-4.0, 4.0)
angle = strategies.floats(-math.pi, math.pi)
size = strategies.floats(0.5, 6.0)


def corners(x, y, yaw, length, width):
    box = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [0.5 * length, 0.5 * width]
    c, s = math.cos(yaw), math.sin(yaw)
    return (box @ np.array([[c, s], [-s, c]]) + (x, y)).astype(np.float32)


def shared_area(a, b):
    return cv2.intersectConvexConvex(corners(*a), corners(*b))[0]


@settings(max_examples=400, deadline=None)
@given(place, place, angle, size, size, angle, size, size)
def test_overlap_agrees_with_clipping(x, y, yaw, length, width, other_yaw, other_length,
                                      other_width):
    a, b = (x, y, yaw, length, width), (0.0, 0.0, other_yaw, other_length, other_width)
    normal = np.zeros(3)
    overlap = boxes_overlap(*a, *b, normal)
    area = shared_area(a, b)
    assume(area == 0.0 or area > 1e-3)
    if overlap and area == 0.0:
        assert normal[2] < 1e-3     # a touch that OpenCV's single precision does not see
        return
    assert overlap == (area > 0.0)
    if overlap:
        # Moved apart by the depth along the normal, they no longer overlap.
        depth = normal[2] + 1e-3
        moved = (x + depth * normal[0], y + depth * normal[1], yaw, length, width)
        assert not boxes_overlap(*moved, *b, np.zeros(3))
        assert math.hypot(normal[0], normal[1]) == pytest.approx(1.0)


def hit(x, y, yaw, vx, vy, rate, other_yaw, other_speed):
    """Return the state after a contact with a like car at the origin, its speed, the impulse."""
    state = np.zeros(bicycle.STATE_SIZE)
    state[:3] = x, y, yaw
    c, s = math.cos(yaw), math.sin(yaw)
    state[bicycle.VX:bicycle.YAW_RATE + 1] = c * vx + s * vy, c * vy - s * vx, rate
    speeds = np.array([other_speed])
    hits, impulses = np.zeros(1, np.int64), np.zeros((1, 2))
    one = np.ones(1)
    count = collide(state, MASS, INERTIA, LENGTH, WIDTH, 0 * one, 0 * one, other_yaw * one,
                    speeds, LENGTH * one, WIDTH * one, MASS * one, hits, impulses)
    c, s = math.cos(state[2]), math.sin(state[2])
    after = (c * state[3] - s * state[4], s * state[3] + c * state[4])
    return state, speeds[0], (impulses[0] if count else None), after


def test_rear_end_exchanges_momentum():
    # Into the tail of a car that stands on the same line.
    state, other, impulse, after = hit(-4.6, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0)
    assert after[0] + other == pytest.approx(10.0)          # equal masses: momentum is kept
    assert other - after[0] == pytest.approx(10.0 * RESTITUTION)
    assert impulse[0] == pytest.approx(MASS * (after[0] - 10.0)) and impulse[0] < 0.0
    assert abs(impulse[1]) < 1e-6 and abs(state[bicycle.YAW_RATE]) < 1e-9
    assert state[bicycle.X] == pytest.approx(-LENGTH)        # pushed out of the other car


def test_from_the_side_the_other_does_not_move():
    # Tyres hold a car sideways: the one that hits it is stopped.
    state, other, impulse, after = hit(0.0, -3.2, math.pi / 2, 0.0, 8.0, 0.0, 0.0, 0.0)
    assert other == pytest.approx(0.0, abs=1e-9)
    assert after[1] == pytest.approx(-8.0 * RESTITUTION)
    assert impulse[1] == pytest.approx(-MASS * 8.0 * (1.0 + RESTITUTION))


def test_head_on_stops_both():
    _, other, impulse, after = hit(-4.6, 0.0, 0.0, 10.0, 0.0, 0.0, math.pi, 10.0)
    assert abs(after[0]) < 1.5 and 0.0 <= other < 1.5
    assert impulse[0] < -0.9 * MASS * 10.0


def test_off_centre_hit_spins_the_car():
    # The front left corner strikes a tail: the car is turned to the left (counter-clockwise).
    state, _, _, after = hit(-4.5, -1.2, 0.0, 12.0, 0.0, 0.0, 0.0, 0.0)
    assert state[bicycle.YAW_RATE] > 0.2 and after[0] < 12.0


def test_separating_or_apart_means_no_event():
    assert hit(-4.6, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0, 0.0)[2] is None
    state, other, impulse, after = hit(-5.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0)
    assert impulse is None and after == pytest.approx((3.0, 0.0)) and other == 0.0


@settings(max_examples=300, deadline=None)
@given(place, place, angle, strategies.floats(-20, 20), strategies.floats(-20, 20),
       strategies.floats(-2, 2), angle, strategies.floats(0, 20))
def test_a_hit_never_gains_energy(x, y, yaw, vx, vy, rate, other_yaw, other_speed):
    def energy(v, r, w):
        return 0.5 * MASS * (v[0]**2 + v[1]**2 + w**2) + 0.5 * INERTIA * r**2
    state, other, impulse, after = hit(x, y, yaw, vx, vy, rate, other_yaw, other_speed)
    before = energy((vx, vy), rate, other_speed)
    assert energy(after, state[bicycle.YAW_RATE], other) <= before * (1.0 + 1e-9) + 1e-6
    assert np.isfinite(state).all() and other >= 0.0
