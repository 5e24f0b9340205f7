# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of a finished episode, by the tags that they have in event files."""

from __future__ import annotations

from typing import Any, Mapping

from av_td3_ros.driving.reward import TERMS

_FIGURES = ('return', 'completion', 'steps', 'duration', 'mean_speed')


def episode_figures(record: Mapping[str, Any], room: str = 'episode') -> dict[str, float]:
    """
    Return the figures of an episode, from the record of it.

    ``record`` holds ``ending`` and what is known of: ``return``, ``completion`` in [0, 1],
    ``steps``, ``duration`` in s, ``mean_speed`` in m/s, ``left_road`` (a wheel was off the road at
    some time; where it is not there, any ``edge``, which begins ``episode.edge_margin`` before
    that, counts), and the sum of each reward term, by its name. Its ``ROOM/success`` is 1 for an
    arrival by road alone; ``terms/`` stands before the terms, in their SI units, ``ROOM_terms/``
    where the room is another one.
    """
    ending = str(getattr(record['ending'], 'value', record['ending']))
    left = ending == 'off_road' or bool(
        record.get('left_road', float(record.get('edge', 0.0)) > 0.0))
    figures = {f'{room}/{name}': float(record[name]) for name in _FIGURES if name in record}
    figures[f'{room}/success'] = float(ending == 'arrival' and not left)
    figures[f'{room}/collision'] = float(ending == 'collision')
    figures[f'{room}/off_road'] = float(left)
    terms = 'terms' if room == 'episode' else f'{room}_terms'
    figures.update({f'{terms}/{name}': float(record[name]) for name in TERMS if name in record})
    return figures


class EpisodeTally:
    """Adds up a record from a vehicle's transitions, where nothing else is known of it."""

    def __init__(self, stamp: int) -> None:
        """Begin with the ``stamp`` of the first observation, ns of simulation time."""
        self._begun = stamp
        self._speed: float | None = 0.0
        self._sums = {'return': 0.0, 'steps': 0.0, **dict.fromkeys(TERMS, 0.0)}

    def add(self, reward: float, terms: Any, speed: float | None) -> None:
        """
        Add a transition.

        ``terms``: :class:`~av_td3_ros.driving.reward.RewardTerms`. ``speed``: m/s, None where it
        is not known.
        """
        self._speed = None if speed is None or self._speed is None else self._speed + speed
        self._sums['return'] += reward
        self._sums['steps'] += 1
        for name in TERMS:
            self._sums[name] += getattr(terms, name)

    def record(self, ending: Any, stamp: int) -> dict[str, Any]:
        """Return the record of the episode that ended at ``stamp``, ns of simulation time."""
        record = {**self._sums, 'ending': ending, 'duration': (stamp - self._begun) * 1e-9}
        if self._speed is not None and self._sums['steps']:
            record['mean_speed'] = self._speed / self._sums['steps']
        return record
