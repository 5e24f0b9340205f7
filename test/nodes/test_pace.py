# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a bag's messages are due: rate, pause, and no catching up after a wait."""

import math

import pytest

from av_td3_ros.nodes.pace import Pace

SECOND = 1_000_000_000


class Wall:
    """A clock in the test's hands, s."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


def test_the_first_message_is_due_at_once_and_the_rest_after_it(wall):
    pace = Pace(2.0, clock=wall)
    assert pace.until(7 * SECOND) == 0.0
    assert pace.until(9 * SECOND) == pytest.approx(1.0)
    wall.now += 0.75
    assert pace.until(9 * SECOND) == pytest.approx(0.25)
    wall.now += 10.0
    assert pace.until(9 * SECOND) == 0.0


def test_a_pause_goes_on_from_where_it_stopped(wall):
    pace = Pace(1.0, clock=wall)
    pace.until(0)
    wall.now += 1.0
    pace.pause(True)
    wall.now += 50.0
    assert pace.paused and pace.until(3 * SECOND) == math.inf
    pace.pause(False)
    assert pace.until(3 * SECOND) == pytest.approx(2.0)


def test_one_that_starts_paused_begins_with_the_first_message(wall):
    pace = Pace(1.0, paused=True, clock=wall)
    assert pace.until(5 * SECOND) == math.inf
    wall.now += 9.0
    pace.pause(False)
    assert pace.until(5 * SECOND) == 0.0 and pace.until(6 * SECOND) == pytest.approx(1.0)


def test_another_rate_holds_from_now_on(wall):
    pace = Pace(1.0, clock=wall)
    pace.until(0)
    wall.now += 2.0
    pace.set_rate(0.5)
    assert pace.until(3 * SECOND) == pytest.approx(2.0)
    pace.set_rate(0.0)
    assert pace.until(300 * SECOND) == 0.0
    pace.sent(300 * SECOND)
    pace.set_rate(1.0)
    assert pace.until(301 * SECOND) == pytest.approx(1.0)


def test_what_was_sent_without_a_rate_is_not_waited_for_again(wall):
    pace = Pace(0.0, clock=wall)
    assert pace.until(0) == pace.until(300 * SECOND) == 0.0
    pace.set_rate(1.0)
    assert pace.until(301 * SECOND) == pytest.approx(1.0)


def test_time_that_was_waited_is_not_made_up_for(wall):
    pace = Pace(1.0, clock=wall)
    pace.until(0)
    wall.now += 5.0
    assert pace.until(2 * SECOND) == 0.0
    pace.sent(2 * SECOND)
    assert pace.until(3 * SECOND) == pytest.approx(1.0)
    # Early is not late.
    pace.sent(2 * SECOND)
    assert pace.until(3 * SECOND) == pytest.approx(1.0)
