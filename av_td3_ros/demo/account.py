# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demonstration's accounts: figures phase by phase, and the summary of them all."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Mapping, Sequence

from av_td3_ros.demo.figures import Drive, LatencyMeter, percentiles_ms, RouteMeter


class UpdateCounter:
    """
    Counts the updates that were made, across a training node that is killed and loaded again.

    What the training node tells is the iteration, which goes back with a load.
    """

    def __init__(self, iteration: int) -> None:
        self._base: int | None = iteration
        self._before = 0
        self._latest = iteration

    def take(self, iteration: int) -> None:
        """Take the iteration that the training node tells."""
        if self._base is not None and iteration >= self._base:
            self._latest = iteration

    def lose(self) -> None:
        """Stop counting until a load: the training node is gone, the next one begins at 0."""
        self._before, self._base = self.total, None

    def resume(self, iteration: int) -> None:
        """Count on from the iteration that a training node has loaded."""
        self._base = self._latest = iteration

    @property
    def total(self) -> int:
        """Return the updates made so far, in all."""
        return self._before + (0 if self._base is None else self._latest - self._base)


@dataclasses.dataclass(frozen=True)
class _Mark:
    name: str
    time: float
    samples: int
    ticks: int
    updates: int


class Account:
    """Collects what each phase brought; ``ticks`` are those of the simulator so far."""

    def __init__(self, latency: LatencyMeter, updates: UpdateCounter) -> None:
        self._latency, self.updates = latency, updates
        self._mark: _Mark | None = None
        self._samples_begin: int | None = None
        self._drive = Drive()
        self.phases: list[dict[str, Any]] = []

    def begin(self, name: str, ticks: int) -> None:
        """Open a phase."""
        samples = len(self._latency.samples)
        if self._samples_begin is None:
            self._samples_begin = samples
        self._mark = _Mark(name, time.monotonic(), samples, ticks, self.updates.total)

    def end(self, drive: Drive, ticks: int, completion: float | None) -> None:
        """Close the phase that is open, if one is, with what was driven in it."""
        mark, self._mark = self._mark, None
        if mark is None:
            return
        seconds = time.monotonic() - mark.time
        self._drive = self._drive + drive
        self.phases.append({
            'name': mark.name, 'route_completion': _rounded(completion), **drive.as_dict(),
            **_latencies(self._latency.samples[mark.samples:]),
            'updates': self.updates.total - mark.updates,
            'steps_per_second': round((ticks - mark.ticks) / max(seconds, 1e-9), 1),
            'wall_s': round(seconds, 2)})

    def summary(self, meters: Sequence[RouteMeter]) -> dict[str, Any]:
        """Return the figures of all phases together, then of each route and each phase."""
        lengths = [meter.route.length for meter in meters]
        completion = sum(meter.completion * length for meter, length in zip(meters, lengths)) \
            / sum(lengths) if lengths else 0.0
        begin = len(self._latency.samples) if self._samples_begin is None else self._samples_begin
        return {
            'route_completion': _rounded(completion), **self._drive.as_dict(),
            **_latencies(self._latency.samples[begin:]), 'updates': self.updates.total,
            'routes': [{'length_m': round(length, 1), 'completion': _rounded(meter.completion),
                        'arrived': meter.arrived} for meter, length in zip(meters, lengths)],
            'phases': self.phases}


def _latencies(samples: Sequence[float]) -> Mapping[str, float | int | None]:
    found = percentiles_ms(samples)
    return {'control_latency_p50_ms': found['p50_ms'], 'control_latency_p99_ms': found['p99_ms'],
            'commands': found['samples']}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
