# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plane curves of lines and arcs, as OpenDRIVE's reference lines are made of."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

_STRAIGHT = 1e-4    # rad; less turn than this is a line


@dataclasses.dataclass(frozen=True)
class Piece:
    """A line (``curvature`` 0) or an arc: start x, y in m, heading in rad, length in m, 1/m."""

    x: float
    y: float
    heading: float
    length: float
    curvature: float = 0.0

    def at(self, s: float) -> tuple[float, float, float]:
        """Return x, y and heading at ``s`` metres from the start."""
        k, h = self.curvature, self.heading
        if k == 0.0:
            return self.x + s * math.cos(h), self.y + s * math.sin(h), h
        end = h + k * s
        return (self.x + (math.sin(end) - math.sin(h)) / k,
                self.y - (math.cos(end) - math.cos(h)) / k, end)

    def cut(self, low: float, high: float) -> Piece:
        """Return the part between two distances from the start."""
        return Piece(*self.at(low), high - low, self.curvature)


def wrap(angle: float) -> float:
    """Return an angle in [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def length(path: list[Piece]) -> float:
    """Return the length of a path in metres."""
    return sum(piece.length for piece in path)


def trim(path: list[Piece], start: float, end: float) -> list[Piece]:
    """Return a path without its first ``start`` and its last ``end`` metres."""
    low, high, s, kept = start, length(path) - end, 0.0, []
    if high - low < 1.0:
        raise ValueError(f'a road of {length(path):.1f} m is too short for its junctions')
    for piece in path:
        a, b = max(low - s, 0.0), min(high - s, piece.length)
        if b - a > 1e-6:
            kept.append(piece.cut(a, b))
        s += piece.length
    return kept


def rounded(points: list[tuple[float, float]], radii: list[float]) -> list[Piece]:
    """Return the polyline through ``points`` with each inner corner rounded by an arc."""
    corners = np.asarray(points, dtype=float)
    headings = [math.atan2(*(b - a)[::-1]) for a, b in zip(corners, corners[1:])]
    turns = [wrap(b - a) for a, b in zip(headings, headings[1:])]
    tangents = [0.0, *(r * abs(math.tan(0.5 * t)) for r, t in zip(radii, turns)), 0.0]
    path: list[Piece] = []
    for i, (a, b) in enumerate(zip(corners, corners[1:])):
        straight = float(np.hypot(*(b - a))) - tangents[i] - tangents[i + 1]
        if straight < 0.0:
            raise ValueError(f'the curves at {tuple(a)} and {tuple(b)} overlap')
        begin = a + tangents[i] * np.array([math.cos(headings[i]), math.sin(headings[i])])
        line = Piece(float(begin[0]), float(begin[1]), headings[i], straight)
        path.append(line)
        if i < len(turns) and abs(turns[i]) > _STRAIGHT:
            path.append(Piece(*line.at(straight)[:2], headings[i], radii[i] * abs(turns[i]),
                              math.copysign(1.0 / radii[i], turns[i])))
    return [piece for piece in path if piece.length > 1e-6]


def connect(start: tuple[float, float, float], end: tuple[float, float, float]) -> list[Piece]:
    """Return the smooth path between two poses: one arc with lines where it fits, or two arcs."""
    (x0, y0, h0), (x1, y1, h1) = start, end
    dx, dy, turn = x1 - x0, y1 - y0, wrap(h1 - h0)
    across = -math.sin(h0) * dx + math.cos(h0) * dy
    if abs(turn) < _STRAIGHT and abs(across) < 1e-4:
        return [Piece(x0, y0, h0, math.hypot(dx, dy))]
    if abs(turn) > 0.15:
        # Distances from both ends to where the tangents cross.
        a = (dx * math.sin(h1) - dy * math.cos(h1)) / math.sin(turn)
        b = across / math.sin(turn)
        reach = min(a, b)
        if reach > 1.0:
            radius = reach / abs(math.tan(0.5 * turn))
            arc = Piece(*Piece(x0, y0, h0, a).at(a - reach), radius * abs(turn),
                        math.copysign(1.0 / radius, turn))
            exit_ = Piece(*arc.at(arc.length)[:2], h1, b - reach)
            return [piece for piece in (Piece(x0, y0, h0, a - reach), arc, exit_)
                    if piece.length > 1e-6]
    return _biarc(start, end)


def _biarc(start: tuple[float, float, float], end: tuple[float, float, float]) -> list[Piece]:
    p0, p1 = np.array(start[:2]), np.array(end[:2])
    t0 = np.array([math.cos(start[2]), math.sin(start[2])])
    t1 = np.array([math.cos(end[2]), math.sin(end[2])])
    v, t = p1 - p0, t0 + t1
    # Equal distances d from both ends to the control points: a quadratic equation in d.
    a, b, c = 2.0 * (1.0 - float(t0 @ t1)), 2.0 * float(v @ t), -float(v @ v)
    d = -c / b if a < 1e-12 else (-b + math.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
    joint = 0.5 * (p0 + p1 + d * (t0 - t1))
    first = _arc(p0, start[2], joint)
    second = _arc(joint, first.at(first.length)[2], p1)
    return [first, second]


def _arc(begin: np.ndarray, heading: float, end: np.ndarray) -> Piece:
    chord = end - begin
    span = float(np.hypot(*chord))
    half = wrap(math.atan2(chord[1], chord[0]) - heading)
    if abs(half) < 1e-9:
        return Piece(float(begin[0]), float(begin[1]), heading, span)
    curvature = 2.0 * math.sin(half) / span
    return Piece(float(begin[0]), float(begin[1]), heading, 2.0 * half / curvature, curvature)
