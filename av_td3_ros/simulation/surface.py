# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Grids of a town: where the drivable surface is, and how high it lies."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from av_td3_ros.simulation.lanes import Lane

_MARGIN = 5.0            # m around the lanes
_MAX_CELLS = 40_000_000  # finer cells than these would cost more memory than they are worth
_FLAT = 0.01             # m; less relief than this is called flat
_SEAM = 1.0              # m by which the outline of such a gap reaches under the lanes
_ISLAND = 60.0           # m2; smaller gaps between a junction's lanes are paved


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """
    A raster over the map.

    The centre of cell ``[row, column]`` lies at
    ``(x + (column + 0.5) * cell, y + (row + 0.5) * cell)`` metres in the map frame.
    """

    x: float
    y: float
    cell: float
    values: np.ndarray

    def at(self, x: float, y: float, outside):
        """Return the value of the cell that holds a point, or ``outside``."""
        column, row = (x - self.x) / self.cell, (y - self.y) / self.cell
        rows, columns = self.values.shape
        if 0.0 <= column < columns and 0.0 <= row < rows:
            return self.values[int(row), int(column)]
        return outside


def _frame(lanes: list[Lane], cell: float) -> tuple[float, float, int, int]:
    points = np.concatenate([edge[:, :2] for lane in lanes for edge in (lane.left, lane.right)])
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    columns, rows = np.ceil((high - low) / cell).astype(int)
    return float(low[0]), float(low[1]), int(columns), int(rows)


def drivable(lanes: list[Lane], cell: float = 0.2) -> tuple[Grid, list[np.ndarray]]:
    """
    Return a uint8 grid that is 1 on driving lanes, those inside junctions included.

    Small gaps that the lanes of a junction leave between them count as drivable; they are
    returned too, as outlines (N, 2) in metres.
    """
    lanes = [lane for lane in lanes if lane.driving]
    x, y, columns, rows = _frame(lanes, cell)
    while columns * rows > _MAX_CELLS:
        cell *= 1.5
        x, y, columns, rows = _frame(lanes, cell)
    values = np.zeros((rows, columns), np.uint8)
    shift, origin = 6, np.array([x, y])
    for lane in lanes:
        left, right = lane.left[:, :2], lane.right[:, :2]
        quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
        pixels = (((quads - origin) / cell - 0.5) * (1 << shift)).round().astype(np.int32)
        for quad in pixels:
            cv2.fillConvexPoly(values, quad, 1, lineType=cv2.LINE_8, shift=shift)
    grid = Grid(x, y, cell, values)
    return grid, _pave_islands(grid)


def _pave_islands(grid: Grid) -> list[np.ndarray]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        1 - grid.values, connectivity=4)
    reach = math.ceil(_SEAM / grid.cell)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    outlines = []
    for label in range(1, count):
        left, top, width, height, area = stats[label]
        if area * grid.cell ** 2 > _ISLAND or min(left, top) == 0:
            continue
        box = slice(top, top + height), slice(left, left + width)
        island = labels[box] == label
        grid.values[box][island] = 1
        # Wider, as far as the road reaches, so that no sliver is left beside the outline.
        top, left = max(top - reach, 0), max(left - reach, 0)
        box = (slice(top, top + height + 2 * reach), slice(left, left + width + 2 * reach))
        mask = cv2.dilate((labels[box] == label).astype(np.uint8), kernel) & grid.values[box]
        for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            if len(contour) >= 3:
                cells = contour[:, 0, :] + np.array([left, top]) + 0.5
                outlines.append(cells * grid.cell + np.array([grid.x, grid.y]))
    return outlines


def heights(lanes: list[Lane], cell: float = 1.0) -> Grid | float:
    """
    Return the road's height as a float32 grid, or as one number where the town is flat.

    Away from the roads the nearest driving lane's height counts. Where one road passes over
    another, the lane that stands later in the map wins.
    """
    lanes = [lane for lane in lanes if lane.driving]
    points = np.concatenate([lane.centre for lane in lanes])
    if np.ptp(points[:, 2]) < _FLAT:
        return float(np.median(points[:, 2]))
    x, y, columns, rows = _frame(lanes, cell)
    values = np.zeros((rows, columns), np.float32)
    empty = np.ones((rows, columns), np.uint8)
    for lane in lanes:
        for line in (lane.left, lane.centre, lane.right):
            column = ((line[:, 0] - x) / cell).astype(int)
            row = ((line[:, 1] - y) / cell).astype(int)
            values[row, column] = line[:, 2]
            empty[row, column] = 0
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(labels.max()) + 1, np.float32)
    known = empty == 0
    table[labels[known]] = values[known]
    return Grid(x, y, cell, cv2.GaussianBlur(table[labels], (0, 0), 1.5))
