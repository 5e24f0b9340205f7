# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mean and spread over seeds: of curves, and of single figures."""

from __future__ import annotations

import dataclasses
import math
from typing import Sequence

import numpy as np

# Student's t at 97.5 % for 1, 2, ... 30 degrees of freedom; the normal distribution's beyond.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
      2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
      2.052, 2.048, 2.045, 2.042)
_GRID = 200
_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Figure:
    """
    A figure over seeds.

    ``interval`` is the half width of the 95 % interval of the mean (Student's t over the seeds),
    None for a single seed, which tells nothing of it.
    """

    mean: float
    interval: float | None
    low: float
    high: float
    count: int


def figure(values: Sequence[float]) -> Figure:
    """Return mean, interval and range of one value from each seed."""
    array = np.asarray(values, dtype=np.float64)
    count = len(array)
    interval = None
    if count > 1:
        t = _T[count - 2] if count - 2 < len(_T) else 1.96
        interval = t * float(array.std(ddof=1)) / math.sqrt(count)
    return Figure(float(array.mean()), interval, float(array.min()), float(array.max()), count)


@dataclasses.dataclass(frozen=True)
class Curve:
    """
    The mean of several curves and its band, (N,) each, where every one of them has values.

    Empty where they have no place in common.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_curve(curves: Sequence[tuple[np.ndarray, np.ndarray]], band: str = 'range',
               seed: int = 0) -> Curve:
    """
    Return the mean of curves (x, y) with rising x, and its band.

    Between its points a curve is a straight line; beyond its ends it is nowhere, so that the mean
    ends with the shortest of them. ``band``: 'range', from the least to the greatest; or
    'bootstrap', the 95 % interval of the mean by drawing seeds anew (``seed`` makes it
    repeatable).
    """
    first = max(float(x[0]) for x, _ in curves)
    last = min(float(x[-1]) for x, _ in curves)
    if first > last:
        return Curve(*(np.empty(0) for _ in range(4)))
    inside = np.unique(np.concatenate([x[(x >= first) & (x <= last)] for x, _ in curves]))
    grid = np.unique(np.concatenate([[first, last], inside])) if len(inside) <= _GRID \
        else np.linspace(first, last, _GRID)
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    if band == 'bootstrap':
        drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
        low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975), axis=0)
    else:
        low, high = values.min(axis=0), values.max(axis=0)
    return Curve(grid, values.mean(axis=0), low, high)


def smooth(x: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the means of ``y`` over equal spans of ``x``, where there are more than ``bins`` points.

    A mean stands at the mean place of its points; spans without a point are left out, and so are
    values that are not finite.
    """
    finite = np.isfinite(y)
    x, y = np.asarray(x, dtype=np.float64)[finite], y[finite]
    if len(x) <= bins:
        return x, y
    span = (x[-1] - x[0]) / bins
    number = np.minimum(((x - x[0]) / span).astype(np.int64), bins - 1)
    counts = np.bincount(number, minlength=bins)
    filled = counts > 0
    return (np.bincount(number, x, bins)[filled] / counts[filled],
            np.bincount(number, y, bins)[filled] / counts[filled])
