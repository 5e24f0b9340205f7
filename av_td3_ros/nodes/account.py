# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node has done and seen, in figures for ``/diagnostics``."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

import numpy as np

from av_td3_ros.driving.driver import Driver, EpisodeResult, Phase
from av_td3_ros.driving.safety.gate import GateState
from av_td3_ros.driving.safety.safety import Safety
from av_td3_ros.ros.diagnostics import ERROR, OK, Report, WARN

_BAD = ('missing', 'frozen', 'stale', 'drifting', 'stopped', 'backwards', 'jumped', 'braking')


class Account:
    """
    Counts, rates and times; figures about time are those since the report before.

    ``deadline``: wall time in s from a picture to its command beyond which a deadline is missed.
    """

    def __init__(self, deadline: float) -> None:
        self.counts = {'images': 0, 'commands': 0, 'rejected': 0, 'deadline_misses': 0}
        self.result: EpisodeResult | None = None
        self.held = ''      # why the vehicle is held although nothing is wrong
        self._deadline = deadline
        self._latency: list[float] = []
        self._inference: list[float] = []
        self._reported = time.monotonic()
        self._before = dict(self.counts)

    def commanded(self, latency: float | None) -> None:
        """Note a command, and what it took from its picture in s; None where none was awaited."""
        self.counts['commands'] += 1
        if latency is not None:
            self._latency.append(latency)
            self.counts['deadline_misses'] += latency > self._deadline

    def timed(self, act: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
        """Have the policy act, and note how long it took."""
        begun = time.perf_counter()
        action = act(*args)
        self._inference.append(time.perf_counter() - begun)
        return action

    def driving(self, driver: Driver, *, active: bool, others: Mapping[str, Any]) -> Report:
        """Report the drive."""
        values: dict[str, Any] = {'phase': driver.phase.value, 'episode': driver.episode,
                                  **self.counts, **others, **self._rates()}
        for name, times in (('latency', self._latency), ('inference', self._inference)):
            if times:
                p50, p99, most = np.percentile(times, [50, 99, 100]) * 1e3
                values.update({f'{name}_p50_ms': float(p50), f'{name}_p99_ms': float(p99),
                               f'{name}_max_ms': float(most)})
            times.clear()
        if self.result is not None:
            values.update(last_ending=self.result.ending.value,
                          last_completion=self.result.completion,
                          last_return=self.result.returned)
        if not active:
            return Report(WARN, 'inactive', values)
        if self.held:
            return Report(WARN, self.held, values)
        if driver.phase in (Phase.DRIVING, Phase.STARTING, Phase.ARRIVED):
            return Report(OK, driver.phase.value, values)
        return Report(WARN, driver.reason, values)

    def _rates(self) -> dict[str, float]:
        now = time.monotonic()
        elapsed = max(now - self._reported, 1e-3)
        rates = {f'{name[:-1]}_rate': (self.counts[name] - self._before[name]) / elapsed
                 for name in ('images', 'commands')}
        self._reported, self._before = now, dict(self.counts)
        return rates


def report_watchdogs(safety: Safety, *, active: bool) -> Report:
    """Report each watchdog's state, the age of what it watches, and how often it tripped."""
    dogs, now = safety.watchdogs, time.monotonic()
    values: dict[str, Any] = dict(dogs.states())
    for name, item in (('image', dogs.image), ('odometry', dogs.odometry),
                       ('clock', dogs.clock)):
        if item.stamp >= 0:
            values[f'{name}_age'] = now - item.at
    values.update({f'{name}_trips': count for name, count in sorted(dogs.trips.items())})
    if not active:
        return Report(OK, 'not watching', {})
    if safety.fault is None:
        return Report(OK, 'all is well', values)
    bad = [name for name, state in dogs.states().items() if state in _BAD]
    what = 'holding the brake' if safety.holding else 'stopping'
    return Report(ERROR, f'{what}: {safety.fault.reason}' if bad else
                  f'{what} until the inputs are good again', values)


def report_gate(safety: Safety, *, active: bool) -> Report:
    """Report the command gate."""
    gate = safety.gate
    values = {'state': gate.state.value, 'limited': gate.limited, 'refused': gate.refused}
    if active and gate.state is GateState.REFUSING:
        return Report(ERROR, 'the newest command was no command', values)
    return Report(OK, gate.state.value, values)
