# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From recordings to the result: everything that ``result.json`` says, and nothing that varies.

The same bags and checkpoints give the same bytes, whatever the storage and whoever asks: no path,
no time of day and no duration is in it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Sequence

import numpy as np

from av_td3_ros.evaluation.comparison import compare, policy_differences
from av_td3_ros.evaluation.driven import collisions, driven, route_completion
from av_td3_ros.evaluation.driving_score import COEFFICIENTS, driving_score
from av_td3_ros.evaluation.metrics import (action_error, CHANNELS, smoothness, stretches,
                                           worst_moments)
from av_td3_ros.evaluation.recording import Recording

LABELS = 'ABCDEFGH'
FORMAT = 1
DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Judged:
    """A policy as the result names it: the SHA-256 of its file, and the updates behind it."""

    sha256: str
    iteration: int


@dataclasses.dataclass(frozen=True)
class BagFacts:
    """What is known of a bag beside its recording: topics by kind, pairing, what is lost."""

    topics: dict[str, str]
    pairing: str
    losses: tuple[str, ...]
    route: str


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The used pictures of all bags, one after the other; ``number`` is each one's in its bag."""

    bag: np.ndarray
    number: np.ndarray
    frames: np.ndarray
    actions: np.ndarray
    driver: np.ndarray

    @property
    def parts(self) -> list[slice]:
        """Return the stretches without a gap, none across two bags."""
        found = []
        for bag in range(int(self.bag.max(initial=-1)) + 1):
            start, end = np.searchsorted(self.bag, [bag, bag + 1])
            found += [slice(int(start) + part.start, int(start) + part.stop)
                      for part in stretches(self.frames['stamp'][start:end])]
        return found

    @property
    def clock(self) -> np.ndarray:
        """Return stamps in ns that go on from stretch to stretch with gaps between them, (N,)."""
        clock, last = np.zeros(len(self.frames), np.int64), 0
        for part in self.parts:
            own = self.frames['stamp'][part]
            clock[part] = own - own[0] + last
            last = int(clock[part.stop - 1]) + 10_000_000_000
        return clock


def pool(recordings: Sequence[Recording]) -> Pooled:
    """Return the used pictures of all bags together."""
    numbers = [np.flatnonzero(recording.used) for recording in recordings]
    return Pooled(
        np.concatenate([np.full(len(own), bag) for bag, own in enumerate(numbers)]),
        np.concatenate(numbers),
        np.concatenate([r.frames[own] for r, own in zip(recordings, numbers)]),
        np.concatenate([r.actions[own] for r, own in zip(recordings, numbers)]),
        np.concatenate([r.driver[own] for r, own in zip(recordings, numbers)]))


def error_of(pooled: Pooled, policy: int) -> np.ndarray:
    """Return each picture's error, (N,): of steering, and half as much of throttle and brake."""
    return np.abs(pooled.actions[:, policy] - pooled.driver) @ np.array([1.0, 0.5])


def judge(recordings: Sequence[Recording], facts: Sequence[BagFacts], judged: Sequence[Judged],
          *, closed_loop: bool = False) -> dict[str, Any]:
    """Return the whole result of some bags and one or two policies."""
    pooled = pool(recordings)
    frames, clock = pooled.frames, pooled.clock
    result: dict[str, Any] = {
        'format': FORMAT,
        'checkpoints': {LABELS[n]: dataclasses.asdict(one) for n, one in enumerate(judged)},
        'pictures': {'in_bags': sum(r.count for r in recordings), 'used': len(frames)},
        'bags': [_bag(recording, fact) for recording, fact in zip(recordings, facts)],
        'open_loop': {}, 'worst_moments': {}}
    for policy in range(len(judged)):
        own = pooled.actions[:, policy]
        result['open_loop'][LABELS[policy]] = {
            'action_error': action_error(own, pooled.driver, frames['speed'],
                                         frames['curvature'], clock),
            'smoothness': smoothness(own, clock)}
        result['worst_moments'][LABELS[policy]] = [
            _moment(pooled, policy, index)
            for index in worst_moments(error_of(pooled, policy), clock)]
    result['driver'] = {'smoothness': smoothness(pooled.driver, clock)}
    result['comparison'] = _comparison(pooled, len(judged))
    if closed_loop:
        result['closed_loop'] = _closed_loop(recordings)
    return result


def _bag(recording: Recording, fact: BagFacts) -> dict[str, Any]:
    account = recording.account
    used = account.pop('used', 0)
    return {'images': {'in_bag': recording.count, 'used': used, 'skipped': account},
            'topics': fact.topics, 'pairing': fact.pairing, 'route': fact.route,
            'recorded_driver': recording.driver_source or None,
            'losses': [*fact.losses, *recording.notes], 'driven': driven(recording)}


def _moment(pooled: Pooled, policy: int, index: int) -> dict[str, Any]:
    row = pooled.frames[index]
    return {'bag': int(pooled.bag[index]), 'image': int(pooled.number[index]),
            'stamp': int(row['stamp']), 'error': float(error_of(pooled, policy)[index]),
            'action': dict(zip(CHANNELS, pooled.actions[index, policy].tolist())),
            'driver': dict(zip(CHANNELS, pooled.driver[index].tolist())),
            'speed': float(row['speed']), 'curvature': float(row['curvature']),
            'x': float(row['x']), 'y': float(row['y'])}


def _comparison(pooled: Pooled, policies: int) -> dict[str, Any]:
    """Compare the first policy with the second, or with the recorded driver."""
    if policies > 1:
        differences = policy_differences(pooled.actions[:, 0], pooled.actions[:, 1],
                                         pooled.driver)
        return {'of': 'A', 'with': 'B', **compare(differences, pooled.parts)}
    if not np.isfinite(pooled.driver).any():
        return {'of': 'A', 'with': None, 'different': None, 'quantities': {},
                'reason': 'no second checkpoint was given and no driver is recorded'}
    nobody = np.full_like(pooled.driver, np.nan)
    differences = policy_differences(pooled.actions[:, 0], pooled.driver, nobody)
    return {'of': 'A', 'with': 'the recorded driver', **compare(differences, pooled.parts)}


def _closed_loop(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Score the recorded drives, which were driven by what is to be judged."""
    routes: list[dict[str, Any]] = []
    for bag, recording in enumerate(recordings):
        used = recording.frames[recording.used]
        counts: dict[int, dict[str, int]] = {}
        for time, other in collisions(recording):
            after = int(np.searchsorted(used['time'], time))
            if not len(used):
                continue
            kind = ('collision_static' if other == 0 else 'collision_pedestrian'
                    if other in recording.pedestrians else 'collision_vehicle')
            own = counts.setdefault(int(used['route'][min(after, len(used) - 1)]), {})
            own[kind] = own.get(kind, 0) + 1
        for number, done in zip(sorted(set(used['route'].tolist())), route_completion(recording)):
            infractions = counts.get(number, {})
            routes.append({'bag': bag, **done, 'infractions': infractions, 'driving_score': {
                version: driving_score(version, done['completion'], infractions)
                for version in COEFFICIENTS}})
    return {
        'routes': routes,
        'driving_score': {version: float(np.mean(
            [route['driving_score'][version] for route in routes])) if routes else None
            for version in COEFFICIENTS},
        'not_observed': ['red_light', 'stop_sign', 'scenario_timeout', 'minimum_speed',
                         'yield_emergency', 'off_road']}


def tidy(value: Any) -> Any:
    """Return plain values for JSON: floats rounded to 6 decimals, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): tidy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    return round(number, DIGITS) + 0.0 if math.isfinite(number) else None


def as_json(result: dict[str, Any]) -> str:
    """Return a result as text, the same for the same result."""
    return json.dumps(tidy(result), indent=1, sort_keys=True, ensure_ascii=False) + '\n'
