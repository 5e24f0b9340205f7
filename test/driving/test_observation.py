# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The vector state, by cases worked out by hand on both sides of a bend."""

import math

import numpy as np
import pytest
from shapes import bend, state, straight

from av_td3_ros.driving.observation import ObservationSettings, VECTOR_SIZE, vector_state

SETTINGS = ObservationSettings()
PLAIN = ObservationSettings(speed_scale=1.0, lateral_scale=1.0, heading_scale=1.0,
                            point_scale=1.0)


def vector(route, car, settings=PLAIN):
    result = vector_state(car, route, route.locate(car.pose), settings)
    assert result.shape == (VECTOR_SIZE,) and result.dtype == np.float32
    return result


def test_on_a_straight_it_can_be_read_off():
    result = vector(straight(), state(x=10.0, y=-0.5, speed=6.0, sideways=-2.5))
    assert result[:3] == pytest.approx([6.5, -0.5, 0.0])
    # Points of the route are 5 m apart from the car's place on, half a metre to its left.
    assert result[3::2] == pytest.approx(5.0 * np.arange(1, 11))
    assert result[4::2] == pytest.approx(np.full(10, 0.5))


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('offset', [0.0, 0.8, -0.8])
def test_on_both_sides_of_a_bend(left, offset):
    """
    A car at the beginning of a quarter turn of 20 m, ``offset`` m to its left, turned left by 0.1.

    The point s metres ahead on the route lies at 20 sin(s/20) ahead and 20 (1 - cos(s/20)) to the
    turn's side of the tangent; from there it is shifted by the offset and turned by -0.1.
    """
    side, yaw = (1.0 if left else -1.0), 0.1
    result = vector(bend(left), state(y=offset, yaw=yaw, speed=5.0))
    assert result[:3] == pytest.approx([5.0, offset, yaw], abs=0.03)
    for number in range(6):         # six points lie within the 31.4 m of the turn
        angle = 5.0 * (number + 1) / 20.0
        x, y = 20.0 * math.sin(angle), side * 20.0 * (1.0 - math.cos(angle)) - offset
        assert result[3 + 2 * number] == pytest.approx(
            math.cos(yaw) * x + math.sin(yaw) * y, abs=0.01)
        assert result[4 + 2 * number] == pytest.approx(
            -math.sin(yaw) * x + math.cos(yaw) * y, abs=0.01)
    # The last points are beyond the end, and are the end.
    assert result[-2:] == pytest.approx(result[-4:-2])


def test_a_bend_and_its_mirror_image_are_mirrored():
    for offset, yaw in ((0.5, 0.2), (-1.1, 0.05), (0.0, -0.3)):
        one = vector(bend(True), state(y=offset, yaw=yaw, speed=4.0))
        other = vector(bend(False), state(y=-offset, yaw=-yaw, speed=4.0))
        mirrored = one.copy()
        mirrored[1:3] *= -1.0
        mirrored[4::2] *= -1.0
        assert other == pytest.approx(mirrored, abs=1e-5)


def test_it_does_not_depend_on_where_the_map_has_its_origin():
    route, car = bend(True), state(x=3.0, y=0.4, yaw=0.15, speed=4.0)
    shift, turn = np.array([812.0, -95.0]), 2.2
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    moved = type(route)(route.points @ rotation + shift)
    x, y = np.array([car.pose.x, car.pose.y]) @ rotation + shift
    other = state(x=x, y=y, yaw=car.pose.yaw + turn, speed=4.0)
    assert vector(moved, other) == pytest.approx(vector(route, car), abs=1e-4)


def test_each_entry_is_divided_by_its_scale():
    car = state(x=1.0, y=0.3, yaw=0.2, speed=7.0)
    plain, scaled = vector(straight(), car), vector(straight(), car, SETTINGS)
    scales = np.array([SETTINGS.speed_scale, SETTINGS.lateral_scale, SETTINGS.heading_scale]
                      + [SETTINGS.point_scale] * 20)
    assert scaled == pytest.approx(plain / scales)
