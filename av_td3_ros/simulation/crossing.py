# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which lane markings a wheel has crossed."""

from __future__ import annotations

import math

import cv2
import numpy as np

from av_td3_ros.jit import compiled
from av_td3_ros.simulation.lanes import Marking

_CELL = 8.0          # m
_TOLERANCE = 0.01    # m by which a straightened marking may leave its samples
_MOST = 64           # markings reported in one tick


class MarkingIndex:
    """
    The markings of a town as straight segments in a grid of cells.

    ``kinds`` (M,) are the CARLA LaneMarkingType numbers of the markings.
    """

    def __init__(self, markings: list[Marking]) -> None:
        """Index the markings."""
        self.kinds = np.array([marking.kind for marking in markings], dtype=np.int64)
        segments, owners = [], []
        for number, marking in enumerate(markings):
            line = _straightened(marking.points[:, :2])
            segments.append(np.concatenate([line[:-1], line[1:]], axis=1))
            owners.append(np.full(len(line) - 1, number))
        self.segments = np.ascontiguousarray(
            np.concatenate(segments) if segments else np.empty((0, 4)))
        self.owners = np.concatenate(owners).astype(np.int64) if owners \
            else np.empty(0, np.int64)
        self._build_grid()
        self._found = np.empty(_MOST, np.int64)

    def _build_grid(self) -> None:
        if not len(self.segments):
            self.origin, self.shape = np.zeros(2), np.zeros(2, np.int64)
            self.first, self.members = np.zeros(1, np.int64), np.empty(0, np.int64)
            return
        ends = self.segments.reshape(-1, 2, 2)
        low, high = ends.min(axis=1), ends.max(axis=1)
        self.origin = low.min(axis=0) - _CELL
        self.shape = (np.ceil((high.max(axis=0) - self.origin) / _CELL).astype(np.int64) + 1)
        a = ((low - self.origin) / _CELL).astype(np.int64)
        b = ((high - self.origin) / _CELL).astype(np.int64)
        cells, members = [], []
        for number, ((c0, r0), (c1, r1)) in enumerate(zip(a.tolist(), b.tolist())):
            for row in range(r0, r1 + 1):
                for column in range(c0, c1 + 1):
                    cells.append(row * int(self.shape[0]) + column)
                    members.append(number)
        order = np.argsort(cells, kind='stable')
        self.members = np.array(members, dtype=np.int64)[order]
        self.first = np.searchsorted(np.array(cells)[order],
                                     np.arange(int(self.shape.prod()) + 1)).astype(np.int64)

    def crossed(self, wheels: np.ndarray, moved: np.ndarray) -> tuple[int, ...]:
        """
        Return the type numbers of the markings that points crossed, in the markings' order.

        ``wheels`` and ``moved`` are (P, 2) positions in m of the same points (the wheels)
        before and after.
        """
        count = _crossed(wheels, moved, self.segments, self.owners, self.first, self.members,
                         self.origin, self.shape, self._found)
        if not count:
            return ()
        return tuple(self.kinds[np.sort(self._found[:count])].tolist())


@compiled('void(float64[::1], float64[:, ::1], float64[:, ::1])')
def place_points(state, body, placed):
    """Put points of the vehicle's body frame (P, 2) where its ``state`` (x, y, yaw) is."""
    c, s = math.cos(state[2]), math.sin(state[2])
    for p in range(len(body)):
        placed[p, 0] = state[0] + c * body[p, 0] - s * body[p, 1]
        placed[p, 1] = state[1] + s * body[p, 0] + c * body[p, 1]


def _straightened(points: np.ndarray) -> np.ndarray:
    # OpenCV works in single precision: relative to the line's start that is micrometres.
    local = (points - points[0]).astype(np.float32)
    kept = cv2.approxPolyDP(local[:, None, :], _TOLERANCE, False)[:, 0, :]
    return _halved(kept.astype(np.float64) + points[0])


def _halved(line: np.ndarray) -> np.ndarray:
    """Cut long segments, which would lie in many cells that they do not touch."""
    parts = [line[:1]]
    for a, b in zip(line, line[1:]):
        count = max(1, math.ceil(float(np.hypot(*(b - a))) / _CELL))
        parts.append(a + (b - a) * (np.arange(1, count + 1)[:, None] / count))
    return np.concatenate(parts)


@compiled('int64(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], int64[::1], '
          'int64[::1], float64[::1], int64[::1], int64[::1])')
def _crossed(before, after, segments, owners, first, members, origin, shape, found):
    count = 0
    for p in range(len(before)):
        ax, ay, bx, by = before[p, 0], before[p, 1], after[p, 0], after[p, 1]
        if ax == bx and ay == by:
            continue
        left = max(int((min(ax, bx) - origin[0]) // _CELL), 0)
        right = min(int((max(ax, bx) - origin[0]) // _CELL), shape[0] - 1)
        low = max(int((min(ay, by) - origin[1]) // _CELL), 0)
        high = min(int((max(ay, by) - origin[1]) // _CELL), shape[1] - 1)
        for row in range(low, high + 1):
            for column in range(left, right + 1):
                cell = row * shape[0] + column
                for k in range(first[cell], first[cell + 1]):
                    i = members[k]
                    cx, cy = segments[i, 0], segments[i, 1]
                    dx, dy = segments[i, 2] - cx, segments[i, 3] - cy
                    # On the line itself counts as its left side, so that a wheel that stops
                    # there and goes on has crossed it once.
                    side_a = dx * (ay - cy) - dy * (ax - cx) >= 0.0
                    side_b = dx * (by - cy) - dy * (bx - cx) >= 0.0
                    if side_a == side_b:
                        continue
                    ux, uy = bx - ax, by - ay
                    side_c = ux * (cy - ay) - uy * (cx - ax)
                    side_d = ux * (cy + dy - ay) - uy * (cx + dx - ax)
                    if side_c * side_d > 0.0:
                        continue
                    known = False
                    for j in range(count):
                        known = known or found[j] == owners[i]
                    if not known and count < len(found):
                        found[count] = owners[i]
                        count += 1
    return count
