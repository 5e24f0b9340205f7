# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A town's road as strips to draw: surfaces between lane borders, and the painted lines.

The geometry is that of the town's lanes; the OpenDRIVE text gives what ``carla.Map`` leaves out,
the road marks with their colours and dash lengths. All of it is in the ROS map frame, in metres.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Iterator, Sequence
import xml.etree.ElementTree as ElementTree

import numpy as np

from av_td3_ros.simulation.lanes import Lane

# Lengths of line and gap where a broken road mark does not say (OpenDRIVE leaves them to the
# application): those of built-up areas in most of Europe.
DASH, GAP = 3.0, 6.0
_DOTS = (0.12, 1.38)
_DEFAULT_WIDTH = 0.12
# Strips of neighbouring sections and roads overlap by this much, so that no pixel falls between.
_OVERLAP = 0.01

_PAVED = {'sidewalk': 'pavement', 'walking': 'pavement', 'curb': 'kerb', 'none': '',
          'median': '', 'rail': ''}


@dataclasses.dataclass(frozen=True)
class Surface:
    """
    Neighbouring lanes of one lane section that are paved alike.

    ``left`` and ``right`` are (K, 3): their outer borders seen along the road's direction, every
    0.5 m. ``kind`` is 'asphalt', 'pavement' or 'kerb'; ``beside_left`` and ``beside_right`` are
    the kinds that join on either side, or '' at the road's edge. ``pavement`` is the width of the
    pavement that a junction's lane shall be given beyond its edges, because the roads that meet
    there have one.
    """

    kind: str
    left: np.ndarray
    right: np.ndarray
    beside_left: str
    beside_right: str
    pavement: float


@dataclasses.dataclass(frozen=True)
class Line:
    """
    A painted line or dash from ``stations[0]`` to ``stations[-1]`` metres along its road.

    ``centre`` is (K, 3), ``normal`` (K, 2) points to the left, ``width`` is in metres.
    """

    stations: np.ndarray
    centre: np.ndarray
    normal: np.ndarray
    width: float
    colour: str     # 'white', 'yellow' or 'kerb'
    road: int


@dataclasses.dataclass(frozen=True)
class _Mark:
    start: float
    end: float
    lines: tuple[tuple[float, float, float, float], ...]   # offset to the left, width, dash, gap
    colour: str


class _Section:
    """Borders of one lane section at stations along the road, from left to right."""

    def __init__(self, start: float, end: float, lanes: dict[int, Lane]) -> None:
        self.start, self.end = start, end
        self.ids = sorted(lanes, reverse=True)
        self.left, self.right = [], []
        for lane in (lanes[i] for i in self.ids):
            left, right = lane.left, lane.right
            if not lane.forward:
                left, right = right[::-1], left[::-1]
            self.left.append(_stretched(left))
            self.right.append(_stretched(right))
        self.stations = np.linspace(start, end, len(self.left[0]))
        across = self.left[0] - self.right[-1]
        self.normal = across[:, :2] / np.maximum(
            np.linalg.norm(across[:, :2], axis=1, keepdims=True), 1e-9)

    def border(self, lane: int) -> np.ndarray | None:
        """Return the outer border of a lane; that of lane 0 parts the two directions."""
        if lane == 0:
            inner = [i for i in (-1, 1) if i in self.ids]
            if not inner:
                return None
            row = self.ids.index(inner[0])
            return self.left[row] if inner[0] < 0 else self.right[row]
        if lane not in self.ids:
            return None
        row = self.ids.index(lane)
        return self.left[row] if lane > 0 else self.right[row]


def _stretched(border: np.ndarray) -> np.ndarray:
    border = border.copy()
    for end, inner in ((0, 1), (-1, -2)):
        step = border[end] - border[inner]
        border[end] += step / max(float(np.linalg.norm(step)), 1e-9) * _OVERLAP
    return border


def read_strips(lanes: Sequence[Lane], opendrive: str) -> tuple[list[Surface], list[Line]]:
    """
    Return the surfaces and the painted lines of a map.

    ``lanes`` are the town's, sampled from the text ``opendrive``.
    """
    root = ElementTree.fromstring(opendrive.encode('utf-8'))
    pavements = _junction_pavements(root)
    sampled: dict[tuple[int, int], dict[int, Lane]] = {}
    for lane in lanes:
        sampled.setdefault((lane.road, lane.section), {})[lane.lane] = lane
    surfaces: list[Surface] = []
    lines: list[Line] = []
    for road in root.iter('road'):
        number, junction = int(road.get('id')), road.get('junction', '-1')
        pavement = pavements.get(junction, 0.0)
        items = road.findall('lanes/laneSection')
        bounds = [float(item.get('s')) for item in items] + [float(road.get('length'))]
        for index, item in enumerate(items):
            here = sampled.get((number, index))
            if not here or bounds[index + 1] - bounds[index] < 0.01:
                continue
            elements = {int(lane.get('id')): lane for lane in item.iter('lane')}
            section = _Section(bounds[index], bounds[index + 1], here)
            surfaces.extend(_surfaces(section, elements, pavement))
            lines.extend(_lines(section, elements, number, junction != '-1'))
    return surfaces, lines


def _junction_pavements(root) -> dict[str, float]:
    widths: dict[str, float] = {}
    for road in root.iter('road'):
        if road.get('junction', '-1') != '-1':
            continue
        walks = [float(lane.find('width').get('a')) for lane in road.iter('lane')
                 if lane.get('type') == 'sidewalk' and lane.find('width') is not None]
        for end in ('predecessor', 'successor'):
            link = road.find(f'link/{end}')
            if walks and link is not None and link.get('elementType') == 'junction':
                name = link.get('elementId')
                widths[name] = max(widths.get(name, 0.0), min(walks))
    return widths


def _surfaces(section: _Section, lanes, pavement: float) -> Iterator[Surface]:
    kinds = [_PAVED.get(lanes[i].get('type'), 'asphalt') for i in section.ids]
    runs: list[list[int]] = []
    for row, kind in enumerate(kinds):
        if runs and kinds[runs[-1][-1]] == kind:
            runs[-1].append(row)
        else:
            runs.append([row])
    around = [''] + [kinds[run[0]] for run in runs] + ['']
    for number, run in enumerate(runs):
        left, right = section.left[run[0]], section.right[run[-1]]
        if kinds[run[0]] and np.linalg.norm(left - right, axis=1).max() > 0.02:
            yield Surface(kinds[run[0]], left, right, around[number], around[number + 2],
                          pavement)


def _lines(section: _Section, lanes, road: int, in_junction: bool) -> Iterator[Line]:
    one_sided = not (any(i > 0 for i in section.ids) and any(i < 0 for i in section.ids))
    for lane, element in lanes.items():
        if lane == 0 and in_junction and one_sided:
            # The reference line of a turn: nobody paints it, though editors export a mark.
            continue
        border = section.border(lane)
        if border is None:
            continue
        for mark in _marks(element, section.start, section.end, lane):
            for offset, width, dash, gap in mark.lines:
                for start, end in _dashes(mark, dash, gap):
                    yield _line(section, border, offset, width, start, end, mark.colour, road)


def _dashes(mark: _Mark, dash: float, gap: float) -> Iterator[tuple[float, float]]:
    if gap <= 0.0:
        yield mark.start, mark.end
        return
    # Counted from the road's start, so that the pattern runs on through sections.
    first = math.floor(mark.start / (dash + gap))
    for k in range(first, math.ceil(mark.end / (dash + gap)) + 1):
        start, end = k * (dash + gap), k * (dash + gap) + dash
        start, end = max(start, mark.start), min(end, mark.end)
        if end - start > 0.05:
            yield start, end


def _line(section: _Section, border, offset, width, start, end, colour, road) -> Line:
    at = section.stations
    inside = (at > start + 1e-6) & (at < end - 1e-6)
    stations = np.concatenate([[start], at[inside], [end]])
    centre = np.stack([np.interp(stations, at, border[:, k]) for k in range(3)], axis=1)
    normal = np.stack([np.interp(stations, at, section.normal[:, k]) for k in range(2)], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    centre[:, :2] += offset * normal
    return Line(stations, centre, normal, width, colour, road)


def _marks(lane: ElementTree.Element, start: float, end: float, number: int) -> list[_Mark]:
    elements = lane.findall('roadMark')
    starts = [start + float(item.get('sOffset', 0.0)) for item in elements]
    marks = []
    for item, begin, stop in zip(elements, starts, starts[1:] + [end]):
        kind = item.get('type', 'none').lower()
        if kind == 'none' or min(stop, end) - begin < 0.05:
            continue
        width = float(item.get('width', 0.0) or 0.0) or _DEFAULT_WIDTH
        colour = 'yellow' if item.get('color', '').lower() in ('yellow', 'orange') else 'white'
        if kind == 'curb':
            colour = 'kerb'
        # Offsets grow to the left; a mark is named from the inside out, at the centre from
        # left to right.
        outwards = 1.0 if number > 0 else -1.0
        lines = _explicit(item, width) or _implied(kind, width, outwards)
        marks.append(_Mark(begin, min(stop, end), tuple(lines), colour))
    return marks


def _explicit(item, width: float) -> list[tuple[float, float, float, float]]:
    return [(float(line.get('tOffset', 0.0)), float(line.get('width', 0.0) or 0.0) or width,
             float(line.get('length', DASH)), float(line.get('space', 0.0)))
            for line in item.findall('type/line')]


def _implied(kind: str, width: float, outwards: float) -> list[tuple[float, float, float, float]]:
    pattern = {'solid': (0.0, 0.0), 'broken': (DASH, GAP), 'botts dots': _DOTS}
    words = [kind] if kind in pattern else kind.split()
    if not all(word in pattern for word in words):
        words = ['solid'] if kind in ('curb', 'edge') else []
    if len(words) == 2:
        return [(side * outwards * width, width, *pattern[word])
                for side, word in zip((-1.0, 1.0), words)]
    return [(0.0, width, *pattern[word]) for word in words]
