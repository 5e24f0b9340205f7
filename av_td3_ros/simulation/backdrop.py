# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drawing what stands beside the road.

Buildings are boxes with rows of windows; plants and lamp posts are flat shapes that turn to the
camera, with soft edges so that thin ones fade in the distance instead of flickering.
"""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.jit import compiled
from av_td3_ros.simulation.raster import in_sight, plane_of, project
from av_td3_ros.simulation.scenery import BUILDING, CONIFER, HOUSE, LAMP, TREE
from av_td3_ros.simulation.solids import fill, outline, packed, turned_away

# Metres up to which things are drawn by a camera of 400 pixels focal length.
_REACH = np.array([420.0, 420.0, 230.0, 230.0, 110.0, 110.0])
_FLOOR, _BAY = 3.05, 2.7            # m: height of a storey, width of a window's bay


@compiled('void(uint32[:, ::1], float32[:, ::1], float64[:, :], int64, float64, uint32, '
          'float64[:, ::1])')
def fill_soft(out, depth, screen, count, inverse, colour, edges):
    """Blend an upright convex shape in by its coverage of each row, at one inverse distance."""
    height, width = out.shape
    first, last = outline(screen, count, height, edges)
    near = np.float32(inverse)
    for row in range(first, last + 1):
        left = min(max(edges[0, row], 0.0), width + 0.0)
        right = min(max(edges[1, row], 0.0), width + 0.0)
        for x in range(int(left), int(math.ceil(right))):
            if near <= depth[row, x]:
                continue
            share = min(x + 1.0, right) - max(x + 0.0, left)
            if share > 0.996:
                out[row, x] = colour
                depth[row, x] = near
            elif share > 0.0:
                old, value = out[row, x], np.uint32(0xFF000000)
                for k in range(3):
                    a = float((old >> np.uint32(8 * k)) & np.uint32(255))
                    b = float((colour >> np.uint32(8 * k)) & np.uint32(255))
                    value |= np.uint32(a + share * (b - a) + 0.5) << np.uint32(8 * k)
                out[row, x] = value
                if share > 0.5:
                    depth[row, x] = near


@compiled('void(float64[:], uint32[:, ::1], float32[:, ::1], float64[:, :], int64, float64[:], '
          'uint32, uint32, float64[:], float64[:, ::1])')
def fill_wall(view, out, depth, screen, count, inverse, wall, window, frame, edges):
    """
    Fill a wall with its windows.

    ``frame`` (7,): a corner of the wall at its foot, the wall's direction, the bays' and the
    storeys' pitch in m: x, y, z, dx, dy, bay, storey.
    """
    height, width = out.shape
    first, last = outline(screen, count, height, edges)
    focal = view[0]
    step_u = (view[6] * frame[3] + view[7] * frame[4]) / focal / frame[5]
    step_v = view[8] / focal / frame[6]
    from_u = ((view[3] - frame[0]) * frame[3] + (view[4] - frame[1]) * frame[4]) / frame[5]
    from_v = (view[5] - frame[2]) / frame[6]
    for row in range(first, last + 1):
        x0 = int(math.ceil(min(max(edges[0, row], 0.0), width + 0.0) - 0.5))
        x1 = int(math.ceil(min(max(edges[1, row], 0.0), width + 0.0) - 0.5))
        up, aside = (row + 0.5 - view[2]) / focal, (0.5 - view[1]) / focal
        ray_u = ((view[12] + up * view[9] + aside * view[6]) * frame[3]
                 + (view[13] + up * view[10] + aside * view[7]) * frame[4]) / frame[5]
        ray_v = (view[14] + up * view[11] + aside * view[8]) / frame[6]
        base = inverse[1] * (row + 0.5) + inverse[2] + 0.5 * inverse[0]
        for x in range(x0, x1):
            here = base + inverse[0] * x
            near = np.float32(here)
            if near > depth[row, x]:
                depth[row, x] = near
                distance = 1.0 / here
                u = from_u + distance * (ray_u + x * step_u)
                v = from_v + distance * (ray_v + x * step_v)
                u -= math.floor(u)
                v -= math.floor(v)
                glass = abs(u - 0.5) < 0.27 and abs(v - 0.56) < 0.24
                out[row, x] = window if glass else wall


@compiled('void(float64[:], float64[:, ::1], int64, float64, float32[::1], float32[::1], '
          'float64[:, ::1], float32[:, ::1], uint32[:, ::1])')
def _shape(view, corners, count, distance, colour, haze, edges, depth, out):
    """Draw a flat upright shape (count, 3) that faces the camera at a distance."""
    camera, clipped = np.empty((8, 3)), np.empty((10, 3))
    screen = np.empty((10, 2))
    n = project(view, corners, count, camera, clipped, screen)
    if n >= 3:
        fill_soft(out, depth, screen, n, 1.0 / distance, packed(colour, haze, distance), edges)


@compiled('void(float64[:], float64[:], int64, float64[:], float32[:, ::1], float64[:], '
          'float64[:], float64[:], float32[::1], float64[:, ::1], float32[:, ::1], '
          'uint32[:, ::1])')
def _upright(view, place, what, size, colours, sun, ambient, direct, haze, edges, depth, out):
    """Draw a plant or a lamp post."""
    dx, dy = place[0] - view[3], place[1] - view[4]
    flat = math.sqrt(dx * dx + dy * dy)
    middle = 0.5 * size[2] + place[2] - view[5]
    distance = dx * view[12] + dy * view[13] + middle * view[14]
    if flat < 1.0 or distance < 1.0:
        return
    ax, ay = dy / flat, -dx / flat              # to the right as the camera sees it
    lit, dark = np.empty(3, np.float32), np.empty(3, np.float32)
    for k in range(3):
        lit[k] = colours[0, k] * (ambient[k] + 0.75 * direct[k])
        dark[k] = colours[1, k] * (ambient[k] + 0.25 * direct[k])
    corners = np.empty((8, 3))
    width, tall = size[0], size[2]
    sunny = 1.0 if sun[0] * ax + sun[1] * ay > 0.0 else -1.0
    if what == LAMP:
        # The pole, then the arm over the road.
        half = 0.5 * width
        for i in range(4):
            side = -half if i < 2 else half
            corners[i, 0], corners[i, 1] = place[0] + side * ax, place[1] + side * ay
            corners[i, 2] = place[2] + (tall if i == 1 or i == 2 else 0.0)
        _shape(view, corners, 4, distance, lit, haze, edges, depth, out)
        cos, sin = math.cos(place[3]), math.sin(place[3])
        for i in range(4):
            along = size[1] if i == 1 or i == 2 else 0.0
            corners[i, 0], corners[i, 1] = place[0] + along * cos, place[1] + along * sin
            corners[i, 2] = place[2] + tall + 0.1 + (0.08 if i < 2 else -0.08)
        _shape(view, corners, 4, distance, lit, haze, edges, depth, out)
        return
    trunk = 0.3 * tall if what == TREE else (0.12 * tall if what == CONIFER else 0.0)
    if trunk > 0.0:
        bark = np.empty(3, np.float32)
        bark[0], bark[1], bark[2] = dark[0] * 1.1, dark[1] * 0.75, dark[2] * 1.15
        for i in range(4):
            side = -0.05 * width if i < 2 else 0.05 * width
            corners[i, 0], corners[i, 1] = place[0] + side * ax, place[1] + side * ay
            corners[i, 2] = place[2] + (1.3 * trunk if i == 1 or i == 2 else 0.0)
        _shape(view, corners, 4, distance, bark, haze, edges, depth, out)
    if what == CONIFER:
        for layer in range(3):
            low = trunk + (tall - trunk) * 0.27 * layer
            high = min(tall, low + (tall - trunk) * 0.5)
            half = 0.42 * width * (1.0 - 0.26 * layer)
            for part in range(2):
                for i in range(3):
                    side = (-half, half, 0.0)[i] if part == 0 else (0.0, sunny * half, 0.0)[i]
                    corners[i, 0], corners[i, 1] = place[0] + side * ax, place[1] + side * ay
                    corners[i, 2] = place[2] + (high if i == 2 else low)
                _shape(view, corners, 3, distance - 0.05 * (2 * layer + part),
                       dark if part == 0 else lit, haze, edges, depth, out)
        return
    # A crown of round masses, each with its sunny part; their shape varies with the tree.
    high = 0.5 * (tall - trunk)
    for mass in range(3 if what == TREE else 2):
        shift = (0.0, -0.22, 0.20)[mass] * width * (1.0 if size[1] > 0.5 else -1.0)
        lift = (0.0, -0.22, -0.12)[mass] * high
        part = (0.86, 0.62, 0.6)[mass]
        for sun_side in range(2):
            share = part * (1.0 if sun_side == 0 else 0.62)
            off = shift + (0.0 if sun_side == 0 else sunny * 0.13 * width * part)
            above = lift + (0.0 if sun_side == 0 else 0.2 * high * part)
            for i in range(8):
                angle = (i + 0.5 + size[1]) * (math.pi / 4.0)
                wobble = 1.0 + 0.12 * math.sin(3.0 * angle + 6.0 * size[1] + mass)
                side = off + 0.5 * width * share * wobble * math.cos(angle)
                corners[i, 0], corners[i, 1] = place[0] + side * ax, place[1] + side * ay
                corners[i, 2] = (place[2] + trunk + high + above
                                 + high * share * wobble * math.sin(angle))
            _shape(view, corners, 8, distance - 0.05 * (2 * mass + sun_side),
                   dark if sun_side == 0 else lit, haze, edges, depth, out)


@compiled('void(float64[:], float64[:], int64, float64[:], float32[:, ::1], float64[:], '
          'float64[:], float64[:], float32[::1], float64[:, ::1], float32[:, ::1], '
          'uint32[:, ::1])')
def _house(view, place, what, size, colours, sun, ambient, direct, haze, edges, depth, out):
    """Draw a building: four walls and a flat or a gabled roof."""
    cos, sin = math.cos(place[3]), math.sin(place[3])
    half_x, half_y, tall = 0.5 * size[1], 0.5 * size[0], size[2]
    foot = np.empty((4, 2))
    for i in range(4):
        u = half_x if i == 0 or i == 3 else -half_x
        v = half_y if i == 0 or i == 1 else -half_y
        foot[i, 0], foot[i, 1] = place[0] + u * cos - v * sin, place[1] + u * sin + v * cos
    corners, camera, clipped = np.empty((8, 3)), np.empty((8, 3)), np.empty((10, 3))
    screen, inverse, frame = np.empty((10, 2)), np.empty(3), np.empty(7)
    colour = np.empty(3, np.float32)
    distance = max(1.0, (place[0] - view[3]) * view[12] + (place[1] - view[4]) * view[13])
    ridge = tall + (0.42 * half_x * 2.0 if what == HOUSE else 0.0)
    # Walls 0 to 3 counter-clockwise from above; then the roof: flat, or two slopes, two gables.
    for face in range(8 if what == HOUSE else 5):
        a, b = face % 4, (face + 1) % 4
        count = 4
        if face < 4:
            for i in range(4):
                at = a if i == 0 or i == 3 else b
                corners[i, 0], corners[i, 1] = foot[at, 0], foot[at, 1]
                corners[i, 2] = place[2] + (tall if i > 1 else -0.5)
        elif what == BUILDING:
            for i in range(4):
                corners[i, 0], corners[i, 1], corners[i, 2] = (foot[i, 0], foot[i, 1],
                                                               place[2] + tall)
        else:
            for i in range(2):
                at = a if i == 0 else b
                corners[i, 0], corners[i, 1] = foot[at, 0], foot[at, 1]
                corners[i, 2] = place[2] + tall
            # The ridge runs along the street: over the middles of walls 0 and 2.
            for i in range(2):
                end = (b if i == 0 else a)
                other = (end + 1) % 4 if end % 2 == 0 else (end - 1) % 4
                corners[2 + i, 0] = 0.5 * (foot[end, 0] + foot[other, 0])
                corners[2 + i, 1] = 0.5 * (foot[end, 1] + foot[other, 1])
                corners[2 + i, 2] = place[2] + ridge
            if a % 2 == 0:
                count = 3
        n = project(view, corners, count, camera, clipped, screen)
        if n < 3 or turned_away(clipped, n):
            continue
        plane_of(view, clipped, n, inverse)
        dx, dy = foot[b, 0] - foot[a, 0], foot[b, 1] - foot[a, 1]
        long = math.sqrt(dx * dx + dy * dy)
        dx, dy = dx / long, dy / long
        lit = max(0.0, dy * sun[0] - dx * sun[1])
        if face >= 4 and count == 4:
            lit = max(0.0, 0.6 * lit + 0.7 * sun[2])
        own = colours[1] if face >= 4 and count == 4 else colours[0]
        for k in range(3):
            colour[k] = own[k] * (ambient[k] + direct[k] * lit)
        shown = packed(colour, haze, distance)
        if face >= 4:
            fill(out, depth, screen, n, inverse, shown, edges)
            continue
        for k in range(3):
            colour[k] = (70.0 - 6.0 * k) * (ambient[k] + 0.3 * direct[k])
        frame[0], frame[1], frame[2] = foot[a, 0], foot[a, 1], place[2]
        frame[3], frame[4] = dx, dy
        frame[5], frame[6] = long / max(1.0, math.floor(long / _BAY)), _FLOOR
        fill_wall(view, out, depth, screen, n, inverse, shown, packed(colour, haze, distance),
                  frame, edges)


@compiled('void(float64[:], float64, float64[:, ::1], int64[::1], float64[:, ::1], '
          'float32[:, :, ::1], int32[::1], float64[::1], float64[:], float64[:], float64[:], '
          'float32[::1], float64[:, ::1], float32[:, ::1], uint32[:, ::1])')
def draw_backdrop(view, spread, place, kind, size, colours, starts, grid, sun, ambient, direct,
                  haze, edges, depth, out):
    """
    Draw the scenery that is in sight.

    ``place``, ``starts`` and ``grid`` are those of :class:`scenery.Sites`, ``kind``, ``size``
    and ``colours`` those of :class:`scenery.Scenery`; the rest as for :func:`solids.draw`.
    """
    cell, columns, rows = grid[2], int(grid[3]), int(grid[4])
    scale = min(1.0, max(0.35, view[0] / 400.0))
    far = 420.0 * scale
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
            z, up = place[starts[index], 2], 20.0     # all of a cell's lie about as high as one
            if not in_sight(view, x, y, z, 0.71 * cell + 15.0 + up, far, spread):
                continue
            for i in range(starts[index], starts[index + 1]):
                what = kind[i]
                if what < 0:
                    continue
                tall = 0.5 * size[i, 2]
                radius = tall + 0.5 * (size[i, 0] + size[i, 1]) + 0.5
                if not in_sight(view, place[i, 0], place[i, 1], place[i, 2] + tall, radius,
                                _REACH[what] * scale, spread):
                    continue
                if what == BUILDING or what == HOUSE:
                    _house(view, place[i], what, size[i], colours[i], sun, ambient, direct, haze,
                           edges, depth, out)
                else:
                    _upright(view, place[i], what, size[i], colours[i], sun, ambient, direct,
                             haze, edges, depth, out)
