# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Final and best figures of groups of runs, with their intervals over seeds."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from av_td3_ros.training.comparison.runs import Group, Run
from av_td3_ros.training.comparison.seeds import Figure, figure

_LONG = 32


@dataclasses.dataclass(frozen=True)
class Row:
    """
    One tag of one group.

    ``final`` is over the runs' last evaluations; of a tag that is no evaluation's, over the means
    of the last tenth of their transitions. ``best`` is over the values in the evaluation that made
    each run's best policy, None for a tag that no evaluation gives. ``transitions`` and
    ``minutes`` are how far the runs came, least and greatest.
    """

    group: str
    tag: str
    final: Figure
    best: Figure | None
    transitions: tuple[int, int]
    minutes: tuple[float, float]


def rows(groups: Sequence[Group], tags: Sequence[str]) -> list[Row]:
    """Return a row for every tag of every group."""
    return [_row(group, tag) for tag in tags for group in groups]


def _row(group: Group, tag: str) -> Row:
    final = [final_value(run, tag) for run in group.runs]
    best = [value for run in group.runs if (value := best_value(run, tag)) is not None]
    ends = [max(int(series.steps[-1]) for series in run.series.values()) for run in group.runs]
    minutes = [float(run.minutes(np.array([end]))[0])
               for run, end in zip(group.runs, ends)]
    return Row(group.label, tag, figure(final),
               figure(best) if len(best) == len(group.runs) else None,
               (min(ends), max(ends)), (round(min(minutes), 2), round(max(minutes), 2)))


def final_value(run: Run, tag: str) -> float:
    """Return where a run's series ended."""
    series = run.series[tag]
    if tag.startswith('evaluation/'):
        return float(series.values[-1])
    return float(np.nanmean(series.values[series.steps >= 0.9 * series.steps[-1]]))


def best_value(run: Run, tag: str) -> float | None:
    """Return the tag's value in the run's best evaluation, None where it has none there."""
    step, series = run.best, run.series[tag]
    if step is None or not tag.startswith('evaluation/'):
        return None
    found = series.values[series.steps == step]
    return float(found[0]) if len(found) else None


def text(found: Sequence[Row]) -> str:
    """Return the rows as aligned text; groups of long names are named below it."""
    groups = list(dict.fromkeys(row.group for row in found))
    names = {group: group for group in groups}
    if max(map(len, groups)) > _LONG:
        names = {group: f'({number})' for number, group in enumerate(groups, start=1)}
    lines = [('group', 'seeds', 'tag', 'final', '[least, greatest]', 'at best evaluation',
              '[least, greatest]', 'transitions', 'min')]
    for row in found:
        lines.append((names[row.group], str(row.final.count), row.tag, *_cells(row.final),
                      *_cells(row.best), _span(*row.transitions, '.0f'),
                      _span(*row.minutes, '.1f')))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = ['  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
             for line in lines]
    return '\n'.join(shown + [f'{name} {group}' for group, name in names.items()
                              if name != group])


def _cells(found: Figure | None) -> tuple[str, str]:
    if found is None:
        return '-', ''
    mean = f'{found.mean:.4g}' + ('' if found.interval is None else f' +- {found.interval:.2g}')
    return mean, f'[{found.low:.4g}, {found.high:.4g}]' if found.count > 1 else ''


def _span(low: float, high: float, form: str) -> str:
    first, last = f'{low:{form}}', f'{high:{form}}'
    return first if first == last else f'{first}-{last}'


def write(found: Sequence[Row], groups: Sequence[Group], folder: Path) -> None:
    """Write ``figures.csv``, a row for each group and tag, and ``figures.json`` with every run."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [field.name for field in dataclasses.fields(Figure)]
    with open(folder / 'figures.csv', 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['group', 'tag', *(f'final_{part}' for part in parts),
                         *(f'best_{part}' for part in parts), 'least_transitions',
                         'greatest_transitions', 'least_minutes', 'greatest_minutes'])
        for row in found:
            best = [''] * len(parts) if row.best is None else dataclasses.astuple(row.best)
            writer.writerow([row.group, row.tag, *dataclasses.astuple(row.final), *best,
                             *row.transitions, *row.minutes])
    tags = list(dict.fromkeys(row.tag for row in found))
    content = {'rows': [dataclasses.asdict(row) for row in found],
               'groups': [{'label': group.label, 'runs': [_run(run, tags) for run in group.runs]}
                          for group in groups]}
    (folder / 'figures.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def _run(run: Run, tags: Sequence[str]) -> dict[str, Any]:
    return {'folder': str(run.folder), 'seed': run.seed, 'best_at': run.best,
            'final': {tag: final_value(run, tag) for tag in tags},
            'best': {tag: best_value(run, tag) for tag in tags}}
