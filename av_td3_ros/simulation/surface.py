# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Grids of a town: where the drivable surface is, and how high it lies."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from av_td3_ros.simulation.lanes import Lane

_MARGIN = 5.0            # m around the lanes
_MAX_CELLS = 40_000_000  # finer cells than these would cost more memory than they are worth
_FLAT = 0.01             # m; less relief than this is called flat


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """
    A raster over the map: cell ``[row, column]`` has its centre at
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


def drivable(lanes: list[Lane], cell: float = 0.2) -> Grid:
    """Return a uint8 grid that is 1 on driving lanes, those inside junctions included."""
    lanes = [lane for lane in lanes if lane.driving]
    x, y, columns, rows = _frame(lanes, cell)
    while columns * rows > _MAX_CELLS:
        cell *= 1.5
        x, y, columns, rows = _frame(lanes, cell)
    values = np.zeros((rows, columns), np.uint8)
    shift, origin = 6, np.array([x, y])
    for lane in lanes:
        # Every second sample at most: quads of a metre, whose sides lie within 1 cm of a
        # junction's tightest curve.
        left, right = lane.left[:, :2], lane.right[:, :2]
        quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
        pixels = (((quads - origin) / cell - 0.5) * (1 << shift)).round().astype(np.int32)
        for quad in pixels:
            cv2.fillConvexPoly(values, quad, 1, lineType=cv2.LINE_8, shift=shift)
    return Grid(x, y, cell, values)


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
