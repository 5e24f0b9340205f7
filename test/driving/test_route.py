# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places along a route, by hand-computed cases and against a plain search."""

import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from shapes import bend, straight

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.route import Route, RouteError


@pytest.mark.parametrize('points, said', [
    (np.zeros((0, 2)), 'two points or more, got 0'), (np.zeros((1, 2)), 'got 1'),
    (np.ones((5, 2)), 'got 1'), (np.zeros((4, 3)), r'\(4, 3\)'), (np.zeros(4), r'\(4,\)'),
    ([[0.0, 0.0], [math.nan, 1.0]], 'not finite'), ([[0.0, 0.0], [math.inf, 1.0]], 'not finite')])
def test_what_is_no_route_is_refused(points, said):
    with pytest.raises(RouteError, match=said):
        Route(np.asarray(points))


def test_repeated_points_are_dropped():
    route = Route(np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]))
    assert len(route.points) == 2 and route.length == 5.0
    assert route.goal == pytest.approx([3.0, 4.0])


def test_points_at_distances_end_at_the_ends():
    route = straight(10.0, 2.5)
    assert route.at(np.array([-1.0, 0.0, 3.3, 10.0, 99.0])) == pytest.approx(
        np.array([[0.0, 0.0], [0.0, 0.0], [3.3, 0.0], [10.0, 0.0], [10.0, 0.0]]))
    assert route.at(4.0) == pytest.approx([4.0, 0.0])


@pytest.mark.parametrize('y, yaw, lateral, heading', [
    (1.5, 0.2, 1.5, 0.2), (-1.5, -0.2, -1.5, -0.2), (0.0, math.pi, 0.0, -math.pi),
    (0.7, -math.pi / 2.0, 0.7, -math.pi / 2.0)])
def test_left_of_a_straight_is_positive(y, yaw, lateral, heading):
    place = straight().locate(Pose(30.4, y, 0.0, yaw))
    assert place == pytest.approx((30.4, lateral, heading))


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('outward', [1.0, -1.0])
def test_both_sides_of_a_bend(left, outward):
    """Halfway through a quarter turn of 20 m, 1 m outside or inside of it, heading along it."""
    route, angle = bend(left), math.pi / 4.0
    side = 1.0 if left else -1.0
    radius = 20.0 + outward
    car = Pose(radius * math.sin(angle), side * (20.0 - radius * math.cos(angle)), 0.0,
               side * angle)
    place = route.locate(car)
    # Outside of a left turn is to the right of the route.
    assert place.lateral == pytest.approx(-side * outward, abs=1e-4)
    assert place.distance == pytest.approx(20.0 * angle, abs=0.01)
    assert place.heading_error == pytest.approx(0.0, abs=1e-3)
    turned = route.locate(car._replace(yaw=car.yaw + 0.1))
    assert turned.heading_error == pytest.approx(0.1, abs=1e-3)


def test_a_route_that_crosses_itself_does_not_let_the_position_jump():
    """A figure of eight crosses itself in the middle; the position goes on where it was."""
    turn = np.linspace(0.0, 2.0 * math.pi, 2001)
    route = Route(np.stack([60.0 * np.sin(turn), 60.0 * np.sin(turn) * np.cos(turn)], axis=1))
    distance, last = 0.0, -1.0
    for point in route.points[::4]:
        place = route.locate(Pose(point[0], point[1], 0.0, 0.0), near=distance)
        distance = place.distance
        assert distance >= last - 1e-6 and abs(place.lateral) < 1e-6
        last = distance
    assert distance > route.length - 1.0


def test_the_window_ends_at_the_routes_ends():
    route = straight(50.0)
    assert route.locate(Pose(49.0, 0.0, 0.0, 0.0), near=1e9).distance == pytest.approx(49.0)
    assert route.locate(Pose(1.0, 0.0, 0.0, 0.0), near=-1e9).distance == pytest.approx(1.0)


def test_a_corner_between_samples_does_not_show_in_the_direction():
    route = Route(np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 2.0], [30.0, 6.0]]))
    directions = [route.direction(d) for d in np.linspace(8.0, 12.0, 200)]
    assert np.abs(np.diff(directions)).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(-30.0, 130.0), st.floats(-60.0, 60.0))
def test_the_nearest_point_is_the_nearest(seed, x, y):
    draw = np.random.default_rng(seed)
    points = np.cumsum(draw.uniform([0.2, -2.0], [4.0, 2.0], (40, 2)), axis=0)
    route = Route(points)
    place = route.locate(Pose(x, y, 0.0, 0.0))
    dense = route.at(np.linspace(0.0, route.length, 40_001))
    gaps = np.hypot(dense[:, 0] - x, dense[:, 1] - y)
    assert abs(place.lateral) == pytest.approx(gaps.min(), abs=2e-3)
    assert math.dist(route.at(place.distance), (x, y)) == pytest.approx(
        abs(place.lateral), abs=1e-9)
