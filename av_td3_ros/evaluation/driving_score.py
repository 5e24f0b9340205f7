# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The driving score of the CARLA Autonomous Driving Leaderboard, versions 2.0 and 2.1.

Score = route completion (percent) times the infraction penalty. By 2.0 the penalty is the product
of a coefficient for each infraction; by 2.1 it is 1 / (1 + the sum of the infractions' weights),
so that a long route with several infractions is not worth next to nothing. The coefficients are
facts of https://leaderboard.carla.org/evaluation_v2_0 and evaluation_v2_1, and are those of
leaderboard/utils/statistics_manager.py on the branches leaderboard-2.0 and leaderboard-2.1 of
https://github.com/carla-simulator/leaderboard. Only closed-loop runs have such a score.
"""

from __future__ import annotations

from typing import Mapping

COEFFICIENTS: dict[str, dict[str, float]] = {
    '2.0': {
        'collision_pedestrian': 0.50,
        'collision_vehicle': 0.60,
        'collision_static': 0.65,
        'red_light': 0.70,
        'stop_sign': 0.80,
        'scenario_timeout': 0.70,
        'minimum_speed': 0.70,
        'yield_emergency': 0.70,
    },
    '2.1': {
        'collision_pedestrian': 1.00,
        'collision_vehicle': 0.70,
        'collision_static': 0.60,
        'red_light': 0.40,
        'stop_sign': 0.25,
        'scenario_timeout': 0.40,
        'minimum_speed': 0.40,
        'yield_emergency': 0.40,
    },
}


def infraction_penalty(version: str, infractions: Mapping[str, float]) -> float:
    """
    Return the penalty in (0, 1] for a number of each infraction.

    A failure to keep the minimum speed counts by its share of severity, in [0, 1]; the others
    are whole numbers. Raises ValueError for another version, name or a negative number.
    """
    if version not in COEFFICIENTS:
        raise ValueError(f'there is no leaderboard version {version!r}; there are '
                         + ', '.join(COEFFICIENTS))
    coefficients = COEFFICIENTS[version]
    for name, number in infractions.items():
        if name not in coefficients:
            raise ValueError(f'there is no infraction {name!r}; there are '
                             + ', '.join(coefficients))
        if not number >= 0:
            raise ValueError(f'the number of {name} is {number}')
    if version == '2.1':
        return 1.0 / (1.0 + sum(coefficients[name] * number
                                for name, number in infractions.items()))
    penalty = 1.0
    for name, number in infractions.items():
        if name == 'minimum_speed':
            penalty *= 1.0 - (1.0 - coefficients[name]) * min(number, 1.0)
        else:
            penalty *= coefficients[name] ** number
    return penalty


def driving_score(version: str, completion: float, infractions: Mapping[str, float],
                  off_road: float = 0.0) -> float:
    """
    Return the driving score in [0, 100] of one route.

    completion: share of the route that was driven, in [0, 1]. off_road: share of the driven route
    outside its lanes, which does not count as driven. Raises ValueError for what is out of range.
    """
    if not 0.0 <= completion <= 1.0 or not 0.0 <= off_road <= 1.0:
        raise ValueError(f'completion {completion} and off_road {off_road} must be in [0, 1]')
    return 100.0 * completion * (1.0 - off_road) * infraction_penalty(version, infractions)
