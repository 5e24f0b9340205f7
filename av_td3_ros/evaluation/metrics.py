# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far a policy's commands are from the recorded driver's, and how smooth they are.

These are open-loop figures: the policy answers pictures of a drive that it had no part in. They
say nothing of where its own driving would have led; see docs/evaluation.md.
"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

CHANNELS = ('steer', 'drive')
SPEED_BINS = (0.0, 2.0, 5.0, 8.0, 12.0, 20.0, np.inf)
CURVATURE_BINS = (0.0, 0.01, 0.03, 0.1, np.inf)
SHIFTS = range(-10, 11)
GAP = 500_000_000
"""ns between two pictures that ends a stretch: no difference is taken across it."""

_REVERSAL = 0.02      # of full steering; see SAE J2944 on reversal rates


def stretches(stamps: np.ndarray, gap: int = GAP) -> Iterator[slice]:
    """Yield the slices of stamps, ns, that follow each other without a gap or a step back."""
    if not len(stamps):
        return
    steps = np.diff(stamps)
    ends = np.flatnonzero((steps <= 0) | (steps > gap)) + 1
    for start, end in zip([0, *ends], [*ends, len(stamps)]):
        yield slice(int(start), int(end))


def spread(values: np.ndarray) -> dict[str, Any]:
    """Return number, mean, 95th percentile and largest of some magnitudes."""
    if not len(values):
        return {'count': 0, 'mean': None, 'p95': None, 'worst': None}
    return {'count': len(values), 'mean': float(values.mean()),
            'p95': float(np.percentile(values, 95)), 'worst': float(values.max())}


def binned(values: np.ndarray, by: np.ndarray, edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """Return :func:`spread` for each bin of another quantity; the lower edge belongs to it."""
    found = []
    for low, high in zip(edges, edges[1:]):
        inside = (by >= low) & (by < high)
        found.append({'from': low, 'to': None if np.isinf(high) else high,
                      **spread(values[inside])})
    return found


def action_error(actions: np.ndarray, driver: np.ndarray, speed: np.ndarray,
                 curvature: np.ndarray, stamps: np.ndarray) -> dict[str, Any] | None:
    """
    Compare commands (N, 2) with the driver's (N, 2), NaN where there is none.

    speed in m/s, curvature of the route in 1/m, stamps in ns. None where there is nothing to
    compare. ``bias`` is signed: positive steers more to the right, gives more throttle or less
    brake than the driver.
    """
    there = np.isfinite(actions).all(axis=1) & np.isfinite(driver).all(axis=1)
    if not there.any():
        return None
    result: dict[str, Any] = {'frames': int(there.sum())}
    for channel, name in enumerate(CHANNELS):
        signed = actions[there, channel] - driver[there, channel]
        size = np.abs(signed)
        result[name] = {
            **spread(size), 'bias': float(signed.mean()),
            'by_speed': binned(size, speed[there], SPEED_BINS),
            'by_curvature': binned(size, np.abs(curvature[there]), CURVATURE_BINS),
            'time_shift': time_shift(actions[:, channel], driver[:, channel], stamps)}
    return result


def time_shift(actions: np.ndarray, driver: np.ndarray, stamps: np.ndarray) -> dict[str, Any]:
    """
    Find by how much the commands come earlier or later than the driver's, (N,) each.

    For each shift of k pictures, the mean of abs(actions[i] - driver[i + k]) over what all shifts
    can be taken of. A best shift below 0 means that the policy does now what the driver did
    before: it is late.
    """
    reach = max(SHIFTS)
    sums, count = np.zeros(len(SHIFTS)), 0
    for part in stretches(stamps):
        own, other = actions[part], driver[part]
        if len(own) <= 2 * reach:
            continue
        middle = own[reach:-reach]
        shifted = np.stack([other[reach + k:len(other) - reach + k] for k in SHIFTS])
        whole = np.isfinite(middle) & np.isfinite(shifted).all(axis=0)
        sums += np.abs(middle - shifted)[:, whole].sum(axis=1)
        count += int(whole.sum())
    if not count:
        return {'best_pictures': None, 'best_mean': None, 'means': None}
    means: list[float] = (sums / count).tolist()
    # Of equal ones the one nearest to no shift.
    best = min(range(len(SHIFTS)), key=lambda k: (round(means[k], 9), abs(SHIFTS[k])))
    return {'best_pictures': SHIFTS[best], 'best_mean': means[best], 'means': means}


def smoothness(actions: np.ndarray, stamps: np.ndarray) -> dict[str, Any]:
    """
    Return how busy commands (N, 2) are.

    ``rate``: mean magnitude of change in a second. ``steer_reversals``: turns of the steering by
    at least 0.02 of its range in the other direction, a minute (after SAE J2944). ``switches``:
    changes between throttle and brake, a minute.
    """
    change, seconds, reversals, switches = np.zeros(2), 0.0, 0, 0
    for part in stretches(stamps):
        own = actions[part]
        whole = np.isfinite(own).all(axis=1)
        own, when = own[whole], stamps[part][whole]
        if len(own) < 2:
            continue
        change += np.abs(np.diff(own, axis=0)).sum(axis=0)
        seconds += (when[-1] - when[0]) * 1e-9
        reversals += _reversals(own[:, 0])
        signs = np.sign(own[:, 1])
        signs = signs[signs != 0]
        switches += int((np.diff(signs) != 0).sum())
    if seconds <= 0.0:
        return {'steer_rate': None, 'drive_rate': None, 'steer_reversals': None,
                'switches': None}
    return {'steer_rate': float(change[0] / seconds), 'drive_rate': float(change[1] / seconds),
            'steer_reversals': 60.0 * reversals / seconds, 'switches': 60.0 * switches / seconds}


def _reversals(steer: np.ndarray) -> int:
    """Count the turning points between which the steering moved by a reversal's size."""
    count, direction, extreme = 0, 0, steer[0]
    for value in steer:
        moved = value - extreme
        if direction == 0:
            if abs(moved) >= _REVERSAL:
                direction, extreme = (1 if moved > 0 else -1), value
        elif moved * direction > 0:
            extreme = value
        elif -moved * direction >= _REVERSAL:
            count, direction, extreme = count + 1, -direction, value
    return count


def worst_moments(error: np.ndarray, stamps: np.ndarray, count: int = 20,
                  apart: int = 1_000_000_000) -> list[int]:
    """
    Return the pictures of the largest errors, the worst first, at least ``apart`` ns apart.

    error: (N,), NaN where there is none. Stretches are apart whatever their stamps say.
    """
    part_of = np.zeros(len(stamps), int)
    for number, part in enumerate(stretches(stamps)):
        part_of[part] = number
    chosen: list[int] = []
    for index in np.argsort(-np.nan_to_num(error, nan=-1.0), kind='stable').tolist():
        if not np.isfinite(error[index]) or len(chosen) == count:
            break
        if all(part_of[index] != part_of[other] or abs(int(stamps[index] - stamps[other])) >= apart
               for other in chosen):
            chosen.append(index)
    return chosen
