# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the figures against cases that can be worked out by hand."""

import numpy as np
import pytest

from av_td3_ros.evaluation.driven import comfort
from av_td3_ros.evaluation.metrics import (action_error, smoothness, stretches, time_shift,
                                           worst_moments)

TICK = 50_000_000


def clock(count):
    return np.arange(count, dtype=np.int64) * TICK


def test_stretches_end_at_gaps_and_steps_back():
    stamps = np.array([0, 1, 2, 30, 31, 5, 6]) * TICK
    assert [(p.start, p.stop) for p in stretches(stamps)] == [(0, 3), (3, 5), (5, 7)]
    assert list(stretches(np.zeros(0, np.int64))) == []


def test_action_error_by_hand():
    actions = np.array([[0.1, 0.5], [0.3, 0.5], [-0.2, 0.5], [9.0, 9.0]])
    driver = np.array([[0.0, 0.5], [0.0, 0.7], [0.0, -0.5], [np.nan, np.nan]])
    speed, curvature = np.array([1.0, 2.0, 9.0, 9.0]), np.array([0.0, 0.05, -0.05, 0.0])
    found = action_error(actions, driver, speed, curvature, clock(4))
    steer, drive = found['steer'], found['drive']
    assert found['frames'] == 3
    assert (steer['mean'], steer['worst']) == (pytest.approx(0.2), pytest.approx(0.3))
    assert steer['bias'] == pytest.approx(0.2 / 3) and drive['bias'] == pytest.approx(0.8 / 3)
    assert [part['count'] for part in steer['by_speed']] == [1, 1, 0, 1, 0, 0]
    assert steer['by_speed'][3]['mean'] == pytest.approx(0.2)
    assert [part['count'] for part in steer['by_curvature']] == [1, 0, 2, 0]
    assert steer['by_curvature'][2]['mean'] == pytest.approx(0.25)
    assert action_error(actions, driver * np.nan, speed, curvature, clock(4)) is None


@pytest.mark.parametrize('late', [-4, 0, 3])
def test_the_time_shift_is_found(late):
    driver = np.sin(np.arange(400) / 9.0)
    found = time_shift(np.roll(driver, late), driver, clock(400))
    assert found['best_pictures'] == -late and found['best_mean'] < 1e-9


def test_the_time_shift_does_not_reach_across_gaps():
    stamps = clock(60)
    stamps[15:] += 100 * TICK
    stamps[30:] += 100 * TICK
    values = np.zeros(60)
    # No stretch but the last is long enough for all shifts.
    assert time_shift(values[:30], values[:30], stamps[:30])['best_pictures'] is None
    assert time_shift(values, values, stamps)['best_pictures'] == 0


def test_smoothness_by_hand():
    steer = np.tile([0.0, 0.1], 10)
    drive = np.repeat([0.5, -0.5], 10)
    found = smoothness(np.stack([steer, drive], axis=1), clock(20))
    seconds = 19 * 0.05
    assert found['steer_rate'] == pytest.approx(1.9 / seconds)
    assert found['drive_rate'] == pytest.approx(1.0 / seconds)
    assert found['steer_reversals'] == pytest.approx(60 * 18 / seconds)
    assert found['switches'] == pytest.approx(60 / seconds)
    small = smoothness(np.stack([steer * 0.1, drive], axis=1), clock(20))
    assert small['steer_reversals'] == 0.0
    assert smoothness(np.zeros((1, 2)), clock(1))['steer_rate'] is None


def test_worst_moments_are_apart():
    error = np.zeros(100)
    error[[10, 11, 50, 99]] = [3.0, 4.0, 2.0, np.nan]
    assert worst_moments(error, clock(100), count=3)[:2] == [11, 50]
    assert worst_moments(error, clock(100))[2:] == [70, 90]


def states(speed, turning, seconds=8.0):
    """Return stamps and states of a car with speed(t) and yaw rate(t)."""
    t = np.arange(0.0, seconds, 0.05)
    v, w = speed(t), turning(t)
    yaw = np.concatenate([[0.0], np.cumsum(0.05 * (w[1:] + w[:-1]) / 2)])
    dx, dy = v * np.cos(yaw), v * np.sin(yaw)
    x, y = (np.concatenate([[0.0], np.cumsum(0.05 * (d[1:] + d[:-1]) / 2)]) for d in (dx, dy))
    return (t * 1e9).round().astype(np.int64), np.stack(
        [x, y, yaw, v, np.zeros_like(v), w], axis=1)


def test_comfort_of_known_motion():
    found = comfort(*states(lambda t: 5.0 + 3.0 * t, lambda t: np.full_like(t, 0.2)))
    assert found['longitudinal_acceleration']['most'] == pytest.approx(3.0)
    assert found['longitudinal_acceleration']['share_within'] == 0.0
    assert found['lateral_acceleration']['most'] == pytest.approx(0.2 * (5 + 3 * 7.95), rel=0.1)
    assert found['longitudinal_jerk']['most'] == pytest.approx(0.0, abs=1e-6)
    assert found['yaw_rate']['least'] == pytest.approx(0.2)
    assert found['comfortable'] is False
    turn = comfort(*states(lambda t: np.full_like(t, 4.0), lambda t: 0.1 * t))
    assert turn['yaw_acceleration']['most'] == pytest.approx(0.1)
    assert turn['comfortable'] is True


def test_comfort_does_not_see_a_teleport():
    stamps, motion = states(lambda t: np.full_like(t, 5.0), lambda t: np.zeros_like(t))
    motion[80:, 0] += 300.0
    motion[80:, 3] = 9.0
    found = comfort(stamps, motion)
    assert abs(found['longitudinal_acceleration']['most']) < 1e-6


def test_comfort_of_nothing():
    empty = comfort(np.zeros(0, np.int64), np.zeros((0, 6)))
    assert empty['comfortable'] is None and empty['jerk']['most'] is None
