# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collisions of the ego vehicle with other cars: oriented boxes, and what a hit does."""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.jit import compiled
from av_td3_ros.simulation.bicycle import VX, VY, X, Y, YAW, YAW_RATE

RESTITUTION = 0.1      # sheet metal gives way and springs back little
FRICTION = 0.4         # of metal on metal


@compiled('boolean(float64, float64, float64, float64, float64, float64, float64, float64, '
          'float64, float64, float64[::1])')
def boxes_overlap(ax, ay, ayaw, alength, awidth, bx, by, byaw, blength, bwidth, normal):
    """
    Tell whether two boxes overlap, by the separating axis theorem.

    Positions and sizes in m, yaws in rad. Where they do, ``normal`` receives the direction
    (unit x, y) in which the first box leaves the second soonest, and the depth in m.
    """
    dx, dy = ax - bx, ay - by
    reach = 0.5 * (math.hypot(alength, awidth) + math.hypot(blength, bwidth))
    if dx * dx + dy * dy > reach * reach:
        return False
    depth = math.inf
    for axis in range(4):
        angle = (ayaw if axis < 2 else byaw) + (0.5 * math.pi if axis % 2 else 0.0)
        nx, ny = math.cos(angle), math.sin(angle)
        distance = dx * nx + dy * ny
        ca, sa = abs(math.cos(angle - ayaw)), abs(math.sin(angle - ayaw))
        cb, sb = abs(math.cos(angle - byaw)), abs(math.sin(angle - byaw))
        radii = 0.5 * (alength * ca + awidth * sa + blength * cb + bwidth * sb)
        overlap = radii - abs(distance)
        if overlap <= 0.0:
            return False
        if overlap < depth:
            sign = 1.0 if distance >= 0.0 else -1.0
            depth = overlap
            normal[0], normal[1], normal[2] = sign * nx, sign * ny, overlap
    return True


@compiled('void(float64, float64, float64, float64, float64, float64, float64, float64, float64, '
          'float64, float64[::1])')
def _add_inner_corners(ax, ay, ayaw, alength, awidth, bx, by, byaw, blength, bwidth, total):
    """Add the corners of the first box that lie in the second to ``total`` (x, y, count)."""
    ca, sa, cb, sb = math.cos(ayaw), math.sin(ayaw), math.cos(byaw), math.sin(byaw)
    for i in range(4):
        u = 0.5 * alength * (1.0 if i < 2 else -1.0)
        v = 0.5 * awidth * (1.0 if i % 2 else -1.0)
        x, y = ax + ca * u - sa * v, ay + sa * u + ca * v
        along, across = cb * (x - bx) + sb * (y - by), cb * (y - by) - sb * (x - bx)
        if abs(along) <= 0.5 * blength and abs(across) <= 0.5 * bwidth:
            total[0] += x
            total[1] += y
            total[2] += 1.0


@compiled('int64(float64[::1], float64, float64, float64, float64, float64[::1], float64[::1], '
          'float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], int64[::1], '
          'float64[:, ::1])')
def collide(state, mass, inertia, length, width, xs, ys, yaws, speeds, lengths, widths, masses,
            hits, impulses):
    """
    Resolve the ego vehicle's contacts with other cars; return how many received an impulse.

    ``state`` is the ego vehicle's (see :mod:`bicycle`): it is pushed out of every box that it
    overlaps and exchanges momentum with it, with restitution and friction. The other cars are
    held sideways by their tyres: a hit changes only their ``speeds``, and never below 0. The
    indices of the cars hit come in ``hits`` and the impulses on the ego vehicle, N s along the
    map's axes, in the rows of ``impulses``.
    """
    found = 0
    normal, corners = np.empty(3), np.empty(3)
    for i in range(len(xs)):
        if not boxes_overlap(state[X], state[Y], state[YAW], length, width, xs[i], ys[i],
                             yaws[i], lengths[i], widths[i], normal):
            continue
        nx, ny = normal[0], normal[1]
        # The contact point: the mean of the corners that lie inside the other box.
        corners[:] = 0.0
        _add_inner_corners(state[X], state[Y], state[YAW], length, width, xs[i], ys[i], yaws[i],
                           lengths[i], widths[i], corners)
        _add_inner_corners(xs[i], ys[i], yaws[i], lengths[i], widths[i], state[X], state[Y],
                           state[YAW], length, width, corners)
        if corners[2] > 0.0:
            px, py = corners[0] / corners[2], corners[1] / corners[2]
        else:
            px, py = 0.5 * (state[X] + xs[i]), 0.5 * (state[Y] + ys[i])
        rx, ry = px - state[X], py - state[Y]
        c, s = math.cos(state[YAW]), math.sin(state[YAW])
        vx, vy = c * state[VX] - s * state[VY], s * state[VX] + c * state[VY]
        hx, hy = math.cos(yaws[i]), math.sin(yaws[i])
        wx = vx - state[YAW_RATE] * ry - speeds[i] * hx
        wy = vy + state[YAW_RATE] * rx - speeds[i] * hy
        approach = wx * nx + wy * ny
        if approach < 0.0:
            lever, along = rx * ny - ry * nx, nx * hx + ny * hy
            push = -(1.0 + RESTITUTION) * approach / (
                1.0 / mass + lever * lever / inertia + along * along / masses[i])
            slide, lever = wy * nx - wx * ny, rx * nx + ry * ny
            along = ny * hx - nx * hy
            rub = -slide / (1.0 / mass + lever * lever / inertia + along * along / masses[i])
            rub = min(max(rub, -FRICTION * push), FRICTION * push)
            jx, jy = push * nx - rub * ny, push * ny + rub * nx
            vx, vy = vx + jx / mass, vy + jy / mass
            state[VX], state[VY] = c * vx + s * vy, c * vy - s * vx
            state[YAW_RATE] += (rx * jy - ry * jx) / inertia
            speeds[i] = max(speeds[i] - (jx * hx + jy * hy) / masses[i], 0.0)
            hits[found] = i
            impulses[found, 0], impulses[found, 1] = jx, jy
            found += 1
        state[X] += nx * normal[2]
        state[Y] += ny * normal[2]
    return found
