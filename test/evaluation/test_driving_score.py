# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Worked examples of the leaderboard's driving score."""

import pytest

from av_td3_ros.evaluation.driving_score import COEFFICIENTS, driving_score, infraction_penalty


def test_a_collision_and_a_red_light_on_a_completed_route():
    infractions = {'collision_vehicle': 1, 'red_light': 1}
    assert driving_score('2.0', 1.0, infractions) == pytest.approx(42.0, abs=1e-9)
    assert driving_score('2.1', 1.0, infractions) == pytest.approx(47.619, abs=5e-4)


@pytest.mark.parametrize('version, completion, infractions, off_road, score', [
    ('2.0', 1.0, {}, 0.0, 100.0),
    ('2.1', 1.0, {}, 0.0, 100.0),
    ('2.0', 0.5, {'collision_pedestrian': 2}, 0.0, 12.5),
    ('2.1', 0.5, {'collision_pedestrian': 2}, 0.0, 100.0 / 6.0),
    ('2.0', 0.8, {'collision_static': 1, 'stop_sign': 2}, 0.25, 60.0 * 0.65 * 0.64),
    ('2.1', 0.8, {'collision_static': 1, 'stop_sign': 2}, 0.25, 60.0 / 2.1),
    ('2.0', 1.0, {'minimum_speed': 0.5}, 0.0, 85.0),
    ('2.1', 1.0, {'minimum_speed': 0.5}, 0.0, 100.0 / 1.2),
    ('2.0', 1.0, {'scenario_timeout': 1, 'yield_emergency': 1}, 0.0, 49.0),
    ('2.1', 1.0, {'scenario_timeout': 1, 'yield_emergency': 1}, 0.0, 100.0 / 1.8),
])
def test_by_hand(version, completion, infractions, off_road, score):
    assert driving_score(version, completion, infractions, off_road) == pytest.approx(score)


@pytest.mark.parametrize('version', sorted(COEFFICIENTS))
def test_more_infractions_are_never_better(version):
    for name in COEFFICIENTS[version]:
        scores = [infraction_penalty(version, {name: number}) for number in (0, 1, 2)]
        assert scores[0] == 1.0 and scores[1] < 1.0 and scores[2] <= scores[1] > 0.0


@pytest.mark.parametrize('arguments, words', [
    (('1.0', 1.0, {}), 'version'), (('2.0', 1.0, {'speeding': 1}), 'speeding'),
    (('2.0', 1.0, {'red_light': -1}), 'red_light'), (('2.0', 1.1, {}), 'completion'),
    (('2.1', 1.0, {'red_light': float('nan')}), 'red_light')])
def test_what_makes_no_sense_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        driving_score(*arguments)
