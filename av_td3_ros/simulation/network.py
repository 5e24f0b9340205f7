# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A town's lanes as flat arrays for the traffic: places, speeds, successors and conflicts."""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.simulation.lanes import Lane
from av_td3_ros.simulation.town import Town, TownError

_SPACING = 0.5        # m between samples
_CLEARANCE = 2.6      # m; lanes whose centres come closer cannot be used at once
_LATERAL = 2.2        # m/s^2 that drivers like in a curve
_BRAKING = 1.5        # m/s^2 with which they slow down for one
_POINTS = 32          # points of a lane compared for conflicts


class LaneNetwork:
    """
    The lanes that the traffic uses: those from which every other one can be reached.

    For lane i, samples ``first[i]`` to ``first[i + 1]`` of ``samples`` (4, S: x, y, z in m and
    the curve's speed limit in m/s) lie ``spacing[i]`` m apart along ``length[i]`` m.
    ``junction[i]`` is 1 inside a junction. Lists in compressed rows: ``successors``;
    ``conflicts``, the lanes of the same junction that cross or join lane i; ``siblings``, the
    other lanes that leave the same lane, with ``shared`` m for which they lie over each other.
    ``bounds`` (L, 4) are the lanes' boxes: least x, y, greatest x, y. ``index`` maps the town's
    lane numbers to i.
    """

    def __init__(self, town: Town) -> None:
        """Build the arrays of a town."""
        used = _endless(town)
        self.index = {lane: i for i, lane in enumerate(used)}
        lanes = [town.lanes[lane] for lane in used]
        tracks = [_resampled(lane) for lane in lanes]
        self.first = np.cumsum([0] + [len(track) for track in tracks]).astype(np.int64)
        self.length = np.array([lane.length for lane in lanes])
        self.spacing = np.array([lane.length / (len(track) - 1)
                                 for lane, track in zip(lanes, tracks)])
        limits = [_speed_limits(track, gap) for track, gap in zip(tracks, self.spacing)]
        self.samples = np.ascontiguousarray(
            np.column_stack([np.concatenate(tracks), np.concatenate(limits)]).T)
        self.junction = np.array([lane.junction >= 0 for lane in lanes], dtype=np.int64)
        self.bounds = np.array([[*track[:, :2].min(axis=0), *track[:, :2].max(axis=0)]
                                for track in tracks])
        successors = [sorted(self.index[lane] for lane in item.successors if lane in self.index)
                      for item in lanes]
        self.successor_first, self.successors = _rows(successors)
        self.conflict_first, self.conflicts = _rows(_conflicts(lanes, tracks, successors))
        siblings = _siblings(successors)
        self.sibling_first, self.siblings = _rows(siblings)
        self.shared = np.array([_shared(tracks[i], tracks[j], self.spacing[j])
                                for i, row in enumerate(siblings) for j in row], dtype=np.float64)


def _endless(town: Town) -> list[int]:
    """Return the lanes of the town's connected part on which a car can go on for ever."""
    used = {lane for lane, _ in town.connected}
    while True:
        dead = {lane for lane in used if not used.intersection(town.lanes[lane].successors)}
        if not dead:
            break
        used -= dead
    if not used:
        raise TownError(f'the town {town.name} has no circuit on which other cars could drive')
    return sorted(used)


def _resampled(lane: Lane) -> np.ndarray:
    at = np.linspace(0.0, lane.length, max(2, math.ceil(lane.length / _SPACING) + 1))
    return np.stack([np.interp(at, lane.distance, lane.centre[:, axis]) for axis in range(3)],
                    axis=1)


def _speed_limits(track: np.ndarray, gap: float) -> np.ndarray:
    """Return the speed (m/s) at each sample that the curves at and after it allow."""
    limits = np.full(len(track), 50.0)
    span = max(1, round(2.0 / gap))
    if len(track) > 2 * span:
        # Over some metres, so that the samples' own noise does not look like a curve.
        steps = track[span:, :2] - track[:-span, :2]
        turns = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])), n=1)
        turns = np.convolve(turns, np.full(span, 1.0 / span), mode='same')
        curvature = np.abs(turns) / gap
        limits[span // 2:span // 2 + len(curvature)] = np.sqrt(
            _LATERAL / np.maximum(curvature, 1e-4))
    limits = np.clip(limits, 2.0, 50.0)
    for i in range(len(limits) - 2, -1, -1):
        limits[i] = min(limits[i], math.sqrt(limits[i + 1] ** 2 + 2.0 * _BRAKING * gap))
    return limits


def _conflicts(lanes: list[Lane], tracks: list[np.ndarray],
               successors: list[list[int]]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in lanes]
    groups: dict[int, list[int]] = {}
    for i, lane in enumerate(lanes):
        if lane.junction >= 0:
            groups.setdefault(lane.junction, []).append(i)
    siblings = _siblings(successors)
    for members in groups.values():
        points = np.stack([_spread(tracks[i]) for i in members]).reshape(-1, 2)
        apart = np.hypot(points[:, None, 0] - points[None, :, 0],
                         points[:, None, 1] - points[None, :, 1])
        count = len(members)
        nearest = apart.reshape(count, _POINTS, count, _POINTS).min(axis=(1, 3))
        for a, i in enumerate(members):
            for b, j in enumerate(members):
                if (i != j and nearest[a, b] < _CLEARANCE and j not in siblings[i]
                        and j not in successors[i] and i not in successors[j]):
                    rows[i].append(j)
    return rows


def _spread(track: np.ndarray) -> np.ndarray:
    at = np.linspace(0, len(track) - 1, _POINTS)
    return np.stack([np.interp(at, np.arange(len(track)), track[:, axis]) for axis in (0, 1)],
                    axis=1)


def _siblings(successors: list[list[int]]) -> list[list[int]]:
    rows: list[set[int]] = [set() for _ in successors]
    for row in successors:
        for i in row:
            rows[i] |= set(row) - {i}
    return [sorted(row) for row in rows]


def _shared(track: np.ndarray, other: np.ndarray, gap: float) -> float:
    """Return how far along ``other`` a car on it still stands in the way of ``track``."""
    apart = np.hypot(track[:, None, 0] - other[None, :, 0],
                     track[:, None, 1] - other[None, :, 1]).min(axis=0)
    free = np.flatnonzero(apart > _CLEARANCE)
    return float(gap * (free[0] if len(free) else len(other) - 1))


def _rows(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    first = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    return first, np.array([item for row in rows for item in row], dtype=np.int64)
