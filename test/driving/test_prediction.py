# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted paths by hand: straight, a quarter of a circle, and to the right side."""

import math

import numpy as np
import pytest

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.prediction import predicted_path, steered_yaw_rate


def test_straight_ahead():
    path = predicted_path(Pose(10.0, 5.0, 2.0, math.pi / 2), 8.0, 0.0, 2.0)
    assert len(path) == 21
    assert path[0] == pytest.approx((10.0, 5.0, 2.0))
    assert path[-1] == pytest.approx((10.0, 21.0, 2.0))


def test_a_quarter_of_a_circle_to_the_left():
    # 5 m/s on a radius of 10 m: a quarter takes pi s.
    path = predicted_path(Pose(0.0, 0.0, 0.0, 0.0), 5.0, 0.5, math.pi, spacing=math.pi / 100)
    assert path[-1] == pytest.approx((10.0, 10.0, 0.0), abs=1e-9)
    assert np.hypot(path[:, 0], path[:, 1] - 10.0) == pytest.approx(np.full(len(path), 10.0))


def test_a_tiny_yaw_rate_is_no_division_by_zero():
    path = predicted_path(Pose(0.0, 0.0, 0.0, 0.0), 10.0, 1e-12, 1.0)
    assert np.isfinite(path).all() and path[-1] == pytest.approx((10.0, 0.0, 0.0), abs=1e-9)


def test_steer_is_positive_to_the_right():
    rate = steered_yaw_rate(0.5, 10.0, 0.6, 2.85)
    assert rate == pytest.approx(-10.0 * math.tan(0.3) / 2.85)
    assert predicted_path(Pose(0.0, 0.0, 0.0, 0.0), 10.0, rate, 1.0)[-1, 1] < 0.0
    assert steered_yaw_rate(0.5, 0.0, 0.6, 2.85) == 0.0
