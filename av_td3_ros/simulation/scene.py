# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stands still in a town, as polygons sorted into a grid; built once per town."""

from __future__ import annotations

import dataclasses
from typing import Iterator
import weakref

import numpy as np

from av_td3_ros.simulation.strips import Line, read_strips, Surface

LAYERS = ('verge', 'pavement', 'kerb', 'asphalt', 'white', 'yellow', 'shadow')
# Metres up to which each layer is drawn: until it is thinner than what one can see.
_REACH = {'verge': 120.0, 'pavement': 250.0, 'kerb': 150.0, 'asphalt': 500.0, 'white': 180.0,
          'yellow': 180.0}
_VERGE, _KERB, _INWARDS = 0.9, 0.16, 0.25
_CELL = 32.0


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Quads sorted by grid cells, in the form that :func:`raster.pave` reads."""

    quads: np.ndarray       # (P, 4, 3) float32, map frame
    layers: np.ndarray      # (P,) uint8, indices into LAYERS
    reaches: np.ndarray     # (P,) float32
    spheres: np.ndarray     # (P, 4) float32
    starts: np.ndarray      # (cells + 1,) int32
    grid: np.ndarray        # (7,) float64


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """
    The static geometry of a town.

    ``lines`` are the painted lines that ``ground`` draws, for whoever needs to know where paint
    is. ``height`` is the height in metres of a flat town's ground.
    """

    ground: Patches
    surfaces: list[Surface]
    lines: list[Line]
    height: float


_scenes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def scene_of(town) -> Scene:
    """Return the scene of a :class:`Town`, built at the first call and shared afterwards."""
    if town not in _scenes:
        _scenes[town] = build_scene(*read_strips(town.lanes, town.opendrive))
    return _scenes[town]


def build_scene(surfaces: list[Surface], lines: list[Line]) -> Scene:
    """Make the polygons of a town's strips."""
    pieces: list[tuple[str, np.ndarray]] = []
    for surface in surfaces:
        pieces += _pave(surface)
    for line in lines:
        pieces.append((line.colour, line_quads(line)))
    quads = np.concatenate([quads for _, quads in pieces])
    layers = np.concatenate([np.full(len(quads), LAYERS.index(layer), np.uint8)
                             for layer, quads in pieces])
    height = float(np.median(np.concatenate([s.left[:, 2] for s in surfaces])))
    return Scene(_sorted(quads, layers), surfaces, lines, height)


def strip(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the quads (K - 1, 4, 3) between two borders (K, 3)."""
    return np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)


def line_quads(line: Line) -> np.ndarray:
    """Return a painted line's quads (K - 1, 4, 3): left start, left end, right end, right."""
    half = 0.5 * line.width * np.pad(line.normal, ((0, 0), (0, 1)))
    return strip(line.centre + half, line.centre - half)


def _pave(surface: Surface) -> Iterator[tuple[str, np.ndarray]]:
    yield surface.kind, strip(surface.left, surface.right)
    across = surface.left - surface.right
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    for edge, beside, outwards in ((surface.left, surface.beside_left, across),
                                   (surface.right, surface.beside_right, -across)):
        inner = edge - _INWARDS * outwards
        if surface.kind == 'asphalt' and beside not in ('asphalt', 'kerb'):
            yield 'kerb', strip(inner, edge + _KERB * outwards)
        width = 0.0
        if surface.pavement > 0.0 and not beside and surface.kind == 'asphalt':
            width = surface.pavement
            yield 'pavement', strip(inner, edge + width * outwards)
        if not beside:
            yield 'verge', strip(inner, edge + (width + _VERGE) * outwards)


def _sorted(quads: np.ndarray, layers: np.ndarray) -> Patches:
    centres = quads.mean(axis=1)
    radii = np.linalg.norm(quads - centres[:, None], axis=2).max(axis=1)
    reaches = np.array([_REACH.get(layer, 0.0) for layer in LAYERS])[layers]
    low = centres[:, :2].min(axis=0) - 1.0
    columns, rows = ((centres[:, :2].max(axis=0) - low) // _CELL).astype(int) + 1
    cells = ((centres[:, 1] - low[1]) // _CELL * columns
             + (centres[:, 0] - low[0]) // _CELL).astype(int)
    order = np.argsort(cells, kind='stable')
    starts = np.searchsorted(cells[order], np.arange(columns * rows + 1)).astype(np.int32)
    return Patches(
        np.ascontiguousarray(quads[order], np.float32), layers[order],
        reaches[order].astype(np.float32),
        np.concatenate([centres, radii[:, None]], axis=1)[order].astype(np.float32), starts,
        np.array([*low, _CELL, columns, rows, radii.max(), reaches.max()], np.float64))
