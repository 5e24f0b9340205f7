# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When and how episodes end."""

import pytest
from shapes import state, straight

from av_td3_ros.driving.episode import Ending, EpisodeMonitor, EpisodeSettings
from av_td3_ros.driving.route import RoutePosition

SETTINGS = EpisodeSettings(standstill_time=2.0, max_duration=10.0)
ROUTE = straight(100.0)


def ending(car, distance=50.0, lateral=0.0, *, collided=False, on_road=True, monitor=None):
    if monitor is None:
        monitor = EpisodeMonitor(SETTINGS)
        monitor.begin(state())
    return monitor.ending(car, ROUTE, RoutePosition(distance, lateral, 0.0), collided=collided,
                          on_road=on_road)


MOVING = state(tick=1, speed=5.0)


@pytest.mark.parametrize('arguments, expected', [
    ({}, None), ({'distance': 97.1}, Ending.ARRIVAL), ({'distance': 96.9}, None),
    ({'lateral': 2.51}, Ending.OFF_ROAD), ({'lateral': -2.51}, Ending.OFF_ROAD),
    ({'lateral': 2.49}, None), ({'on_road': False}, Ending.OFF_ROAD),
    ({'collided': True}, Ending.COLLISION)])
def test_endings(arguments, expected):
    assert ending(MOVING, **arguments) is expected


def test_the_gravest_of_several_is_told():
    assert ending(MOVING, 99.0, 5.0, collided=True, on_road=False) is Ending.COLLISION
    assert ending(MOVING, 99.0, 5.0) is Ending.OFF_ROAD
    assert ending(state(tick=400), 99.0) is Ending.ARRIVAL


def test_standing_ends_it_only_when_nothing_moves_for_long():
    monitor = EpisodeMonitor(SETTINGS)
    monitor.begin(state())
    found = [ending(state(tick=t, speed=0.1), monitor=monitor) for t in range(40)]
    assert set(found) == {None}
    assert ending(state(tick=40, speed=0.1), monitor=monitor) is Ending.STANDSTILL
    # A little movement in between, and the wait begins anew; sideways counts too.
    monitor.begin(state())
    ending(state(tick=30, sideways=0.5), monitor=monitor)
    assert ending(state(tick=69), monitor=monitor) is None
    assert ending(state(tick=70), monitor=monitor) is Ending.STANDSTILL


def test_the_time_ends_it():
    monitor = EpisodeMonitor(SETTINGS)
    monitor.begin(state(tick=1000))
    assert ending(state(tick=1199, speed=5.0), monitor=monitor) is None
    assert ending(state(tick=1200, speed=5.0), monitor=monitor) is Ending.TIME


def test_which_endings_end_the_bootstrap():
    assert {e for e in Ending if e.terminated} == {
        Ending.ARRIVAL, Ending.COLLISION, Ending.OFF_ROAD}
