# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which routes the demonstration drives: drawn by the seed, with a turn at a junction."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.route import Route
from av_td3_ros.simulation.town import Town, TownError

LENGTHS = (250.0, 350.0)
"""Least and greatest length of a route, m."""

# A change of direction within some metres that only a junction asks for, and what all bends of
# a route come to at least: one that runs straight on shows little.
_TURN = math.radians(60.0)
_TURN_WITHIN = 20
_BENDS = math.radians(120.0)
_DRAWS = 60


@dataclasses.dataclass(frozen=True)
class DemoRoute:
    """One route: start and goal in the map frame, its points (N, 2) and their heights (N,), m."""

    start: Pose
    goal: Pose
    route: Route
    heights: np.ndarray


def draw_routes(town: Town, seed: int, count: int = 2) -> list[DemoRoute]:
    """
    Return ``count`` routes of the town, each with bends and a turn at a junction.

    The same seed gives the same routes. Raises TownError where the town has none of that length;
    one without bends gives what it has.
    """
    rng = np.random.default_rng(seed)
    chosen: list[DemoRoute] = []
    plain: list[DemoRoute] = []
    for _ in range(_DRAWS):
        start, goal, points = town.sample_route(rng, *LENGTHS)
        drawn = _make(town, start, goal, points)
        sharpest, bends = curvature(drawn.route)
        (chosen if sharpest >= _TURN and bends >= _BENDS else plain).append(drawn)
        if len(chosen) == count:
            break
    return (chosen + plain)[:count]


def read_routes(town: Town, path: Path) -> list[DemoRoute]:
    """Return the routes of a file as ``routes_file`` of the policy node; ValueError if bad."""
    try:
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
        poses = [(Pose(*map(float, entry['start'])), Pose(*map(float, entry['goal'])))
                 for entry in document['routes']]
        return [_make(town, start, goal, town.route(start, goal)) for start, goal in poses]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError, TownError) as error:
        raise ValueError(f'no routes can be read from {path}: {error}') from None


def curvature(route: Route) -> tuple[float, float]:
    """Return a route's greatest change of direction within 20 m, and all its bends' sum, rad."""
    headings = np.unwrap([route.direction(float(s)) for s in np.arange(0.0, route.length)])
    if len(headings) <= _TURN_WITHIN:
        return 0.0, 0.0
    return (float(np.abs(headings[_TURN_WITHIN:] - headings[:-_TURN_WITHIN]).max()),
            float(np.abs(np.diff(headings)).sum()))


def write_routes(path: Path, routes: list[DemoRoute]) -> None:
    """Write the routes as the policy node reads them (``routes_file``)."""
    document: dict[str, Any] = {'routes': [
        {'start': list(map(float, route.start)), 'goal': list(map(float, route.goal))}
        for route in routes]}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')


def _make(town: Town, start: Pose, goal: Pose, points: np.ndarray) -> DemoRoute:
    route = Route(points)
    heights = np.array([town.height(x, y) for x, y in route.points.tolist()])
    return DemoRoute(start, goal, route, heights)
