# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a difference between two drivers of the same pictures is real.

Successive pictures are alike, so that their errors are not independent: whole blocks of time are
resampled (block bootstrap; Kuensch 1989, Carlstein 1986 for blocks that do not overlap). The
interval is a bootstrap-t (Efron and Tibshirani 1993, chapter 12.5), whose quantile is that of the
largest deviation over all quantities compared (Westfall and Young 1993): one claim among several
quantities is as rarely wrong as one claim alone.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np

RESAMPLES = 4000
LEVEL = 0.95
_FEWEST = 10        # blocks; with less, no claim is made
_MOST = 100         # blocks; more do not tell more
_LENGTHS = 4.0      # autocorrelation times in a block
_SHORT = 1.5        # from blocks on that are shorter by this, intervals are widened
_SMALLEST = 1e-12


def autocorrelation_time(parts: Sequence[np.ndarray]) -> float:
    """
    Return the integrated autocorrelation time of stretches (N,), in steps; 1 for white noise.

    The sum of autocorrelations is taken up to five times itself (Sokal 1997).
    """
    values = [part for part in parts if len(part) > 1]
    if not values:
        return 1.0
    mean = float(np.mean(np.concatenate(values)))
    longest = max(len(part) for part in values)
    products, counts = np.zeros(longest), np.zeros(longest)
    for part in values:
        size = 1 << (2 * len(part) - 1).bit_length()
        spectrum = np.fft.rfft(part - mean, size)
        products[:len(part)] += np.fft.irfft(spectrum * spectrum.conj(), size)[:len(part)]
        counts[:len(part)] += np.arange(len(part), 0, -1)
    if products[0] <= _SMALLEST * counts[0]:
        return 1.0
    correlation = products / counts / (products[0] / counts[0])
    times = 2.0 * np.cumsum(correlation) - 1.0
    enough = np.flatnonzero(np.arange(longest) >= 5.0 * times)
    return max(float(times[enough[0]] if len(enough) else times[longest // 5]), 1.0)


def block_means(values: np.ndarray, parts: Sequence[slice]) -> tuple[np.ndarray, int, float]:
    """
    Return the means of blocks of values (N, Q), their length, and how much too short they are.

    No block crosses a stretch. A block is at least four autocorrelation times long, of the
    quantity with the longest, but not so long that fewer than ten are left: the last of what is
    returned is then more than 1, what is wanted over what there is.
    """
    stretches = [values[part] for part in parts]
    longest = max((autocorrelation_time([part[:, column] for part in stretches])
                   for column in range(values.shape[1])), default=1.0)
    wanted = math.ceil(_LENGTHS * longest)
    length = max(1, min(max(wanted, len(values) // _MOST), len(values) // _FEWEST))
    # Short stretches are no whole number of blocks.
    while length > 1 and sum(len(part) // length for part in stretches) < _FEWEST:
        length -= 1
    blocks = []
    for part in stretches:
        count = len(part) // length
        if count:
            # What is left over is shared out: no picture is dropped.
            blocks += [piece.mean(axis=0) for piece in np.array_split(part, count)]
    return np.array(blocks).reshape(-1, values.shape[1]), length, max(1.0, wanted / length)


def compare(differences: Mapping[str, np.ndarray], parts: Sequence[slice], *,
            resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """
    Return whether the means of paired differences (N,) differ from zero.

    parts: slices of N that follow each other without a gap. Pictures where any difference is NaN
    are left out. The result has for each quantity its mean, the simultaneous 95 % interval and
    whether a difference is claimed; and ``different``, whether any is.
    """
    names = list(differences)
    values = np.stack([differences[name] for name in names], axis=1)
    whole = np.isfinite(values).all(axis=1)
    kept = np.concatenate([[0], np.cumsum(whole)])
    parts = [slice(int(kept[part.start]), int(kept[part.stop])) for part in parts]
    values = values[whole]
    result: dict[str, Any] = {'frames': len(values), 'level': LEVEL}
    blocks, length, short = block_means(values, parts) if len(values) else (values, 0, 1.0)
    result.update(block_length=length, blocks=len(blocks))
    if len(blocks) < _FEWEST:
        return {**result, 'different': None, 'quantities': {},
                'reason': f'{len(values)} pictures are too few to tell: they make {len(blocks)} '
                f'independent blocks, and {_FEWEST} are needed'}
    means = values.mean(axis=0)
    # Blocks that are much too short are alike: together they tell as much as fewer long ones.
    wider = math.sqrt(max(1.0, short / _SHORT))
    error = wider * blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks))
    quantile = _quantile(blocks, resamples, seed)
    quantities = {}
    for name, mean, own in zip(names, means.tolist(), error.tolist()):
        reach = quantile * own
        quantities[name] = {'mean': mean, 'interval': [mean - reach, mean + reach],
                            'different': bool(abs(mean) > max(reach, _SMALLEST))}
    return {**result, 'quantities': quantities,
            'different': any(found['different'] for found in quantities.values())}


def _quantile(blocks: np.ndarray, resamples: int, seed: int) -> float:
    """Return the quantile of the largest studentised deviation of resampled means."""
    varies = blocks.std(axis=0) > _SMALLEST
    if not varies.any():
        return 0.0
    blocks = blocks[:, varies]
    centred = blocks - blocks.mean(axis=0)
    rng = np.random.default_rng(seed)
    largest = np.empty(resamples)
    step = max(1, 2_000_000 // blocks.size)
    for start in range(0, resamples, step):
        drawn = centred[rng.integers(0, len(blocks), (min(step, resamples - start),
                                                      len(blocks)))]
        spread = drawn.std(axis=1, ddof=1) / math.sqrt(len(blocks))
        largest[start:start + step] = (np.abs(drawn.mean(axis=1))
                                       / np.maximum(spread, _SMALLEST)).max(axis=1)
    return float(np.quantile(largest, LEVEL))


def policy_differences(first: np.ndarray, second: np.ndarray, driver: np.ndarray
                       ) -> dict[str, np.ndarray]:
    """
    Return what two policies' commands (N, 2) are compared by.

    ``steer`` and ``drive`` are the first's commands less the second's; ``..._error`` are its
    distances from the driver's commands (N, 2) less the second's, where a driver is recorded.
    """
    found = {'steer': first[:, 0] - second[:, 0], 'drive': first[:, 1] - second[:, 1]}
    if np.isfinite(driver).all(axis=1).any():
        for channel, name in enumerate(('steer', 'drive')):
            found[f'{name}_error'] = (np.abs(first[:, channel] - driver[:, channel])
                                      - np.abs(second[:, channel] - driver[:, channel]))
    return found
