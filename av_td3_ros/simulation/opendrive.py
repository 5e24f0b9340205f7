# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check an OpenDRIVE text and list its lanes, before CARLA's parser sees it.

CARLA's parser is made for the files of CARLA's own towns: what a damaged file does to it ranges
from a silent zero to an aborted process. So the structure that it relies on is checked here
first (ASAM OpenDRIVE 1.4 to 1.7, the subset that CARLA reads), and a bad file ends in a
:class:`TownError` that names the element.
"""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as ElementTree

_GEOMETRIES = {
    'line': (), 'arc': ('curvature',), 'spiral': ('curvStart', 'curvEnd'),
    'poly3': ('a', 'b', 'c', 'd'),
    'paramPoly3': ('aU', 'bU', 'cU', 'dU', 'aV', 'bV', 'cV', 'dV')}
_PROFILES = ('elevationProfile/elevation', 'lateralProfile/superelevation', 'lanes/laneOffset')
_LIMIT = 1e6     # m; no town is larger, and CARLA computes in single precision
_INT32 = 2**31 - 1


class TownError(ValueError):
    """A town cannot be loaded, or has no such route; the message is one sentence that says why."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One lane section: its range of ``s`` in metres and its lanes' OpenDRIVE ids and types."""

    start: float
    end: float
    lanes: tuple[tuple[int, str], ...]


@dataclasses.dataclass(frozen=True)
class Road:
    """One road: ``number`` is its id, ``junction`` its junction's, or -1 outside junctions."""

    number: int
    junction: int
    length: float
    sections: tuple[Section, ...]


def parse(text: str) -> ElementTree.Element:
    """Return the root of an OpenDRIVE text; raise TownError for anything else."""
    try:
        root = ElementTree.fromstring(text.encode('utf-8'))
    except (ElementTree.ParseError, UnicodeEncodeError, ValueError, LookupError) as error:
        raise TownError(f'the map is not well-formed XML: {error}') from None
    if root.tag != 'OpenDRIVE':
        raise TownError(f'the map is not OpenDRIVE: its root element is <{root.tag[:40]}>')
    if root.find('header') is None:
        raise TownError('the map has no <header>')
    return root


def read_roads(root: ElementTree.Element) -> list[Road]:
    """Return the roads of an OpenDRIVE map in file order; raise TownError for a bad one."""
    roads = [_read_road(element) for element in root.findall('road')]
    if not any(kind == 'driving' for road in roads for section in road.sections
               for _, kind in section.lanes):
        raise TownError('the map has no driving lane')
    ids = [road.number for road in roads]
    if len(set(ids)) != len(ids):
        raise TownError(f'road {_repeated(ids)} stands twice in the map')
    return roads


def _repeated(ids: list[int]) -> int:
    return next(i for i in ids if ids.count(i) > 1)


def number(element: ElementTree.Element, name: str, where: str, *, low: float = -_LIMIT,
           high: float = _LIMIT, default: float | None = None) -> float:
    """Return a number from an attribute; raise TownError where there is none in the range."""
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise TownError(f'{where}: <{element.tag}> needs a number in {name!r}, '
                        f'not {str(text)[:40]!r}') from None
    if not (math.isfinite(value) and low <= value <= high):
        raise TownError(f'{where}: {name!r} of <{element.tag}> is {value:g}, '
                        f'outside {low:g} to {high:g}')
    return value


def integer(element: ElementTree.Element, name: str, where: str) -> int:
    """Return a whole number from an attribute; raise TownError where there is none."""
    text = element.get(name)
    try:
        value = int(text)
    except (TypeError, ValueError):
        raise TownError(f'{where}: <{element.tag}> needs a whole number in {name!r}, '
                        f'not {str(text)[:40]!r}') from None
    if abs(value) > _INT32:
        raise TownError(f'{where}: {name!r} of <{element.tag}> is out of range')
    return value


def _read_road(element: ElementTree.Element) -> Road:
    road_id = integer(element, 'id', 'the map')
    where = f'road {road_id}'
    if road_id < 0:
        raise TownError(f'{where}: a road id cannot be negative')
    length = number(element, 'length', where, low=1e-6)
    junction = integer(element, 'junction', where)
    _check_geometry(element, where)
    for path in _PROFILES:
        for entry in element.findall(path):
            for name in ('s', 'a', 'b', 'c', 'd'):
                number(entry, name, where)
    found = element.findall('lanes/laneSection')
    if not found:
        raise TownError(f'{where} has no <laneSection>')
    starts = [number(item, 's', where, low=0.0, high=length) for item in found]
    if starts[0] != 0.0 or any(b <= a for a, b in zip(starts, starts[1:])):
        raise TownError(f'{where}: its lane sections must start at 0 and stand in order')
    ends = starts[1:] + [length]
    return Road(road_id, junction, length, tuple(
        Section(a, b, _read_lanes(item, where)) for item, a, b in zip(found, starts, ends)))


def _check_geometry(element: ElementTree.Element, where: str) -> None:
    pieces = element.findall('planView/geometry')
    if not pieces:
        raise TownError(f'{where} has no <geometry>')
    if number(pieces[0], 's', where) != 0.0:
        raise TownError(f'{where}: its first geometry must start at s = 0')
    last = -1.0
    for piece in pieces:
        for name in ('x', 'y', 'hdg'):
            number(piece, name, where)
        s = number(piece, 's', where, low=0.0)
        number(piece, 'length', where, low=0.0)
        if s <= last and last > 0.0:
            raise TownError(f'{where}: its geometries do not stand in order of s')
        last = s
        shapes = [child for child in piece if child.tag in _GEOMETRIES]
        if len(shapes) != 1:
            raise TownError(f'{where}: a geometry must be one of {", ".join(_GEOMETRIES)}')
        for name in _GEOMETRIES[shapes[0].tag]:
            number(shapes[0], name, where)


def _read_lanes(section: ElementTree.Element, where: str) -> tuple[tuple[int, str], ...]:
    lanes: list[tuple[int, str]] = []
    for side in ('left', 'center', 'right'):
        for lane in section.findall(f'{side}/lane'):
            lane_id = integer(lane, 'id', where)
            if (lane_id > 0) - (lane_id < 0) != {'left': 1, 'center': 0, 'right': -1}[side]:
                raise TownError(f'{where}: lane {lane_id} stands in <{side}>')
            at = f'{where}, lane {lane_id}'
            _check_lane(lane, lane_id, at)
            lanes.append((lane_id, lane.get('type', 'none')))
    ids = [lane_id for lane_id, _ in lanes]
    if len(set(ids)) != len(ids):
        raise TownError(f'{where}: lane {_repeated(ids)} stands twice in a section')
    if 0 not in ids:
        raise TownError(f'{where}: a section lacks its centre lane 0')
    if sorted(ids) != list(range(min(ids), max(ids) + 1)):
        raise TownError(f'{where}: the lane ids of a section leave a gap')
    return tuple(lanes)


def _check_lane(lane: ElementTree.Element, lane_id: int, where: str) -> None:
    widths = lane.findall('width')
    if lane_id != 0 and not widths:
        raise TownError(f'{where} has no <width>')
    for width in widths:
        for name in ('sOffset', 'a', 'b', 'c', 'd'):
            number(width, name, where)
    for mark in lane.findall('roadMark'):
        number(mark, 'sOffset', where)
        number(mark, 'width', where, default=0.0)
    for link in lane.findall('link/*'):
        integer(link, 'id', where)
