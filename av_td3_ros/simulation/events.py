# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can happen to the ego vehicle in a tick, as CARLA's collision and lane sensors tell it."""

from __future__ import annotations

import dataclasses
from typing import Union


@dataclasses.dataclass(frozen=True)
class Collision:
    """
    The ego vehicle hit something; one hit may give several events, as in CARLA.

    ``other_id`` is the other actor's id; ``impulse`` what the ego vehicle received, in N s along
    the axes of the map frame.
    """

    other_id: int
    impulse: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class LaneInvasion:
    """
    At least one wheel crossed a marking.

    ``markings`` holds the CARLA LaneMarkingType number of each marking crossed (0 other, 1 broken,
    2 solid, 3 solid-solid, 4 solid-broken, 5 broken-solid, 6 broken-broken, 7 Botts' dots,
    8 grass, 9 kerb).
    """

    markings: tuple[int, ...]


Event = Union[Collision, LaneInvasion]
