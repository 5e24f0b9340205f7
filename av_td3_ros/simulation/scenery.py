# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What stands beside the road: buildings, trees, bushes and lamp posts.

They give optic flow and a varied background; nothing stands within a metre of a road's surface.
Where something may stand is settled once per town, what stands there is drawn from the seed.
"""

from __future__ import annotations

import dataclasses
from typing import Sequence

import cv2
import numpy as np

from av_td3_ros.simulation.strips import Surface

BUILDING, HOUSE, TREE, CONIFER, BUSH, LAMP = range(6)
_CELL = 1.0                     # m of the clearance grid
_MARGIN = 60.0                  # m around the roads
_GRID = 40.0                    # m of the grid that the objects are sorted into
# Every how many metres of road edge, how far behind it (from, to), and the clearance in m.
_PLACES = {BUILDING: (9.0, 12.0, 26.0, 11.0), TREE: (7.0, 3.0, 22.0, 3.2),
           LAMP: (28.0, 0.7, 0.7, 0.45)}


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """
    Places where something may stand, sorted by the cells of a grid.

    ``place`` (N, 4) float64: x, y, z in m, yaw in rad (towards the road). ``kind`` (N,): BUILDING
    stands for BUILDING or HOUSE, TREE for all plants. ``starts`` (cells + 1,) int32. ``grid``
    (5,) float64: x, y, cell, columns, rows.
    """

    place: np.ndarray
    kind: np.ndarray
    starts: np.ndarray
    grid: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Scenery:
    """
    What stands at each of the sites: ``kind`` (N,) int64, -1 for nothing.

    ``size`` (N, 3) float64: width, depth, height in m. ``colours`` (N, 2, 3) float32: wall and
    roof, or foliage in light and in shade; blue, green, red before lighting.
    """

    kind: np.ndarray
    size: np.ndarray
    colours: np.ndarray


def find_sites(surfaces: Sequence[Surface]) -> Sites:
    """Find the sites along the edges of a town's roads; always the same for the same town."""
    rng = np.random.default_rng(20260101)
    points = np.concatenate([edge[:, :2] for s in surfaces for edge in (s.left, s.right)])
    low = points.min(axis=0) - _MARGIN
    columns, rows = np.ceil((points.max(axis=0) + _MARGIN - low) / _CELL).astype(int)
    free = np.full((rows, columns), 255, np.uint8)
    for surface in surfaces:
        left, right = _widened(surface)
        quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)[:, :, :2]
        for quad in np.rint((quads - low) / _CELL * 16.0 - 8.0).astype(np.int32):
            cv2.fillConvexPoly(free, quad, 0, lineType=cv2.LINE_8, shift=4)
    places, kinds = [], []
    for kind in (BUILDING, TREE, LAMP):
        every, near, far, clearance = _PLACES[kind]
        room = cv2.distanceTransform(free, cv2.DIST_L2, 5) * _CELL
        for spot in _candidates(surfaces, rng, every, near, far):
            column, row = ((spot[:2] - low) / _CELL).astype(int)
            if not (0 <= column < columns and 0 <= row < rows) or room[row, column] < clearance:
                continue
            places.append(spot)
            kinds.append(kind)
            # Taken for what comes after; the transform is too dear to repeat for every object.
            radius = clearance + (2.0 if kind == BUILDING else 0.0)
            corner = max(0, int(row - radius)), max(0, int(column - radius))
            room[corner[0]:int(row + radius) + 1, corner[1]:int(column + radius) + 1] = 0.0
            if kind == BUILDING:
                cv2.circle(free, (int(column), int(row)), 8, 0, -1)
    return _sorted(np.array(places).reshape(-1, 4), np.array(kinds, np.int64), low,
                   columns * _CELL, rows * _CELL)


def _widened(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    across = surface.left - surface.right
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    return (surface.left + surface.pavement * across, surface.right - surface.pavement * across)


def _candidates(surfaces, rng, every: float, near: float, far: float) -> np.ndarray:
    found = []
    for surface in surfaces:
        if surface.pavement > 0.0:
            continue                                # inside junctions the edges cross the lanes
        for edge, other, beside in ((surface.left, surface.right, surface.beside_left),
                                    (surface.right, surface.left, surface.beside_right)):
            if beside:
                continue
            steps = np.linalg.norm(np.diff(edge[:, :2], axis=0), axis=1)
            at = np.concatenate([[0.0], np.cumsum(steps)])
            stations = np.arange(0.5 * every, at[-1], every)
            if every < 20.0:
                stations = stations + rng.uniform(-0.4, 0.4, len(stations)) * every
            index = np.clip(np.searchsorted(at, stations), 0, len(edge) - 1)
            out = edge[index] - other[index]
            out[:, 2] = 0.0
            out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
            spot = edge[index] + rng.uniform(near, far, (len(index), 1)) * out
            yaw = np.arctan2(-out[:, 1], -out[:, 0])
            found.append(np.concatenate([spot, yaw[:, None]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 4))


def _sorted(places, kinds, low, width, height) -> Sites:
    columns, rows = int(width // _GRID) + 1, int(height // _GRID) + 1
    cells = ((places[:, 1] - low[1]) // _GRID * columns
             + (places[:, 0] - low[0]) // _GRID).astype(int)
    order = np.argsort(cells, kind='stable')
    starts = np.searchsorted(cells[order], np.arange(columns * rows + 1)).astype(np.int32)
    return Sites(places[order], kinds[order], starts,
                 np.array([*low, _GRID, columns, rows], np.float64))


def make_scenery(sites: Sites, seed: int) -> Scenery:
    """Draw from the seed what stands at the sites."""
    rng = np.random.default_rng([seed & (2**64 - 1), 0x5CE2E])
    count = len(sites.kind)
    chance, choice = rng.random(count), rng.random(count)
    share = rng.random((count, 3))
    shade = rng.random((count, 2, 3))
    kind = sites.kind.copy()
    size = np.empty((count, 3))
    colours = np.empty((count, 2, 3))
    # Some episodes have many buildings, some many trees: towns and countryside.
    built, green = rng.uniform(0.15, 0.95), rng.uniform(0.25, 0.9)

    built_up = sites.kind == BUILDING
    house = built_up & (choice < rng.uniform(0.2, 0.9))
    kind[house] = HOUSE
    kind[built_up & (chance > built)] = -1
    size[built_up] = np.stack([9.0 + 6.0 * share[:, 0], 8.0 + 4.0 * share[:, 1],
                               3.1 * np.floor(2.0 + 5.0 * share[:, 2])], axis=1)[built_up]
    size[house] = np.stack([8.0 + 4.0 * share[:, 0], 7.0 + 2.0 * share[:, 1],
                            3.0 * np.floor(1.0 + 2.0 * share[:, 2])], axis=1)[house]
    walls = np.array([(150, 170, 185), (120, 145, 190), (185, 190, 195), (95, 115, 165),
                      (140, 175, 205), (160, 150, 140)], np.float64)
    roofs = np.array([(45, 60, 130), (60, 60, 66), (50, 70, 105)], np.float64)
    colours[:, 0] = walls[(share[:, 0] * 997.0).astype(int) % len(walls)]
    colours[:, 1] = roofs[(share[:, 1] * 997.0).astype(int) % len(roofs)]

    plant = sites.kind == TREE
    conifer = plant & (choice < rng.uniform(0.0, 0.7))
    bush = plant & (choice > 0.85)
    kind[conifer], kind[bush] = CONIFER, BUSH
    kind[plant & (chance > green)] = -1
    size[plant] = np.stack([3.0 + 2.6 * share[:, 0], share[:, 1], 5.0 + 5.0 * share[:, 2]],
                           axis=1)[plant]
    size[conifer, 2] += 3.0
    size[bush] = np.stack([1.2 + 1.6 * share[:, 0], share[:, 1], 0.8 + share[:, 2]],
                          axis=1)[bush]
    colours[plant, 0] = (48, 112, 82)
    colours[plant, 1] = (30, 74, 52)
    colours[conifer] *= 0.8
    lamp = sites.kind == LAMP
    size[lamp] = (0.14, 1.6, 7.0)
    colours[lamp] = (118, 122, 124)
    kind[lamp & (rng.random() < 0.35)] = -1
    colours *= 0.85 + 0.3 * shade
    return Scenery(kind, size, colours.astype(np.float32))
