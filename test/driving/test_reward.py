# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Each reward term by a case worked out by hand."""

import dataclasses

import pytest
from shapes import state

from av_td3_ros.driving.reward import RewardMeter, RewardSettings, RewardTerms, TERMS
from av_td3_ros.driving.route import RoutePosition

SETTINGS = RewardSettings(
    progress=0.2, speed=0.1, speeding=0.25, lane_keeping=0.4, edge=1.5, comfort=0.005,
    collision=2.0, off_road=3.0, arrival=4.0, speed_limit=8.0)


def measure(states, places, **events):
    """Return the terms of the last of several steps."""
    meter = RewardMeter(SETTINGS)
    meter.begin(states[0], RoutePosition(*places[0]))
    for car, place in zip(states[1:-1], places[1:-1]):
        meter.measure(car, RoutePosition(*place))
    return meter.measure(states[-1], RoutePosition(*places[-1]), **events)


def test_a_steady_drive_at_the_limit():
    speed = SETTINGS.speed_limit
    terms = measure([state(tick=t, speed=speed) for t in (0, 1, 2)],
                    [(0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (0.8, 0.0, 0.0)])
    assert dataclasses.asdict(terms) == pytest.approx({
        **dict.fromkeys(TERMS, 0.0), 'progress': 0.4}, abs=1e-9)
    # 8 m/s earn 1.6 a second.
    assert terms.reward(SETTINGS) / 0.05 == pytest.approx(0.2 * 8.0)


def test_speeding_earns_nothing_and_costs():
    terms = measure([state(tick=t, speed=20.0) for t in (0, 1)],
                    [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)])
    assert terms.progress == pytest.approx(8.0 * 0.05)
    assert terms.speeding == pytest.approx(12.0 * 0.05) and terms.speed == 0.0


def test_backwards_is_negative_progress():
    assert measure([state(), state(tick=1)], [(5.0, 0.0, 0.0), (4.5, 0.0, 0.0)]).progress == -0.5


def test_standing_still_costs_what_the_limit_says():
    terms = measure([state(), state(tick=20)], [(3.0, 0.0, 0.0), (3.0, 0.0, 0.0)])
    assert terms.speed == pytest.approx(8.0)
    assert terms.progress == terms.speeding == 0.0
    assert terms.reward(SETTINGS) == pytest.approx(-0.8)


@pytest.mark.parametrize('lateral', [1.5, -1.5])
def test_either_side_of_the_lane_counts_alike(lateral):
    terms = measure([state(), state(tick=2)], [(0.0, 0.0, 0.0), (0.0, lateral, 0.0)])
    assert terms.lane_keeping == pytest.approx(1.5 * 0.1)


def test_comfort_is_the_change_of_acceleration():
    # From rest to 0.2 m/s in a tick is 4 m/s^2; then a steady speed in a bend of 0.5 rad/s.
    cars = [state(), state(tick=1, speed=0.2), state(tick=2, speed=0.2, yaw_rate=0.5)]
    place = [(0.0, 0.0, 0.0)] * 3
    assert measure(cars[:2], place[:2]).comfort == pytest.approx(4.0)
    assert measure(cars, place).comfort == pytest.approx((4.0**2 + 0.1**2) ** 0.5)


@pytest.mark.parametrize('event', ['collision', 'off_road', 'arrival'])
def test_events_are_counted_once(event):
    terms = measure([state(), state(tick=1)], [(0.0, 0.0, 0.0)] * 2, **{event: True})
    assert [getattr(terms, name) for name in ('collision', 'off_road', 'arrival')] == [
        float(name == event) for name in ('collision', 'off_road', 'arrival')]


def test_two_ticks_with_one_stamp_divide_by_nothing():
    terms = measure([state(speed=1.0), state(speed=3.0)], [(0.0, 0.0, 0.0)] * 2)
    assert terms.comfort == 0.0 and terms.speed == 0.0


def test_the_reward_is_the_sum_of_its_weighted_terms():
    terms = RewardTerms(**{name: number + 1.0 for number, name in enumerate(TERMS)})
    shares = terms.weighted(SETTINGS)
    assert tuple(shares) == TERMS
    assert terms.reward(SETTINGS) == pytest.approx(
        0.2 * 1 - 0.1 * 2 - 0.25 * 3 - 0.4 * 4 - 1.5 * 5 - 0.005 * 6 - 2.0 * 7 - 3.0 * 8 + 4.0 * 9)
    # Every weight takes effect, each on its own term.
    for name in TERMS:
        other = dataclasses.replace(SETTINGS, **{name: getattr(SETTINGS, name) + 0.5})
        changed = terms.weighted(other)
        assert {key for key in TERMS if changed[key] != shares[key]} == {name}
        sign = 1.0 if name in ('progress', 'arrival') else -1.0
        assert changed[name] - shares[name] == pytest.approx(0.5 * sign * getattr(terms, name))


def test_it_wants_to_be_begun():
    with pytest.raises(RuntimeError, match='begin'):
        RewardMeter(SETTINGS).measure(state(), RoutePosition(0.0, 0.0, 0.0))
