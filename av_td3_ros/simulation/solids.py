# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Filling flat faces of solids with a z-buffer, over the ground and the sky."""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.jit import compiled
from av_td3_ros.simulation.raster import in_sight, plane_of, project


@compiled('UniTuple(int64, 2)(float64[:, :], int64, int64, float64[:, ::1])')
def outline(screen, count, height, edges):
    """
    Find where a convex polygon's outline crosses the middles of the rows.

    Returns the first and the last row; ``edges[:, row]`` receives the left and right crossing.
    """
    low, high = math.inf, -math.inf
    for i in range(count):
        low, high = min(low, screen[i, 1]), max(high, screen[i, 1])
    first = int(min(max(0.0, math.ceil(low - 0.5)), height + 0.0))
    last = int(max(min(height - 1.0, math.ceil(high - 0.5) - 1.0), -1.0))
    for row in range(first, last + 1):
        edges[0, row] = math.inf
        edges[1, row] = -math.inf
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        a, b = (i, j) if screen[i, 1] < screen[j, 1] else (j, i)
        xa, ya, xb, yb = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1]
        begin = int(max(float(first), math.ceil(ya - 0.5)))
        end = int(min(float(last), math.ceil(yb - 0.5) - 1.0))
        if begin > end:
            continue
        slope = (xb - xa) / (yb - ya)
        for row in range(begin, end + 1):
            x = xa + (row + 0.5 - ya) * slope
            edges[0, row] = min(edges[0, row], x)
            edges[1, row] = max(edges[1, row], x)
    return first, last


@compiled('void(uint32[:, ::1], float32[:, ::1], float64[:, :], int64, float64[:], uint32, '
          'float64[:, ::1])')
def fill(out, depth, screen, count, inverse, colour, edges):
    """
    Fill a convex polygon where it is nearer than what ``depth`` (H, W, 1/m) holds.

    A pixel belongs to it when its centre does, so that faces that share an edge neither overlap
    nor leave a gap.
    """
    height, width = out.shape
    first, last = outline(screen, count, height, edges)
    step = np.float32(inverse[0])
    for row in range(first, last + 1):
        x0 = int(math.ceil(min(max(edges[0, row], 0.0), width + 0.0) - 0.5))
        x1 = int(math.ceil(min(max(edges[1, row], 0.0), width + 0.0) - 0.5))
        base = np.float32(inverse[1] * (row + 0.5) + inverse[2] + 0.5 * inverse[0])
        for x in range(x0, x1):
            here = base + step * np.float32(x)
            if here > depth[row, x]:
                depth[row, x] = here
                out[row, x] = colour


@compiled('boolean(float64[:, :], int64)')
def turned_away(points, count):
    """Tell whether a face in camera axes shows its back."""
    nx, ny, nz = 0.0, 0.0, 0.0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        nx += (points[i, 1] - points[j, 1]) * (points[i, 2] + points[j, 2])
        ny += (points[i, 2] - points[j, 2]) * (points[i, 0] + points[j, 0])
        nz += (points[i, 0] - points[j, 0]) * (points[i, 1] + points[j, 1])
    # Camera axes (right, down, forward) are right-handed as the map's are: outward normals
    # point towards the camera.
    return nx * points[0, 0] + ny * points[0, 1] + nz * points[0, 2] >= 0.0


@compiled('uint32(float32[:], float32[::1], float64)')
def packed(colour, haze, distance):
    """Return a colour seen through the haze as 0xAARRGGBB."""
    clear = haze[3] / (haze[3] + distance)
    clear *= clear
    value = np.uint32(0xFF000000)
    for k in range(3):
        part = haze[k] + clear * (min(colour[k], np.float32(255.0)) - haze[k]) + 0.5
        value |= np.uint32(min(max(part, 0.0), 255.0)) << np.uint32(8 * k)
    return value


@compiled('void(float64[:], float64, float32[:, :, ::1], float32[:, ::1], int64, float32[::1], '
          'float64[:, ::1], float32[:, ::1], uint32[:, ::1])')
def draw(view, spread, faces, colours, count, haze, edges, depth, out):
    """
    Draw faces (>= count, 4, 3), counter-clockwise seen from outside, with ``colours`` (.., 3).

    ``edges`` (2, >= H) is scratch. Faces turned away are left out.
    """
    corners, camera, clipped = np.empty((4, 3)), np.empty((4, 3)), np.empty((6, 3))
    screen, inverse = np.empty((6, 2)), np.empty(3)
    for f in range(count):
        x, y, z, far = 0.0, 0.0, 0.0, 0.0
        for i in range(4):
            for k in range(3):
                corners[i, k] = faces[f, i, k]
            x, y, z = x + 0.25 * corners[i, 0], y + 0.25 * corners[i, 1], z + 0.25 * corners[i, 2]
        for i in range(4):
            far = max(far, (corners[i, 0] - x) ** 2 + (corners[i, 1] - y) ** 2
                      + (corners[i, 2] - z) ** 2)
        if not in_sight(view, x, y, z, math.sqrt(far), 1e4, spread):
            continue
        n = project(view, corners, 4, camera, clipped, screen)
        if n < 3 or turned_away(clipped, n):
            continue
        plane_of(view, clipped, n, inverse)
        distance = (x - view[3]) * view[12] + (y - view[4]) * view[13] + (z - view[5]) * view[14]
        fill(out, depth, screen, n, inverse, packed(colours[f], haze, max(distance, 0.0)), edges)
