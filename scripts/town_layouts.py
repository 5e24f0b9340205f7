# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plans of the towns that come with the package: where junctions and streets lie."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Callable, Hashable, Tuple

Point = Tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Street:
    """
    A street between two junctions, named by their keys.

    ``lanes`` a direction; ``bends`` are the corners on its way and ``radii`` (m) their curves;
    ``centre`` is its centre line: 'broken', 'solid' or 'solid_solid'.
    """

    start: Hashable
    end: Hashable
    lanes: int = 1
    bends: tuple[Point, ...] = ()
    radii: tuple[float, ...] = ()
    centre: str = 'broken'


@dataclasses.dataclass(frozen=True)
class Layout:
    """Junctions, as points in metres by their keys, and the streets between them."""

    junctions: dict[Hashable, Point]
    streets: tuple[Street, ...]


def grid_town(seed: int) -> Layout:
    """
    Return a town of irregular blocks, 520 m by 470 m, with fourteen junctions.

    An avenue of two lanes a direction leads along the south and through the middle; the outer
    corners are curves of 20 to 100 m; a country road with an S-curve closes the north.
    """
    rng = random.Random(seed)
    columns, rows = (0.0, 130.0, 265.0, 520.0), (0.0, 125.0, 260.0, 430.0)
    at: dict[Hashable, Point] = {
        (i, j): (x, y) for j, y in enumerate(rows) for i, x in enumerate(columns)}
    for key in ((1, 1), (2, 1), (1, 2), (2, 2)):
        at[key] = (at[key][0] + rng.uniform(-9, 9), at[key][1] + rng.uniform(-9, 9))
    at['mid'] = (400.0, at[3, 1][1])
    at['east'] = (at[3, 1][0], 195.0)
    corner = {name: at.pop(key) for name, key in (
        ('sw', (0, 0)), ('se', (3, 0)), ('nw', (0, 3)), ('ne', (3, 3)))}
    radius = rng.uniform
    streets = (
        # The avenue: along the south, and north through the middle.
        Street((0, 1), (1, 0), 2, (corner['sw'],), (radius(38, 48),), 'solid_solid'),
        Street((1, 0), (2, 0), 2, centre='solid_solid'),
        Street((2, 0), (3, 1), 2, (corner['se'],), (radius(60, 70),), 'solid_solid'),
        Street((2, 0), (2, 1), 2, centre='solid_solid'),
        Street((2, 1), (2, 2), 2, centre='solid_solid'),
        Street((2, 2), (2, 3), 2, centre='solid_solid'),
        # The west and the north.
        Street((0, 1), (0, 2)),
        Street((0, 2), (1, 3), 1, (corner['nw'],), (radius(20, 26),)),
        Street((1, 3), (2, 3), 1, ((180.0, 430.0), (215.0, 412.0)), (radius(28, 34), 30.0)),
        Street((2, 3), (3, 2), 1, ((330.0, 430.0), (380.0, 470.0), (corner['ne'][0], 470.0)),
               (45.0, 35.0, radius(92, 100)), 'solid'),
        # The long blocks of the east.
        Street((2, 2), (3, 2), centre='solid'),
        Street((3, 1), 'east', centre='solid'),
        Street('east', (3, 2), centre='solid'),
        Street('east', 'mid', 1, ((400.0, 195.0),), (radius(24, 28),)),
        Street((2, 1), 'mid'),
        Street('mid', (3, 1)),
        # The blocks between.
        Street((0, 1), (1, 1)),
        Street((1, 1), (2, 1), centre='solid'),
        Street((0, 2), (1, 2), 1, ((65.0, 276.0),), (80.0,)),
        Street((1, 2), (2, 2)),
        Street((1, 0), (1, 1)),
        Street((1, 1), (1, 2), 1, ((158.0, 193.0),), (35.0,)),
        Street((1, 2), (1, 3)),
    )
    return Layout(at, streets)


def ring_town(seed: int) -> Layout:
    """
    Return a town of two rings, 540 m across, with thirteen junctions.

    Three streets meet at the centre; six lead from the inner ring outwards; the outer ring has
    two lanes a direction and is closed in the south by a long straight bypass.
    """
    rng = random.Random(seed)
    at: dict[Hashable, Point] = {'centre': (rng.uniform(-6, 6), rng.uniform(-6, 6))}
    for angle in range(30, 390, 60):
        at['inner', angle] = _polar(105.0, angle)
    for angle in (30, 90, 150, 210, 330):
        at['outer', angle] = _polar(235.0 + rng.uniform(-8, 8), angle)
    at['south'] = (72.0, -275.0)
    streets = [Street('centre', ('inner', angle)) for angle in (90, 210, 330)]
    for angle in range(30, 390, 60):
        following = 30 if angle == 330 else angle + 60
        streets.append(Street(('inner', angle), ('inner', following), 1,
                              (_polar(105.0 / math.cos(math.pi / 6), angle + 30),),
                              (rng.uniform(62, 76),), 'solid'))
    for angle in (30, 90, 150, 210, 330):
        streets.append(Street(('inner', angle), ('outer', angle),
                              centre='solid' if angle % 180 == 30 else 'broken'))
    for angle in (330, 30, 90, 150):
        following = 30 if angle == 330 else angle + 60
        reach = 0.5 * (math.hypot(*at['outer', angle]) + math.hypot(*at['outer', following]))
        streets.append(Street(('outer', angle), ('outer', following), 2 if angle != 150 else 1,
                              (_polar(reach / math.cos(math.pi / 6), angle + 30),),
                              (rng.uniform(70, 100),), 'solid_solid'))
    west, east = at['outer', 210][0], at['outer', 330][0]
    streets += [
        Street(('outer', 210), 'south', 1, ((west - 12.0, -275.0),), (48.0,), 'solid'),
        Street('south', ('outer', 330), 1, ((east + 8.0, -275.0),), (rng.uniform(40, 55),)),
        Street(('inner', 270), 'south', 1, ((0.0, -170.0), (72.0, -215.0)), (24.0, 28.0)),
    ]
    return Layout(at, tuple(streets))


def _polar(radius: float, degrees: float) -> Point:
    angle = math.radians(degrees)
    return radius * math.cos(angle), radius * math.sin(angle)


LAYOUTS: dict[str, Callable[[int], Layout]] = {'grid': grid_town, 'ring': ring_town}
