# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shape of the ground of a town that is not flat: road decks, embankments and open land."""

from __future__ import annotations

import dataclasses
from typing import Iterator, Sequence

import cv2
import numpy as np

from av_td3_ros.simulation.strips import Surface

_CELL = 10.0            # m of the open land's mesh
_MARGIN = 250.0         # m of open land around the roads; beyond, it is a plane
_BELOW = 0.5            # m that the open land lies below the road's surface
_FLAT = 0.02            # m; a town with less relief is drawn as a plane
_SHOULDER, _BANK, _FALL = 1.0, 5.0, 1.6     # m: level beside the road, then an embankment
_FAR = 8000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Land:
    """The open land: ``heights`` (rows, columns) in m at the corners of a mesh from (x, y) on."""

    x: float
    y: float
    heights: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the land's height at points (N, 2)."""
        place = ((points - (self.x, self.y)) / _CELL).astype(np.float32)
        return cv2.remap(self.heights, place[:, :1], place[:, 1:], cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_REPLICATE)[:, 0]


def is_flat(surfaces: Sequence[Surface]) -> bool:
    """Tell whether all of a town's road lies at one height."""
    heights = np.concatenate([edge[:, 2] for s in surfaces for edge in (s.left, s.right)])
    return bool(np.ptp(heights) < _FLAT)


def make_land(surfaces: Sequence[Surface]) -> Land:
    """Lay the open land out between the roads, a little below them."""
    points = np.concatenate([edge for s in surfaces for edge in (s.left, s.right)])
    low = points[:, :2].min(axis=0) - _MARGIN
    columns, rows = np.ceil((points[:, :2].max(axis=0) + _MARGIN - low) / _CELL).astype(int) + 1
    place = np.rint((points[:, :2] - low) / _CELL).astype(int)
    lowest = np.full((rows, columns), np.inf, np.float32)
    np.minimum.at(lowest, (place[:, 1], place[:, 0]), points[:, 2].astype(np.float32))
    empty = np.isinf(lowest).astype(np.uint8)
    distance, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(labels.max()) + 1, np.float32)
    table[labels[empty == 0]] = lowest[empty == 0]
    nearest = table[labels]
    smooth = cv2.GaussianBlur(nearest, (0, 0), 2.5)
    # Next to a road the land keeps below the lowest road around, so that it never covers one.
    held = cv2.erode(nearest, np.ones((3, 3), np.uint8))
    share = np.clip((distance - 1.5) / 3.0, 0.0, 1.0)
    heights = np.minimum(held, smooth) * (1.0 - share) + smooth * share - _BELOW
    return Land(float(low[0]), float(low[1]), heights.astype(np.float32))


def land_quads(land: Land) -> np.ndarray:
    """Return the land as (P, 4, 3): its mesh, and a plane around and below it."""
    rows, columns = land.heights.shape
    x = land.x + _CELL * np.arange(columns)
    y = land.y + _CELL * np.arange(rows)
    corners = np.stack([*np.meshgrid(x, y), land.heights], axis=-1)
    mesh = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]],
                    axis=2).reshape(-1, 4, 3)
    # A cell's two triangles, as quads with one corner doubled: the four need not be level.
    return np.concatenate([mesh[:, [0, 1, 2, 2]], mesh[:, [0, 2, 3, 3]]])


def far_plane(land: Land) -> np.ndarray:
    """Return the plane (1, 4, 3) on which the land lies."""
    rows, columns = land.heights.shape
    x, y = land.x + 0.5 * _CELL * columns, land.y + 0.5 * _CELL * rows
    z = float(land.heights.min()) - 0.2
    return np.array([[(x - _FAR, y - _FAR, z), (x + _FAR, y - _FAR, z), (x + _FAR, y + _FAR, z),
                      (x - _FAR, y + _FAR, z)]])


def deck(surface: Surface) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the borders of a surface's deck: the road, level ground beside it, embankments."""
    across = surface.left - surface.right
    across[:, 2] = 0.0
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    borders = []
    for edge, beside, out in ((surface.left, surface.beside_left, across),
                              (surface.right, surface.beside_right, -across)):
        if beside:
            borders.append(edge)
            continue
        level = edge + (surface.pavement + _SHOULDER) * out
        borders.append(level)
        foot = level + _BANK * out - (0.0, 0.0, _FALL)
        yield level, foot
    yield borders[0], borders[1]
