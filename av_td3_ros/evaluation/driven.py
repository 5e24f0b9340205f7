# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the recorded driver did: comfort, route, lane, collisions and distances."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from av_td3_ros.evaluation.metrics import spread, stretches
from av_td3_ros.evaluation.recording import Recording

BOUNDS: dict[str, tuple[float, float]] = {
    'longitudinal_acceleration': (-4.05, 2.40),
    'lateral_acceleration': (-4.89, 4.89),
    'jerk': (0.0, 8.37),
    'longitudinal_jerk': (-4.13, 4.13),
    'yaw_rate': (-0.95, 0.95),
    'yaw_acceleration': (-1.93, 1.93),
}
"""Bounds of a comfortable ride, m/s^2, m/s^3, rad/s, rad/s^2: those of nuPlan's metric "ego is
comfortable" (Motional, nuplan-devkit), taken from how experts drove."""

_WINDOW = 0.75           # s, over which motion is smoothed before it is differentiated
_JUMP = 2.0              # m further in a step than the speed explains: the car was put elsewhere
_HIT = 1_000_000_000     # ns, within which events with one actor are one collision
_TEN_METRES = 10.0


def comfort(stamps: np.ndarray, states: np.ndarray) -> dict[str, Any]:
    """
    Return the comfort of a drive: each quantity's extremes and the share of time in its bounds.

    stamps: (N,) ns. states: (N, 6) x, y, yaw, forward and left velocity, yaw rate. Longitudinal
    acceleration is the derivative of the forward speed, lateral is speed times yaw rate; each
    derivative is that of a parabola fitted over 0.75 s (Savitzky and Golay 1964).
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in BOUNDS}
    for part in _parts(stamps, states):
        motion = _motion(stamps[part], states[part])
        for name, values in motion.items():
            found[name].append(values)
    result: dict[str, Any] = {}
    for name, (low, high) in BOUNDS.items():
        values = np.concatenate(found[name]) if found[name] else np.zeros(0)
        result[name] = {
            'least': float(values.min()) if len(values) else None,
            'most': float(values.max()) if len(values) else None,
            'bounds': [low, high],
            'share_within': float(((values >= low) & (values <= high)).mean())
            if len(values) else None}
    shares = [figures['share_within'] for figures in result.values()]
    result['comfortable'] = None if None in shares else all(share == 1.0 for share in shares)
    return result


def _parts(stamps: np.ndarray, states: np.ndarray) -> list[slice]:
    """Return the stretches in which the car moved by itself."""
    parts = []
    for part in stretches(stamps):
        place = states[part]
        moved = np.hypot(*np.diff(place[:, :2], axis=0).T)
        seconds = np.diff(stamps[part]) * 1e-9
        jumps = np.flatnonzero(moved > np.hypot(place[1:, 3], place[1:, 4]) * seconds * 2.0
                               + _JUMP) + 1
        for start, end in zip([0, *jumps], [*jumps, len(place)]):
            parts.append(slice(part.start + int(start), part.start + int(end)))
    return parts


def _motion(stamps: np.ndarray, states: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantities of :data:`BOUNDS` over a stretch; empty where it is too short."""
    seconds = (stamps - stamps[0]) * 1e-9
    if len(seconds) < 5:
        return {}
    dt = float(np.median(np.diff(seconds)))
    half = max(2, round(0.5 * _WINDOW / dt))
    if len(seconds) < 2 * half + 1 or dt <= 0.0:
        return {}
    # On an even grid the fit is one convolution.
    grid = np.arange(seconds[0], seconds[-1] + 0.5 * dt, dt)
    speed, turn = (np.interp(grid, seconds, states[:, column]) for column in (3, 5))
    if len(grid) < 2 * half + 1:
        return {}
    forward = _derivative(speed, half, dt)
    smooth_speed, smooth_turn = _smooth(speed, half), _smooth(turn, half)
    lateral = smooth_speed * smooth_turn
    longitudinal_jerk, lateral_jerk = (_derivative(values, half, dt)
                                       for values in (forward, lateral))
    return {'longitudinal_acceleration': forward, 'lateral_acceleration': lateral,
            'jerk': np.hypot(longitudinal_jerk, lateral_jerk),
            'longitudinal_jerk': longitudinal_jerk, 'yaw_rate': smooth_turn,
            'yaw_acceleration': _derivative(turn, half, dt)}


def _derivative(values: np.ndarray, half: int, dt: float) -> np.ndarray:
    """Return the slope of the local parabola; at the ends, that of the nearest whole window."""
    steps = np.arange(-half, half + 1)
    if len(values) < len(steps):
        return np.zeros(0)
    slopes = np.convolve(values, -steps / (steps @ steps) / dt, mode='valid')
    return slopes


def _smooth(values: np.ndarray, half: int) -> np.ndarray:
    steps = np.arange(-half, half + 1, dtype=float)
    design = np.stack([np.ones_like(steps), steps, steps * steps], axis=1)
    weights = np.linalg.pinv(design)[0]
    return np.convolve(values, weights[::-1], mode='valid')


def driven(recording: Recording) -> dict[str, Any]:
    """Return what the recorded driver did."""
    used = recording.frames[recording.used]
    moving = _parts(recording.stamps, recording.states)
    seconds = float(sum((recording.stamps[part][-1] - recording.stamps[part][0]) * 1e-9
                        for part in moving if part.stop > part.start))
    metres = float(sum(np.hypot(*np.diff(recording.states[part][:, :2], axis=0).T).sum()
                       for part in moving))
    speed = np.hypot(recording.states[:, 3], recording.states[:, 4])
    ttc = recording.time_to_collision
    near = ttc[np.isfinite(ttc)]
    hits = collisions(recording)
    markings = Counter(kind for _, crossed in recording.lane_invasions for kind in crossed)
    return {
        'seconds': seconds, 'metres': metres,
        'speed': {'mean': float(speed.mean()) if len(speed) else None,
                  'most': float(speed.max()) if len(speed) else None},
        'routes': route_completion(recording),
        'lateral_error': spread(np.abs(used['lateral'])),
        'heading_error': spread(np.abs(used['heading'])),
        'collisions': len(hits), 'collision_events': len(recording.collisions),
        'lane_invasions': {'events': len(recording.lane_invasions), 'by_marking': {
            str(kind): markings[kind] for kind in sorted(markings)}},
        'time_to_collision': {
            'observed': len(ttc), 'least': float(near.min()) if len(near) else None,
            'share_below_1_5_s': float((ttc < 1.5).mean()) if len(ttc) else None},
        'comfort': comfort(recording.stamps, recording.states)}


def route_completion(recording: Recording) -> list[dict[str, Any]]:
    """Return, for each route that was driven, its length and the share of it that was reached."""
    used = recording.frames[recording.used]
    found = []
    for number, route in enumerate(recording.routes):
        along = used['distance'][used['route'] == number]
        if len(along):
            # The driver takes a route as done 3 m before its end, and drives no further.
            reached = min((float(along.max()) + 4.0) / route.length, 1.0)
            done = reached >= 1.0 or route.length - float(along.max()) < 4.0
            found.append({'length': route.length,
                          'completion': 1.0 if done else float(along.max()) / route.length})
    return found


def collisions(recording: Recording) -> list[tuple[int, int]]:
    """Return time and other actor of each hit: the bridge tells one hit several times."""
    hits: list[tuple[int, int]] = []
    last: dict[int, int] = {}
    for time, other, _ in recording.collisions:
        if other not in last or time - last[other] > _HIT:
            hits.append((time, other))
        last[other] = time
    return hits
