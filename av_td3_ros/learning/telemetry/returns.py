# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far the critic's estimates lie from the returns that were then observed.

The overestimation is what Fujimoto et al. (2018, figure 1) plot: the estimate of a visited state
and action, less the discounted return from there.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np


def observed_returns(rewards: Sequence[float] | np.ndarray, discount: float,
                     beyond: float = 0.0) -> np.ndarray:
    """
    Return the discounted return from each step of an episode on, (T,) float64.

    ``rewards`` (T,) are those of single steps, and ``discount`` is that of a single step: an agent
    that learns from n-step returns estimates the same quantity. ``beyond`` is the value of the
    state after the last step: 0 where the episode terminated; where it was cut off (truncated),
    the rewards to come that nobody observed, for which only an estimate can stand. It counts for
    ``discount ** (T - t)`` at step t.
    """
    returns = np.asarray(rewards, dtype=np.float64).copy()
    following = float(beyond)
    for step in range(len(returns) - 1, -1, -1):
        returns[step] += discount * following
        following = returns[step]
    return returns


def overestimation(q1: np.ndarray, q2: np.ndarray, returns: np.ndarray) -> dict[str, float]:
    """
    Return the figures of twin estimates (N,) against the returns (N,) that followed them.

    ``q1``: mean of the first estimate, which the policy climbs. ``q_min``: mean of the smaller of
    the two, which the targets are made of. ``return``: mean of the returns. ``overestimation`` and
    ``overestimation_min``: mean of either estimate less the return. ``error``: root of the mean
    squared difference of the first estimate.
    """
    smaller = np.minimum(q1, q2)
    return {'q1': float(q1.mean()), 'q_min': float(smaller.mean()),
            'return': float(returns.mean()),
            'overestimation': float((q1 - returns).mean()),
            'overestimation_min': float((smaller - returns).mean()),
            'error': float(np.sqrt(np.square(q1 - returns).mean()))}


def spread(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` of the indices 0 ... count - 1, evenly spread, ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
