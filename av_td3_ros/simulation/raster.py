# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Filling the ground: exact coverage of paint and paving, one byte a pixel and layer.

Every layer (verge, pavement, kerb, asphalt, markings, shadow) is a plane of coverages, 0 to 255.
A polygon adds the share of each pixel that it covers, so that the pieces of a strip join without
a seam, their order does not matter, and a far marking thinner than a pixel fades instead of
flickering. A pixel is the unit square from (column, row) to (column + 1, row + 1).

A view is (16,) float64: focal length, cx, cy; the camera's place; its right, down and forward
axes; 0. Lengths are in metres, in the map frame.
"""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.jit import compiled

NEAR = 0.05      # m; what is nearer to the camera's plane is cut away
_FINE = 16       # sub-scanlines of a row for flat polygons, which are thin: far markings
_COARSE = 4
_DETAIL = 40.0   # m; strips further away are drawn in their coarse form
_FLAT = 6.0      # rows; polygons lower than that are sampled finely


@compiled('int64(float64[:, :], int64, float64[:, :])')
def clip_near(points, count, clipped):
    """Cut a convex polygon (count, 3) in camera axes at the near plane; return its new count."""
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here, there = points[i, 2] - NEAR, points[j, 2] - NEAR
        if here >= 0.0:
            for k in range(3):
                clipped[kept, k] = points[i, k]
            kept += 1
        if (here >= 0.0) != (there >= 0.0):
            t = here / (here - there)
            for k in range(3):
                clipped[kept, k] = points[i, k] + t * (points[j, k] - points[i, k])
            clipped[kept, 2] = NEAR
            kept += 1
    return kept


@compiled('int64(float64[:], float64[:, :], int64, float64[:, :], float64[:, :], float64[:, :])')
def project(view, corners, count, camera, clipped, screen):
    """
    Bring a convex polygon from the map onto the screen; return the number of its corners.

    ``corners`` (count, 3) are map coordinates. ``clipped`` receives the polygon in camera axes
    (x right, y down, z forward) cut at the near plane, ``screen`` its pixel coordinates.
    """
    in_front = 0
    for i in range(count):
        x, y, z = corners[i, 0] - view[3], corners[i, 1] - view[4], corners[i, 2] - view[5]
        camera[i, 0] = x * view[6] + y * view[7] + z * view[8]
        camera[i, 1] = x * view[9] + y * view[10] + z * view[11]
        camera[i, 2] = x * view[12] + y * view[13] + z * view[14]
        if camera[i, 2] >= NEAR:
            in_front += 1
    if in_front == 0:
        return 0
    kept = clip_near(camera, count, clipped)
    for i in range(kept):
        scale = view[0] / clipped[i, 2]
        screen[i, 0] = clipped[i, 0] * scale + view[1]
        screen[i, 1] = clipped[i, 1] * scale + view[2]
    return kept


@compiled('boolean(float32, float64)')
def lies_on(ground, here):
    """
    Tell whether two inverse depths mean the same surface.

    Seen at a grazing angle, some centimetres of height are metres of distance; in the distance,
    where strips are drawn coarsely, all the more.
    """
    return abs(ground - here) < (0.03 + 0.12 * min(1.0, 0.01 / max(here, 1e-4))) * here


@compiled('void(float32[:, ::1], float64[:, :], int64, float64[:], float64[:, ::1])')
def sink(depth, screen, count, inverse, edges):
    """Enter a convex polygon into the depths (H, W) wherever it is the nearest."""
    height, width = depth.shape
    low, high = math.inf, -math.inf
    for i in range(count):
        low, high = min(low, screen[i, 1]), max(high, screen[i, 1])
    first = int(min(max(0.0, math.ceil(low - 0.5)), height + 0.0))
    last = int(max(min(height - 1.0, math.ceil(high - 0.5) - 1.0), -1.0))
    for row in range(first, last + 1):
        left, right = math.inf, -math.inf
        y = row + 0.5
        for i in range(count):
            j = i + 1 if i + 1 < count else 0
            ya, yb = screen[i, 1], screen[j, 1]
            if (ya <= y) != (yb <= y):
                x = screen[i, 0] + (y - ya) * (screen[j, 0] - screen[i, 0]) / (yb - ya)
                left, right = min(left, x), max(right, x)
        x0 = int(math.ceil(min(max(left, 0.0), width + 0.0) - 0.5))
        x1 = int(math.ceil(min(max(right, 0.0), width + 0.0) - 0.5))
        base = np.float32(inverse[1] * y + inverse[2] + 0.5 * inverse[0])
        step = np.float32(inverse[0])
        for x in range(x0, x1):
            depth[row, x] = max(depth[row, x], base + step * np.float32(x))


@compiled('void(uint8[:, ::1], int64, float64[:, :], int64, float64[:, ::1], '
          'float32[:, ::1], float64[:])')
def cover(plane, width, screen, count, edges, depth, inverse):
    """
    Add a convex polygon's coverage to a plane.

    ``plane`` is (H, >= width); ``screen`` (count, 2) are the corners in pixels. ``edges``
    (2, H * 16) is scratch. Where ``depth`` (H, W), inverse distances, is not empty, only pixels
    count in which the polygon's plane, ``inverse`` (3,) by column, row and 1, lies at that depth.
    """
    height = plane.shape[0]
    low, high = math.inf, -math.inf
    left, right = math.inf, -math.inf
    for i in range(count):
        low, high = min(low, screen[i, 1]), max(high, screen[i, 1])
        left, right = min(left, screen[i, 0]), max(right, screen[i, 0])
    if high <= 0.0 or low >= height or right <= 0.0 or left >= width:
        return
    parts = _FINE if high - low < _FLAT else _COARSE
    first = int(max(0.0, math.ceil(low * parts - 0.5)))
    last = int(min(height * parts - 1.0, math.ceil(high * parts - 0.5) - 1.0))
    for s in range(first, last + 1):
        edges[0, s] = math.inf
        edges[1, s] = -math.inf
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        a, b = (i, j) if screen[i, 1] < screen[j, 1] else (j, i)
        xa, ya, xb, yb = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1]
        begin = max(first, int(max(0.0, math.ceil(ya * parts - 0.5))))
        end = min(last, int(min(height * parts - 1.0, math.ceil(yb * parts - 0.5) - 1.0)))
        if begin > end:
            continue
        slope = (xb - xa) / (yb - ya)
        for s in range(begin, end + 1):
            x = xa + ((s + 0.5) / parts - ya) * slope
            edges[0, s] = min(edges[0, s], x)
            edges[1, s] = max(edges[1, s], x)
    tested = depth.shape[0] > 0
    for row in range(first // parts, last // parts + 1):
        begin, end = max(first, row * parts), min(last, row * parts + parts - 1)
        left_min, left_max, right_min, right_max = math.inf, 0.0, float(width), 0.0
        for s in range(begin, end + 1):
            edges[0, s] = min(max(edges[0, s], 0.0), float(width))
            edges[1, s] = min(max(edges[1, s], 0.0), float(width))
            left_min, left_max = min(left_min, edges[0, s]), max(left_max, edges[0, s])
            right_min, right_max = min(right_min, edges[1, s]), max(right_max, edges[1, s])
        if right_max <= left_min:
            continue
        x0, x1 = int(left_min), int(math.ceil(right_max))
        inner0, inner1 = int(math.ceil(left_max)), int(right_min)
        if end - begin + 1 < parts or inner1 <= inner0:
            inner0, inner1 = x1, x1
        base = inverse[1] * (row + 0.5) + inverse[2]
        if tested:
            for x in range(inner0, inner1):
                here = base + inverse[0] * (x + 0.5)
                if lies_on(depth[row, x], here):
                    plane[row, x] = 255
        else:
            for x in range(inner0, inner1):
                plane[row, x] = 255
        for side in range(2):
            begin_x, end_x = (x0, inner0) if side == 0 else (inner1, x1)
            for x in range(begin_x, end_x):
                if tested:
                    here = base + inverse[0] * (x + 0.5)
                    if not lies_on(depth[row, x], here):
                        continue
                share = 0.0
                for s in range(begin, end + 1):
                    share += max(0.0, min(x + 1.0, edges[1, s]) - max(float(x), edges[0, s]))
                value = plane[row, x] + int(share * 255.0 / parts + 0.5)
                plane[row, x] = min(value, 255)


@compiled('void(float64[:], float64[:, :], int64, float64[:])')
def plane_of(view, points, count, inverse):
    """
    Find the inverse depth of a polygon's plane as a linear function of the pixel.

    ``points`` (count, 3) are in camera axes. ``inverse`` (3,) receives the factors of column,
    row and 1; zeros for a polygon without area.
    """
    nx, ny, nz = 0.0, 0.0, 0.0
    for i in range(count):          # Newell's method: robust for any convex polygon
        j = i + 1 if i + 1 < count else 0
        nx += (points[i, 1] - points[j, 1]) * (points[i, 2] + points[j, 2])
        ny += (points[i, 2] - points[j, 2]) * (points[i, 0] + points[j, 0])
        nz += (points[i, 0] - points[j, 0]) * (points[i, 1] + points[j, 1])
    d = nx * points[0, 0] + ny * points[0, 1] + nz * points[0, 2]
    if abs(d) < 1e-12:
        inverse[0] = inverse[1] = inverse[2] = 0.0
        return
    inverse[0], inverse[1] = nx / (d * view[0]), ny / (d * view[0])
    inverse[2] = nz / d - inverse[0] * view[1] - inverse[1] * view[2]


@compiled('boolean(float64[:], float64, float64, float64, float64, float64, float64)')
def in_sight(view, x, y, z, radius, reach, spread):
    """
    Tell whether a sphere may be seen: within reach, and inside the cone of the view.

    ``spread`` is the tangent of the angle from the optical axis to the image's corner.
    """
    dx, dy, dz = x - view[3], y - view[4], z - view[5]
    distance = dx * dx + dy * dy + dz * dz
    if distance > (reach + radius) * (reach + radius):
        return False
    ahead = dx * view[12] + dy * view[13] + dz * view[14]
    if ahead < -radius:
        return False
    aside = math.sqrt(max(distance - ahead * ahead, 0.0))
    return aside - spread * ahead <= radius * math.sqrt(1.0 + spread * spread)


@compiled('void(float64[:], float64, float32[:, :, ::1], float32[:, ::1], uint8[::1], '
          'float32[::1], int32[::1], float32[:, :, ::1], float32[:, ::1], int32[::1], '
          'float64[::1], uint8[:, :, ::1], int64, float64[:, ::1], float32[:, ::1])')
def pave(view, spread, coarse, coarse_spheres, layers, reaches, children, fine, fine_spheres,
         starts, grid, planes, width, edges, depth):
    """
    Draw the ground's quads that are in sight into their layers' planes.

    Those of a layer beyond the last plane shape the ground: they go into ``depth``.

    The first ten arrays are those of :class:`scene.Patches`; ``grid`` holds x, y, cell, columns,
    rows, the largest radius, the largest reach, the middle height and how far heights lie from it.
    """
    corners, camera, clipped = np.empty((4, 3)), np.empty((4, 3)), np.empty((6, 3))
    screen, inverse = np.empty((6, 2)), np.zeros(3)
    tested = depth.shape[0] > 0
    cell, columns, rows = grid[2], int(grid[3]), int(grid[4])
    # What is small in the picture is left out earlier where the picture itself is small.
    scale = min(1.0, max(0.4, view[0] / 400.0))
    far = grid[5] + grid[6] * scale
    column0 = max(0, int((view[3] - far - grid[0]) / cell))
    column1 = min(columns - 1, int((view[3] + far - grid[0]) / cell))
    row0 = max(0, int((view[4] - far - grid[1]) / cell))
    row1 = min(rows - 1, int((view[4] + far - grid[1]) / cell))
    for row in range(row0, row1 + 1):
        for column in range(column0, column1 + 1):
            index = row * columns + column
            if starts[index] == starts[index + 1]:
                continue
            x, y = grid[0] + (column + 0.5) * cell, grid[1] + (row + 0.5) * cell
            if not in_sight(view, x, y, grid[7], 0.71 * cell + grid[5] + grid[8],
                            grid[6] * scale, spread):
                continue
            for c in range(starts[index], starts[index + 1]):
                x, y, z, radius = (coarse_spheres[c, 0], coarse_spheres[c, 1],
                                   coarse_spheres[c, 2], coarse_spheres[c, 3])
                if not in_sight(view, x, y, z, radius, reaches[c] * scale, spread):
                    continue
                near = _DETAIL * scale + radius
                detailed = children[c + 1] - children[c] > 1 and (
                    (x - view[3]) ** 2 + (y - view[4]) ** 2 + (z - view[5]) ** 2 < near * near)
                begin, end = (children[c], children[c + 1]) if detailed else (c, c + 1)
                for p in range(begin, end):
                    if detailed:
                        if not in_sight(view, fine_spheres[p, 0], fine_spheres[p, 1],
                                        fine_spheres[p, 2], fine_spheres[p, 3], 1e4, spread):
                            continue
                        for i in range(4):
                            for k in range(3):
                                corners[i, k] = fine[p, i, k]
                    else:
                        for i in range(4):
                            for k in range(3):
                                corners[i, k] = coarse[p, i, k]
                    count = project(view, corners, 4, camera, clipped, screen)
                    if count < 3:
                        continue
                    if tested:
                        plane_of(view, clipped, count, inverse)
                    if layers[c] >= planes.shape[0]:
                        sink(depth, screen, count, inverse, edges)
                        continue
                    cover(planes[layers[c]], width, screen, count, edges, depth, inverse)
