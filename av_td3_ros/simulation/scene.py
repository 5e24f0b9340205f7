# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stands still in a town, as polygons sorted into a grid; built once per town."""

from __future__ import annotations

import dataclasses
from typing import Iterator, NamedTuple, Sequence
import weakref

import numpy as np

from av_td3_ros.simulation import relief
from av_td3_ros.simulation.scenery import find_sites, Sites
from av_td3_ros.simulation.strips import Line, read_strips, Surface

# The last of them has no plane: it is the shape that the others lie on.
LAYERS = ('verge', 'pavement', 'kerb', 'asphalt', 'white', 'yellow', 'shadow', 'relief')
PLANES = len(LAYERS) - 1
# Metres up to which each layer is drawn: until it is thinner than what one can see.
_REACH = {'verge': 120.0, 'pavement': 250.0, 'kerb': 150.0, 'asphalt': 500.0, 'white': 180.0,
          'yellow': 180.0, 'relief': 700.0}
_VERGE, _KERB, _INWARDS = 0.9, 0.16, 0.25
_CELL = 32.0
# Greatest error in m of a border's pieces, near the camera and far from it, and their length.
_TOLERANCE, _PAINT_TOLERANCE, _ROUGH, _LONGEST = 0.04, 0.008, 0.15, 25.0


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """
    Quads in two degrees of detail, sorted by grid cells, as :func:`raster.pave` reads them.

    Coarse quad i stands for the fine ones from ``children[i]`` to ``children[i + 1]``.
    """

    coarse: np.ndarray          # (C, 4, 3) float32, map frame
    coarse_spheres: np.ndarray  # (C, 4) float32: centre, radius
    layers: np.ndarray          # (C,) uint8, indices into LAYERS
    reaches: np.ndarray         # (C,) float32
    children: np.ndarray        # (C + 1,) int32
    fine: np.ndarray            # (P, 4, 3) float32
    fine_spheres: np.ndarray    # (P, 4) float32
    starts: np.ndarray          # (cells + 1,) int32, into the coarse quads
    grid: np.ndarray            # (9,) float64


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """
    The static geometry of a town.

    ``lines`` are the painted lines that ``ground`` draws, for whoever needs to know where paint
    is. ``height`` is the height in metres of a flat town's ground; ``relief`` the shape of the
    ground of one that is not flat, empty otherwise.
    """

    ground: Patches
    surfaces: list[Surface]
    lines: list[Line]
    height: float
    sites: Sites
    relief: tuple[Patches, ...]


_ROW = 0.2         # m between the rows that an island is covered with
_scenes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def scene_of(town) -> Scene:
    """Return the scene of a :class:`Town`, built at the first call and shared afterwards."""
    if town not in _scenes:
        islands = [np.column_stack([outline, [town.height(x, y) for x, y in outline.tolist()]])
                   for outline in town.islands]
        _scenes[town] = build_scene(*read_strips(town.lanes, town.opendrive), islands)
    return _scenes[town]


def build_scene(surfaces: list[Surface], lines: list[Line],
                islands: Sequence[np.ndarray] = ()) -> Scene:
    """
    Make the polygons of a town's strips.

    ``islands`` are outlines (N, 3) of what lies between the lanes of a junction: it is driven on,
    and so it is paved.
    """
    pieces = [piece for surface in surfaces for piece in _pave(surface)]
    pieces += [piece for outline in islands for piece in _fill(outline)]
    pieces += [_Strip(line.colour, line.stations, *line_borders(line), _PAINT_TOLERANCE)
               for line in lines]
    height = float(np.median(np.concatenate([s.left[:, 2] for s in surfaces])))
    sites = find_sites(surfaces)
    if relief.is_flat(surfaces):
        return Scene(_patches(pieces), surfaces, lines, height, sites, ())
    land = relief.make_land(surfaces)
    sites.place[:, 2] = land.at(sites.place[:, :2])
    decks = [_Strip('relief', _stations(surface), *borders, _TOLERANCE)
             for surface in surfaces for borders in relief.deck(surface)]
    quads = relief.land_quads(land)
    # The far plane stands apart: one so large would make every cell of a grid count as near.
    return Scene(_patches(pieces), surfaces, lines, height, sites,
                 (_patches(decks, quads), _patches([], relief.far_plane(land))))


class _Strip(NamedTuple):
    layer: str
    stations: np.ndarray
    left: np.ndarray
    right: np.ndarray
    tolerance: float


def strip(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the quads (K - 1, 4, 3) between two borders (K, 3)."""
    return np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)


def line_borders(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Return a painted line's left and right border, (K, 3) each."""
    half = 0.5 * line.width * np.pad(line.normal, ((0, 0), (0, 1)))
    return line.centre + half, line.centre - half


def simplify(at: np.ndarray, track: np.ndarray, tolerance: float, longest: float) -> np.ndarray:
    """
    Return indices of the samples that a piecewise linear track needs.

    ``at`` (K,) are the stations of the samples ``track`` (K, D). Between two samples that are
    kept, no coordinate is off by more than ``tolerance``, and they are at most ``longest``
    apart (where the samples allow it).
    """
    keep = {0, len(at) - 1}
    stack = [(0, len(at) - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 2:
            continue
        share = ((at[a + 1:b] - at[a]) / (at[b] - at[a]))[:, None]
        error = np.abs(track[a] + share * (track[b] - track[a]) - track[a + 1:b]).max(axis=1)
        if error.max() > tolerance or at[b] - at[a] > longest:
            middle = a + 1 + int(error.argmax()) if error.max() > tolerance else (a + b) // 2
            keep.add(middle)
            stack += [(a, middle), (middle, b)]
    return np.array(sorted(keep))


def _stations(surface: Surface) -> np.ndarray:
    steps = np.linalg.norm(np.diff(surface.left + surface.right, axis=0), axis=1) * 0.5
    return np.concatenate([[0.0], np.cumsum(steps)])


def _pave(surface: Surface) -> Iterator[_Strip]:
    stations = _stations(surface)

    def piece(layer: str, left: np.ndarray, right: np.ndarray) -> _Strip:
        return _Strip(layer, stations, left, right, _TOLERANCE)

    yield piece(surface.kind, surface.left, surface.right)
    across = surface.left - surface.right
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    for edge, beside, outwards in ((surface.left, surface.beside_left, across),
                                   (surface.right, surface.beside_right, -across)):
        inner = edge - _INWARDS * outwards
        if surface.kind == 'asphalt' and beside != 'kerb':
            yield piece('kerb', inner, edge + _KERB * outwards)
        width = 0.0
        if surface.pavement > 0.0 and not beside and surface.kind == 'asphalt':
            width = surface.pavement
            yield piece('pavement', inner, edge + width * outwards)
        if not beside:
            yield piece('verge', inner, edge + (width + _VERGE) * outwards)


def _fill(outline: np.ndarray) -> Iterator[_Strip]:
    """Yield strips of asphalt, across x, that cover an outline (N, 3)."""
    height = float(outline[:, 2].mean())
    y0, y1 = outline[:, 1].min(), outline[:, 1].max()
    corners = outline[:, :2]
    following = np.roll(corners, -1, axis=0)
    rows = np.linspace(y0 + 1e-3, y1 - 1e-3, max(int((y1 - y0) / _ROW), 2))
    for low, high in zip(rows[:-1], rows[1:]):
        middle = 0.5 * (low + high)
        crossing = (corners[:, 1] > middle) != (following[:, 1] > middle)
        a, b = corners[crossing], following[crossing]
        ends = np.sort(a[:, 0] + (middle - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
        for begin, end in zip(ends[::2], ends[1::2]):
            yield _Strip('asphalt', np.array([0.0, end - begin]),
                         np.array([[begin, high, height], [end, high, height]]),
                         np.array([[begin, low, height], [end, low, height]]), _TOLERANCE)


def _patches(pieces: list[_Strip], more: np.ndarray | None = None) -> Patches:
    """Sort strips, and ``more`` quads of the relief, for drawing."""
    coarse, fine, counts, layers = [], [], [], []
    for piece in pieces:
        track = np.concatenate([piece.left, piece.right], axis=1)
        rough = simplify(piece.stations, track, _ROUGH, _LONGEST)
        coarse.append(strip(piece.left[rough], piece.right[rough]))
        layers.append(np.full(len(rough) - 1, LAYERS.index(piece.layer), np.uint8))
        for a, b in zip(rough[:-1], rough[1:] + 1):
            keep = a + simplify(piece.stations[a:b], track[a:b], piece.tolerance, _LONGEST)
            fine.append(strip(piece.left[keep], piece.right[keep]))
            counts.append(len(keep) - 1)
    for quad in () if more is None else more:
        coarse.append(quad[None])
        fine.append(quad[None])
        layers.append(np.full(1, LAYERS.index('relief'), np.uint8))
        counts.append(1)
    return _sorted(np.concatenate(coarse), np.concatenate(layers), fine, np.array(counts))


def _sorted(coarse: np.ndarray, layers: np.ndarray, fine: list[np.ndarray],
            counts: np.ndarray) -> Patches:
    spheres = _spheres(coarse)
    reaches = np.array([_REACH.get(layer, 0.0) for layer in LAYERS])[layers]
    low = spheres[:, :2].min(axis=0) - 1.0
    columns, rows = ((spheres[:, :2].max(axis=0) - low) // _CELL).astype(int) + 1
    cells = ((spheres[:, 1] - low[1]) // _CELL * columns
             + (spheres[:, 0] - low[0]) // _CELL).astype(int)
    order = np.argsort(cells, kind='stable')
    starts = np.searchsorted(cells[order], np.arange(columns * rows + 1)).astype(np.int32)
    quads = np.concatenate([fine[i] for i in order])
    return Patches(
        coarse[order].astype(np.float32), spheres[order].astype(np.float32), layers[order],
        reaches[order].astype(np.float32),
        np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int32),
        quads.astype(np.float32), _spheres(quads).astype(np.float32), starts,
        np.array([*low, _CELL, columns, rows, spheres[:, 3].max(), reaches.max(),
                  *_middle(spheres[:, 2])], np.float64))


def _middle(heights: np.ndarray) -> tuple[float, float]:
    low, high = heights.min(), heights.max()
    return 0.5 * (low + high), 0.5 * (high - low)


def _spheres(quads: np.ndarray) -> np.ndarray:
    centres = quads.mean(axis=1)
    radii = np.linalg.norm(quads - centres[:, None], axis=2).max(axis=1)
    return np.concatenate([centres, radii[:, None]], axis=1)
