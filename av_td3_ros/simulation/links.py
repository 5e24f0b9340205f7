# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check that the links of an OpenDRIVE map lead to roads and lanes that exist.

CARLA's parser follows them without looking, and dies on one that leads nowhere.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from av_td3_ros.simulation.opendrive import integer, Road, TownError

_ENDS = ('start', 'end')


def check_links(root: ElementTree.Element, roads: list[Road]) -> None:
    """Raise TownError, naming the road, where a link leads to nothing in the map."""
    known = {road.number: road for road in roads}
    junctions = {integer(junction, 'id', 'the map') for junction in root.findall('junction')}
    for junction in root.findall('junction'):
        _check_junction(junction, known)
    for element in root.findall('road'):
        road = known[integer(element, 'id', 'the map')]
        where = f'road {road.number}'
        if road.junction >= 0 and road.junction not in junctions:
            raise TownError(f'{where} lies in junction {road.junction}, which is not in the map')
        for direction in ('predecessor', 'successor'):
            links = element.findall(f'link/{direction}')
            if len(links) > 1:
                raise TownError(f'{where} has more than one {direction}')
            beyond = _beyond(links[0], where, known, junctions) if links else None
            _check_lanes(element, road, direction, beyond)


def _beyond(link: ElementTree.Element, where: str, known: dict[int, Road],
            junctions: set[int]) -> set[int] | None:
    """Return the lanes at the end of the linked road; None for a junction, which lists its own."""
    kind, target = link.get('elementType'), integer(link, 'elementId', where)
    if kind not in ('road', 'junction'):
        raise TownError(f'{where}: a link needs the elementType road or junction')
    if target not in (known if kind == 'road' else junctions):
        raise TownError(f'{where} leads to {kind} {target}, which is not in the map')
    if kind == 'junction':
        return None
    if link.get('contactPoint') not in _ENDS:
        raise TownError(f'{where}: a link to a road needs the contactPoint start or end')
    return _lanes_at(known[target], link.get('contactPoint') == 'start')


def _lanes_at(road: Road, start: bool) -> set[int]:
    """Return the lane ids at one end of a road by which a car can enter or leave there."""
    return {lane for lane, _ in road.sections[0 if start else -1].lanes}


def _check_lanes(element: ElementTree.Element, road: Road, direction: str,
                 beyond: set[int] | None) -> None:
    step = -1 if direction == 'predecessor' else 1
    for i, section in enumerate(element.findall('lanes/laneSection')):
        inside = 0 <= i + step < len(road.sections)
        there = {lane for lane, _ in road.sections[i + step].lanes} if inside else beyond
        for lane in section.findall('*/lane'):
            own = integer(lane, 'id', f'road {road.number}')
            where = f'road {road.number}, lane {own}'
            links = lane.findall(f'link/{direction}')
            if len(links) > 1:
                raise TownError(f'{where} has more than one {direction}')
            if not links or own == 0:
                continue
            target = integer(links[0], 'id', where)
            if target == 0 or there is not None and target not in there:
                raise TownError(f'{where} leads to lane {target}, which is not there')


def _check_junction(junction: ElementTree.Element, known: dict[int, Road]) -> None:
    where = f'junction {junction.get("id")}'
    for connection in junction.findall('connection'):
        ends = {}
        for name in ('incomingRoad', 'connectingRoad'):
            number = integer(connection, name, where)
            if number not in known:
                raise TownError(f'{where} leads to road {number}, which is not in the map')
            ends[name] = known[number]
        if connection.get('contactPoint') not in _ENDS:
            raise TownError(f'{where}: a connection needs the contactPoint start or end')
        incoming, connecting = ends['incomingRoad'], ends['connectingRoad']
        entered = _lanes_at(connecting, connection.get('contactPoint') == 'start')
        left = _lanes_at(incoming, True) | _lanes_at(incoming, False)
        for link in connection.findall('laneLink'):
            for name, lanes, road in (('from', left, incoming), ('to', entered, connecting)):
                lane = integer(link, name, where)
                if lane not in lanes:
                    raise TownError(f'{where} links lane {lane} of road {road.number}, '
                                    'which is not there')
