# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Going to an episode's start by teleport and goal, with a bridge that may be slow or deaf."""

import numpy as np
import pytest
from shapes import state

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.start import EpisodeStart, Plan, Request

PLAN = Plan(Pose(10.0, 5.0, 0.0, 0.5), Pose(80.0, 40.0, 0.0, 0.5))
THERE = state(10.0, 5.0, 0.5)
ELSEWHERE = state(300.0, 0.0)


def route(start=(10.0, 5.0), goal=(80.0, 40.0)):
    return Route(np.linspace(start, goal, 90))


def test_teleport_then_goal_then_ready():
    start = EpisodeStart(PLAN, patience=5)
    assert start.advance(ELSEWHERE) is Request.TELEPORT
    # A goal is planned from where the car is: it must not be sent before the car is there.
    assert [start.advance(ELSEWHERE) for _ in range(3)] == [Request.NOTHING] * 3
    assert not start.ready(ELSEWHERE, route())
    assert start.advance(THERE) is Request.GOAL
    assert not start.ready(THERE, None)
    assert not start.ready(THERE, route(goal=(300.0, 300.0)))
    assert not start.ready(THERE, route(start=(30.0, 15.0)))
    assert start.advance(THERE) is Request.NOTHING
    assert start.ready(THERE, route())


@pytest.mark.parametrize('car', [
    state(12.5, 5.0, 0.5), state(10.0, 5.0, 0.9), state(10.0, 5.0, 0.5, speed=0.6)])
def test_the_car_must_stand_at_the_start_and_face_the_right_way(car):
    start = EpisodeStart(PLAN)
    assert start.advance(car) is Request.TELEPORT
    assert not start.ready(car, route())


def test_a_heading_is_compared_around_the_turn():
    plan = Plan(Pose(0.0, 0.0, 0.0, 3.1), PLAN.goal)
    assert EpisodeStart(plan).advance(state(yaw=-3.1)) is Request.GOAL


def test_what_has_no_effect_is_sent_again_and_then_given_up():
    start = EpisodeStart(PLAN, patience=4, attempts=3)
    sent = []
    while not start.failed:
        sent.append(start.advance(ELSEWHERE))
    assert sent.count(Request.TELEPORT) == 4
    assert all(request in (Request.TELEPORT, Request.NOTHING) for request in sent)
    assert len(sent) == 1 + 3 * 5
    # The goal has its own attempts.
    start = EpisodeStart(PLAN, patience=4, attempts=3)
    start.advance(ELSEWHERE)
    sent = []
    while not start.failed:
        sent.append(start.advance(THERE))
    assert sent.count(Request.GOAL) == 4


def test_a_car_that_was_pushed_away_is_put_back():
    start = EpisodeStart(PLAN, patience=2)
    assert start.advance(THERE) is Request.GOAL
    assert [start.advance(ELSEWHERE) for _ in range(3)] == [
        Request.NOTHING, Request.NOTHING, Request.TELEPORT]
    assert not start.ready(ELSEWHERE, route())
    assert start.advance(THERE) is Request.GOAL
