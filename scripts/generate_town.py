#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the towns that come with the package as OpenDRIVE, with the scenariogeneration library.

``scripts/generate_town.py`` writes ``maps/town_a.xodr`` (to train in) and ``maps/town_b.xodr``
(never trained in). The same layout and seed give the same bytes. The roads are plain lines and
arcs at fixed places, right-hand traffic, flat, with kerb and pavement.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
import re
import sys
from typing import Hashable
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent))

from scenariogeneration import xodr  # noqa: E402
from town_geometry import connect, length, Piece, rounded, trim, wrap  # noqa: E402
from town_layouts import Layout, LAYOUTS, Street  # noqa: E402

LANE = 3.5            # m, width of a driving lane
GUTTER = 0.3          # m of shoulder between lane and kerb
PAVEMENT = 2.5        # m
TURN_RADIUS = 9.0     # m, centre of the tightest turn in a junction
SOLID = 25.0          # m before a junction in which lanes may not be changed
TOWNS = {'town_a': ('grid', 7), 'town_b': ('ring', 11)}

_SIDE_LANES = ((xodr.LaneType.shoulder, GUTTER), (xodr.LaneType.sidewalk, PAVEMENT))


class Arm:
    """One end of a street at a junction: the pose of its reference line, leaving the junction."""

    def __init__(self, road: int, lanes: int, at_start: bool, path: list[Piece]) -> None:
        self.road, self.lanes, self.at_start = road, lanes, at_start
        x, y, heading = path[0].at(0.0) if at_start else path[-1].at(path[-1].length)
        self.x, self.y = x, y
        self.out = wrap(heading if at_start else heading + math.pi)

    def lane_id(self, number: int, incoming: bool) -> int:
        """Return the OpenDRIVE id of lane ``number`` (1 is the innermost) in one direction."""
        return number if incoming == self.at_start else -number

    def edge(self, number: int, incoming: bool) -> tuple[float, float, float]:
        """Return the pose of a lane's left edge, in its direction of travel."""
        heading = wrap(self.out + math.pi) if incoming else self.out
        offset = LANE * (number - 1)
        return (self.x + offset * math.sin(heading), self.y - offset * math.cos(heading), heading)


def _gap(own: float, own_lanes: int, others: list[tuple[float, int]]) -> float:
    """Return how far from the junction's point a street ends, for turns of TURN_RADIUS."""
    need = 10.0
    for heading, lanes in others:
        angle = abs(wrap(heading - own))
        if angle > math.radians(155.0):
            continue
        a, b = LANE * (own_lanes - 0.5), LANE * (lanes - 0.5)
        crossing = (b + a * math.cos(angle)) / math.sin(angle)
        need = max(need, crossing + TURN_RADIUS * math.tan(0.5 * (math.pi - angle)))
    return need


def _paths(layout: Layout) -> tuple[list[list[Piece]], dict[Hashable, list[Arm]]]:
    full = []
    for street in layout.streets:
        corners = [layout.junctions[street.start], *street.bends, layout.junctions[street.end]]
        full.append(rounded(corners, list(street.radii)))
    ends: dict[Hashable, list[tuple[float, int]]] = {key: [] for key in layout.junctions}
    for street, path in zip(layout.streets, full):
        ends[street.start].append((path[0].heading, street.lanes))
        ends[street.end].append((path[-1].at(path[-1].length)[2] + math.pi, street.lanes))
    paths: list[list[Piece]] = []
    arms: dict[Hashable, list[Arm]] = {key: [] for key in layout.junctions}
    for road, (street, path) in enumerate(zip(layout.streets, full)):
        begin = (path[0].heading, street.lanes)
        end = (path[-1].at(path[-1].length)[2] + math.pi, street.lanes)
        path = trim(path, *(_gap(own[0], own[1], [e for e in ends[key] if e != own])
                            for key, own in ((street.start, begin), (street.end, end))))
        paths.append(path)
        arms[street.start].append(Arm(road, street.lanes, True, path))
        arms[street.end].append(Arm(road, street.lanes, False, path))
    return paths, arms


def _plan(path: list[Piece]) -> xodr.PlanView:
    view = xodr.PlanView()
    for piece in path:
        shape = xodr.Arc(piece.curvature, length=piece.length) if piece.curvature \
            else xodr.Line(piece.length)
        view.add_fixed_geometry(shape, piece.x, piece.y, piece.heading)
    return view


def _mark(kind: str, start: float = 0.0, colour: str = 'white') -> xodr.RoadMark:
    change = xodr.LaneChange.both if kind == 'broken' and colour == 'white' \
        else xodr.LaneChange.none
    dashes = {'length': 3.0, 'space': 4.5} if kind == 'broken' else {}
    return xodr.RoadMark(xodr.RoadMarkType[kind], width=0.15, soffset=start,
                         color=xodr.RoadMarkColor[colour], laneChange=change, **dashes)


def _street(road: int, street: Street, path: list[Piece],
            numbers: dict[Hashable, int]) -> xodr.Road:
    centre = xodr.Lane(a=0)
    centre.add_roadmark(_mark(street.centre, colour='yellow'))
    section = xodr.LaneSection(0, centre)
    total = length(path)
    for add in (section.add_left_lane, section.add_right_lane):
        for number in range(1, street.lanes + 1):
            lane = xodr.Lane(a=LANE)
            if number == street.lanes:
                lane.add_roadmark(_mark('solid'))
            else:
                for kind, start in (('solid', 0.0), ('broken', SOLID), ('solid', total - SOLID)):
                    lane.add_roadmark(_mark(kind, start))
            add(lane)
        for lane in _side_lanes():
            add(lane)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    made = xodr.Road(road, _plan(path), lanes, name=f'street {road}')
    made.add_type(xodr.RoadType.town, speed=50, speed_unit='km/h')
    made.add_predecessor(xodr.ElementType.junction, numbers[street.start])
    made.add_successor(xodr.ElementType.junction, numbers[street.end])
    return made


def _side_lanes() -> list[xodr.Lane]:
    lanes = [xodr.Lane(kind, a=width) for kind, width in _SIDE_LANES]
    lanes[0].add_roadmark(_mark('curb'))
    lanes[1].add_roadmark(_mark('none'))
    return lanes


def _turns(arms: list[Arm]) -> list[tuple[Arm, int, Arm, int]]:
    """Return every legal movement: incoming arm and lane, outgoing arm and lane."""
    found: list[tuple[Arm, int, Arm, int]] = []
    for arm in arms:
        angles = {other: wrap(other.out - (arm.out + math.pi))
                  for other in arms if other is not arm}
        ahead = min(angles, key=lambda other: abs(angles[other]))
        straight = ahead if abs(angles[ahead]) < math.radians(40.0) else None
        for other, angle in angles.items():
            if other is straight:
                # Counted from the right, so that the kerb leads on.
                found += [(arm, arm.lanes - k, other, other.lanes - k)
                          for k in range(min(arm.lanes, other.lanes))]
            elif angle > 0.0:
                found.append((arm, 1, other, 1))
            else:
                found.append((arm, arm.lanes, other, other.lanes))
        used = {lane for a, lane, _, _ in found if a is arm}
        for lane in set(range(1, arm.lanes + 1)) - used:
            found.append((arm, lane, ahead, 1))
    for other in arms:
        reached = {lane for _, _, b, lane in found if b is other}
        for lane in set(range(1, other.lanes + 1)) - reached:
            source = min((arm for arm in arms if arm is not other),
                         key=lambda arm: abs(wrap(other.out - (arm.out + math.pi))))
            found.append((source, 1 if lane == 1 else source.lanes, other, lane))
    return found


def _connecting(road: int, number: int, arms: list[Arm],
                turn: tuple[Arm, int, Arm, int]) -> xodr.Road:
    source, lane_in, target, lane_out = turn
    path = connect(source.edge(lane_in, True), target.edge(lane_out, False))
    centre = xodr.Lane(a=0)
    centre.add_roadmark(_mark('none'))
    lane = xodr.Lane(a=LANE)
    lane.add_link('predecessor', source.lane_id(lane_in, True))
    lane.add_link('successor', target.lane_id(lane_out, False))
    lane.add_roadmark(_mark('none'))
    section = xodr.LaneSection(0, centre)
    section.add_right_lane(lane)
    # The movement to the next arm on the right runs along the kerb.
    right = min((arm for arm in arms if arm is not source),
                key=lambda arm: (arm.out - source.out) % (2.0 * math.pi))
    if target is right and lane_in == source.lanes and lane_out == target.lanes:
        for side in _side_lanes():
            section.add_right_lane(side)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    made = xodr.Road(road, _plan(path), lanes, road_type=number, name=f'turn {road}')
    made.add_type(xodr.RoadType.town, speed=50, speed_unit='km/h')
    for add, arm in ((made.add_predecessor, source), (made.add_successor, target)):
        add(xodr.ElementType.road, arm.road,
            xodr.ContactPoint.start if arm.at_start else xodr.ContactPoint.end)
    return made


def generate(name: str, layout: Layout) -> str:
    """Return a layout as OpenDRIVE text."""
    town = xodr.OpenDrive(name, geo_reference='+lat_0=0.0 +lon_0=0.0')
    numbers = {key: 1000 + i for i, key in enumerate(layout.junctions)}
    paths, arms = _paths(layout)
    for road, (street, path) in enumerate(zip(layout.streets, paths)):
        town.add_road(_street(road, street, path, numbers))
    road = len(layout.streets)
    for key, number in numbers.items():
        junction = xodr.Junction(f'junction {number}', number)
        for turn in _turns(arms[key]):
            town.add_road(_connecting(road, number, arms[key], turn))
            connection = xodr.Connection(turn[0].road, road, xodr.ContactPoint.start)
            connection.add_lanelink(turn[0].lane_id(turn[1], True), -1)
            junction.add_connection(connection)
            road += 1
        town.add_junction(junction)
    tree = town.get_element()
    ElementTree.indent(tree, ' ')
    text = ElementTree.tostring(tree, encoding='unicode')
    # The library dates its files; these must be the same on every day.
    text = re.sub(r'date="[^"]*"', 'date="2026-01-01"', text, count=1)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text + '\n'


def main() -> None:
    """Write the towns."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--output', type=Path,
                        default=Path(__file__).resolve().parents[1] / 'maps',
                        help='folder to write to (default: the maps folder of the repository)')
    parser.add_argument('--layout', choices=sorted(LAYOUTS),
                        help='write one town of this layout instead of the two')
    parser.add_argument('--seed', type=int, default=0, help='seed of that town')
    parser.add_argument('--name', default='town', help='name of that town')
    arguments = parser.parse_args()
    towns = TOWNS if arguments.layout is None \
        else {arguments.name: (arguments.layout, arguments.seed)}
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, (layout, seed) in towns.items():
        path = arguments.output / f'{name}.xodr'
        path.write_text(generate(name, LAYOUTS[layout](seed)), encoding='utf-8')
        print(path)


if __name__ == '__main__':
    main()
