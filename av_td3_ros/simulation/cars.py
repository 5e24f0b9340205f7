# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shape of a car as flat faces, for boxes of any size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from av_td3_ros.jit import compiled
from av_td3_ros.simulation.raster import cover, in_sight, plane_of, project


PAINT, GLASS, DARK, HEADLIGHT, TAILLIGHT, PLATE, RIM = range(7)
# Blue, green, red of what is not painted.
MATERIALS = np.array([(0, 0, 0), (66, 58, 50), (34, 33, 32), (235, 245, 250), (38, 30, 190),
                      (215, 225, 225), (150, 150, 150)], np.float32)

# Heights as shares of the car's height: sill, belt line; lengths as shares of its length.
SILL, BELT = 0.16, 0.57
SHOULDER = 0.52
_CABIN = (-0.44, 0.25, 0.47)        # rear, front, half width at the belt line
_ROOF = (-0.30, 0.05, 0.37)
_WHEELS, _RADIUS = (0.30, -0.29), 0.225


class Boxes(NamedTuple):
    """
    The other cars: equally long arrays, one entry a car.

    x, y in m: the box's centre; z in m: the ground below it; yaw in rad (map frame); length,
    width, height in m; colour: any integer, it picks the paint.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    yaw: np.ndarray
    length: np.ndarray
    width: np.ndarray
    height: np.ndarray
    colour: np.ndarray


def _build() -> tuple[np.ndarray, np.ndarray]:
    """Return faces (F, 4, 3), counter-clockwise from outside, and materials (F,)."""
    faces: list[np.ndarray] = []
    materials: list[int] = []

    def face(material, *corners, inside=(0.0, 0.0, 0.45)):
        points = np.array(corners)
        normal = np.cross(points[2] - points[0], points[3] - points[1])
        outwards = normal @ (points.mean(axis=0) - inside) > 0.0
        faces.append(points if outwards else points[::-1])
        materials.append(material)

    def both_sides(material, *corners):
        face(material, *corners)
        face(material, *[(x, -y, z) for x, y, z in corners])

    h, s, b, n = 0.5, SILL, BELT, SHOULDER
    rear, front, half = _CABIN
    roof_rear, roof_front, roof_half = _ROOF
    # Body: full length and width between sill and belt line.
    both_sides(PAINT, (-h, h, s), (h, h, s), (h, h, n), (-h, h, n))
    face(PAINT, (h, h, s), (h, -h, s), (h, -h, n), (h, h, n))
    face(PAINT, (-h, -h, s), (-h, h, s), (-h, h, n), (-h, -h, n))
    both_sides(PAINT, (-h, h, n), (h, h, n), (front, half, b), (rear, half, b))
    face(PAINT, (h, h, n), (h, -h, n), (front, -half, b), (front, half, b))
    face(PAINT, (-h, -h, n), (-h, h, n), (rear, half, b), (rear, -half, b))
    # Cabin: glass all around, a painted roof and pillars.
    both_sides(PAINT, (rear, half, b), (front, half, b), (roof_front, roof_half, 1.0),
               (roof_rear, roof_half, 1.0))
    face(GLASS, (front, half, b), (front, -half, b), (roof_front, -roof_half, 1.0),
         (roof_front, roof_half, 1.0))
    face(PAINT, (rear, -half, b), (rear, half, b), (roof_rear, roof_half, 1.0),
         (roof_rear, -roof_half, 1.0))
    face(PAINT, (roof_rear, roof_half, 1.0), (roof_front, roof_half, 1.0),
         (roof_front, -roof_half, 1.0), (roof_rear, -roof_half, 1.0))

    def pane(x0, x1, low, high):
        def at(x, height):
            return (x + (0.5 * (roof_rear + roof_front) - 0.5 * (rear + front)) * height * 0.4,
                    half + (roof_half - half) * height + 0.006, b + (1.0 - b) * height)
        both_sides(GLASS, at(x0 * 1.0, low), at(x1, low), at(x1 * 0.55 - 0.03, high),
                   at(x0 * 0.78, high))

    pane(-0.36, -0.10, 0.12, 0.86)
    pane(-0.07, 0.17, 0.12, 0.86)
    inset = 0.12
    face(GLASS, *[(x - 0.004, y, z) for x, y, z in (
        _mix((rear, -half * 0.86, b), (roof_rear, -roof_half * 0.86, 1.0), inset),
        _mix((rear, half * 0.86, b), (roof_rear, roof_half * 0.86, 1.0), inset),
        _mix((rear, half * 0.86, b), (roof_rear, roof_half * 0.86, 1.0), 1.0 - inset),
        _mix((rear, -half * 0.86, b), (roof_rear, -roof_half * 0.86, 1.0), 1.0 - inset))])
    # Front: lights, grille, plate. Rear: lights, bumper, plate.
    x = h + 0.002
    for side in (1, -1):
        y0, y1 = (0.47, 0.27) if side > 0 else (-0.27, -0.47)
        face(HEADLIGHT, (x, y0, 0.38), (x, y1, 0.38), (x, y1, 0.47), (x, y0, 0.47))
        face(TAILLIGHT, (-x, y1, 0.38), (-x, y0, 0.38), (-x, y0, 0.50), (-x, y1, 0.50))
    face(DARK, (x, 0.24, 0.30), (x, -0.24, 0.30), (x, -0.24, 0.44), (x, 0.24, 0.44))
    face(DARK, (x, 0.5, s), (x, -0.5, s), (x, -0.5, 0.24), (x, 0.5, 0.24))
    face(DARK, (-x, -0.5, s), (-x, 0.5, s), (-x, 0.5, 0.26), (-x, -0.5, 0.26))
    face(PLATE, (-x, -0.15, 0.33), (-x, 0.15, 0.33), (-x, 0.15, 0.40), (-x, -0.15, 0.40))
    # What the driver sees below the windows; from outside the panes hide it.
    face(DARK, (rear, half, b), (front, half, b), (front, -half, b), (rear, -half, b))
    for wheel in _WHEELS:
        _wheel(face, both_sides, wheel)
    return np.array(faces, np.float64), np.array(materials, np.int64)


def _wheel(face, both_sides, x) -> None:
    # Hexagons of two quads, a little outside the body; the length of a car is some three times
    # its height.
    y, across = 0.504, _RADIUS / 3.0
    half, tall = across * 0.5, _RADIUS * 0.87
    for material, scale, out in ((DARK, 1.0, 0.0), (RIM, 0.55, 0.003)):
        a, b, c = across * scale, half * scale, tall * scale
        z = _RADIUS * 0.87
        both_sides(material, (x - a, y + out, z), (x - b, y + out, z - c),
                   (x + b, y + out, z - c), (x + a, y + out, z))
        both_sides(material, (x - a, y + out, z), (x + a, y + out, z),
                   (x + b, y + out, z + c), (x - b, y + out, z + c))
    for y0, y1 in ((0.48, 0.36), (-0.36, -0.48)):
        face(DARK, (x + across, y0, 0.0), (x + across, y1, 0.0), (x + across, y1, 0.3),
             (x + across, y0, 0.3), inside=(x, y0, 0.2))
        face(DARK, (x - across, y1, 0.0), (x - across, y0, 0.0), (x - across, y0, 0.3),
             (x - across, y1, 0.3), inside=(x, y0, 0.2))


def _mix(a, b, share):
    return tuple(p + share * (q - p) for p, q in zip(a, b))


FACES, FACE_MATERIALS = _build()
# The first faces are the body and the cabin: what is left of a car in the distance.
_CORE, _DETAIL = 14, 70.0
_SHADOW_REACH = 120.0


@compiled('float64(float32[:, ::1], float64[:])')
def lambert(corners, sun):
    """Return the cosine between a face's normal and the sun, 0 where it lies in its own shade."""
    ax, ay, az = (corners[2, 0] - corners[0, 0], corners[2, 1] - corners[0, 1],
                  corners[2, 2] - corners[0, 2])
    bx, by, bz = (corners[3, 0] - corners[1, 0], corners[3, 1] - corners[1, 1],
                  corners[3, 2] - corners[1, 2])
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length < 1e-12:
        return 0.0
    return max(0.0, (nx * sun[0] + ny * sun[1] + nz * sun[2]) / length)


@compiled('int64(float64[:, ::1], float64[:, :, ::1], int64[::1], float32[:, ::1], '
          'float32[:, ::1], float64[:], float64[:], float64[:], float64[:], '
          'float32[:, :, ::1], float32[:, ::1])')
def place_cars(boxes, shape, materials, palette, paints, view, sun, ambient, direct, faces,
               colours):
    """
    Write the faces of all cars, in the map frame and lit, and return how many there are.

    ``boxes`` (N, 8) are the columns of :class:`Boxes`. ``faces`` (>= N * F, 4, 3) and
    ``colours`` (>= N * F, 3) receive them.
    """
    count = 0
    for n in range(boxes.shape[0]):
        x, y, z, yaw = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        cos, sin = np.cos(yaw), np.sin(yaw)
        far = (x - view[3]) ** 2 + (y - view[4]) ** 2 > _DETAIL * _DETAIL
        paint = int(boxes[n, 7]) % paints.shape[0]
        for f in range(_CORE if far else shape.shape[0]):
            for i in range(4):
                along, across = shape[f, i, 0] * boxes[n, 4], shape[f, i, 1] * boxes[n, 5]
                faces[count, i, 0] = x + cos * along - sin * across
                faces[count, i, 1] = y + sin * along + cos * across
                faces[count, i, 2] = z + shape[f, i, 2] * boxes[n, 6]
            light = lambert(faces[count], sun)
            material = materials[f]
            for k in range(3):
                own = paints[paint, k] if material == PAINT else palette[material, k]
                glow = ambient[k] + direct[k] * light
                if material == HEADLIGHT or material == TAILLIGHT:
                    glow = max(glow, 0.9)
                colours[count, k] = own * glow
            count += 1
    return count


@compiled('void(float64[:, ::1], float64[:], float64, float64[:], uint8[:, ::1], int64, '
          'float64[:, ::1], float32[:, ::1])')
def cast_shadows(boxes, view, spread, sun, plane, width, edges, depth):
    """
    Draw the cars' shadows on the ground: the box's outline, drawn out away from the sun.

    ``boxes`` (N, 8) are the columns of :class:`Boxes`; the other arguments are those of
    :func:`raster.cover`.
    """
    corners, camera, clipped = np.empty((6, 3)), np.empty((6, 3)), np.empty((8, 3))
    screen, inverse = np.empty((8, 2)), np.zeros(3)
    for n in range(boxes.shape[0]):
        x, y, z, yaw = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        if not in_sight(view, x, y, z, boxes[n, 4] + 3.0, _SHADOW_REACH, spread):
            continue
        cos, sin = np.cos(yaw), np.sin(yaw)
        # How far the middle of the car's height throws its shadow, along and across the car.
        throw = 0.6 * boxes[n, 6] / max(sun[2], 0.3)
        along, across = -throw * (sun[0] * cos + sun[1] * sin), throw * (sun[0] * sin
                                                                         - sun[1] * cos)
        a = np.copysign(0.51 * boxes[n, 4], along)
        b = np.copysign(0.52 * boxes[n, 5], across)
        outline = ((-a, -b), (a, -b), (a + along, -b + across), (a + along, b + across),
                   (-a + along, b + across), (-a, b))
        for i in range(6):
            u, v = outline[i]
            corners[i, 0] = x + cos * u - sin * v
            corners[i, 1] = y + sin * u + cos * v
            corners[i, 2] = z
        count = project(view, corners, 6, camera, clipped, screen)
        if count < 3:
            continue
        if depth.shape[0] > 0:
            plane_of(view, clipped, count, inverse)
        cover(plane, width, screen, count, edges, depth, inverse)
