# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs read from their folders, and grouped where they differ by their seed alone."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
import yaml

from av_td3_ros.learning.telemetry.event_file import available, MISSING
from av_td3_ros.settings import flatten

SEED = 'algorithm.seed'
SECONDS = 'progress/seconds'
CLOCKS = {'wall': SECONDS, 'processor': 'progress/cpu_seconds'}
SCORE = 'evaluation/score'
# What a run's settings say of the program rather than of the run.
_PASSED_OVER = ('version',)


class ComparisonError(ValueError):
    """Runs that cannot be compared; the message names what is wrong and the remedy."""


@dataclasses.dataclass(frozen=True)
class Series:
    """Values (N,) of one tag at rising numbers of transitions (N,), each of them once."""

    steps: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its folder, its settings by dotted name, and the series of each tag."""

    folder: Path
    settings: Mapping[str, Any]
    series: Mapping[str, Series]

    @property
    def seed(self) -> Any:
        """Return the seed, None where the settings name none."""
        return self.settings.get(SEED)

    def minutes(self, steps: np.ndarray, clock: str = 'wall') -> np.ndarray:
        """
        Return the time of training by one of :data:`CLOCKS`, min, at numbers of transitions.

        Time in which the run was stopped does not count. Between two steps at which the time was
        written it went evenly; before the first one, since the beginning.
        """
        told = self.series[CLOCKS[clock]]
        return np.interp(steps, np.append(0, told.steps), np.append(0.0, told.values)) / 60.0

    @property
    def best(self) -> int | None:
        """Return the step of the evaluation with the highest score: that of the kept policy."""
        score = self.series.get(SCORE)
        return None if score is None else int(score.steps[np.nanargmax(score.values)])


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of the same settings but for the seed."""

    label: str
    runs: tuple[Run, ...]


def read_run(folder: Path) -> Run:
    """Read a run's settings and event files; raises :class:`ComparisonError`."""
    path = folder / 'settings.yaml'
    if not path.is_file():
        raise ComparisonError(f'{folder} is no run of train: it has no settings.yaml')
    try:
        settings = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ComparisonError(f'{path} cannot be read: {str(error).splitlines()[0]}') from None
    if not isinstance(settings, Mapping):
        raise ComparisonError(f'{path} holds no settings')
    series = read_series(folder / 'tensorboard')
    if SECONDS not in series:
        raise ComparisonError(f'the event files in {folder / "tensorboard"} do not tell the time '
                              f'of training ({SECONDS}): they are not from train')
    return Run(folder, flatten(settings), series)


def read_series(folder: Path) -> dict[str, Series]:
    """
    Return every scalar in a folder's event files, by tag.

    Where a run went back to a checkpoint, what it did before it, and past the checkpoint, is not
    there; of a step that was written twice all the same, the last value is.
    """
    if not available():
        raise ComparisonError(MISSING)
    if not any(folder.glob('*tfevents*')):
        raise ComparisonError(f'{folder} holds no event files: the run was started without '
                              'TensorBoard (pip install tensorboard)')
    # It logs through the root logger what is no concern here, such as a last record torn.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    logging.getLogger('tensorboard').setLevel(logging.ERROR)
    events = EventAccumulator(str(folder), size_guidance={'scalars': 0})
    events.Reload()
    found = {}
    for tag in events.Tags()['scalars']:
        points = {event.step: event.value for event in events.Scalars(tag)}
        steps = sorted(points)
        found[tag] = Series(np.array(steps, dtype=np.int64),
                            np.array([points[step] for step in steps], dtype=np.float64))
    if not found:
        raise ComparisonError(f'the event files in {folder} are empty: nothing was written yet')
    return found


def group_runs(runs: Sequence[Run], labels: Sequence[str] = ()) -> list[Group]:
    """
    Return the runs in groups that differ by more than the seed, in the order of their first runs.

    Without ``labels`` (one for each group) the groups are named by the settings that differ
    between them, or, a single one, by its folder. Raises :class:`ComparisonError` for another
    number of labels.
    """
    members: dict[tuple, list[Run]] = {}
    for run in runs:
        members.setdefault(_key(run.settings), []).append(run)
    groups = list(members.values())
    if labels and len(labels) != len(groups):
        raise ComparisonError(
            f'{len(labels)} labels do not fit {len(groups)} groups of runs: '
            + '; '.join(', '.join(str(run.folder) for run in group) for group in groups))
    if not labels:
        labels = _labels([group[0].settings for group in groups]) if len(groups) > 1 \
            else [_common_name([run.folder for run in groups[0]])]
    return [Group(label, tuple(group)) for label, group in zip(labels, groups)]


def _key(settings: Mapping[str, Any]) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in settings.items()
                        if name != SEED and name not in _PASSED_OVER))


def _labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    names = sorted({name for one in settings for name in one} - {SEED, *_PASSED_OVER})
    differ = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    # The last part of a name says enough where no other setting's name ends the same.
    ends = [name.rsplit('.', 1)[-1] for name in names]
    short = {name: end if ends.count(end) == 1 else name for name, end in zip(names, ends)}
    return [', '.join(f'{short[name]}={_text(one.get(name))}' for name in differ)
            for one in settings]


def _text(value: Any) -> str:
    return 'none' if value is None else str(value)


def _common_name(folders: Sequence[Path]) -> str:
    names = [folder.resolve().name for folder in folders]
    start = names[0]
    while not all(name.startswith(start) for name in names):
        start = start[:-1]
    return start.rstrip('-_. ') or 'runs'


def doubled_seeds(groups: Sequence[Group]) -> list[str]:
    """Return a sentence for each two runs of a group that have the same seed."""
    found = []
    for group in groups:
        first: dict[Any, Run] = {}
        for run in group.runs:
            other = first.setdefault(run.seed, run)
            if other is not run:
                found.append(f'{other.folder} and {run.folder} have the same settings and seed: '
                             'their spread says nothing')
    return found


def check_tags(runs: Sequence[Run], tags: Sequence[str]) -> None:
    """Raise :class:`ComparisonError` for a tag that some run, or none, has."""
    import difflib
    everything = sorted({tag for run in runs for tag in run.series})
    for tag in tags:
        lack = [run for run in runs if tag not in run.series]
        if len(lack) == len(runs):
            near = difflib.get_close_matches(tag, everything, n=3, cutoff=0.5)
            raise ComparisonError(f'no run has the tag {tag}'
                                  + (f'; there are {", ".join(near)}' if near else ''))
        if lack:
            has = next(run for run in runs if tag in run.series)
            raise ComparisonError(f'{has.folder} has the tag {tag}, but {lack[0].folder} has not; '
                                  'compare them without it, or choose others with --tag')
