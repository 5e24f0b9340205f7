# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning curves as a picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path
import textwrap
from typing import Any, Sequence

import numpy as np

from av_td3_ros.training.comparison.runs import ComparisonError, Group, Run
from av_td3_ros.training.comparison.seeds import mean_curve, smooth

MISSING = 'curves need Matplotlib: pip install matplotlib, or use --no-plot'
BANDS = {'range': 'band: least to greatest of the seeds',
         'bootstrap': 'band: 95 % interval of the mean (bootstrap over the seeds)'}

_LONG, _WIDE = 32, 130     # characters of a label: most beside others, most in a line

_UNITS = {
    'completion': 'share of the route', 'success': 'share of the episodes',
    'collision': 'share of the episodes', 'off_road': 'share of the episodes',
    'return': 'reward', 'mean_speed': 'm/s', 'duration': 's', 'steps': 'decisions',
    'mean_lateral': 'm', 'collisions_per_km': '1/km', 'distance': 'm',
    'progress': 'm', 'speed': 'm', 'speeding': 'm', 'lane_keeping': 'm s', 'edge': 'wheels s',
    'comfort': 'm/s²'}


def unit(tag: str) -> str:
    """Return the unit of a tag's values, empty where it has none."""
    room, _, name = tag.partition('/')
    if room in ('episode', 'evaluation', 'terms', 'demonstration', 'demonstration_terms'):
        return _UNITS.get(name.replace('_interval', ''), '')
    return 'discounted reward' if room == 'values' else ''


def curve_of(run: Run, tag: str, over: str, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a run's curve, x and y, over 'transitions', or minutes of one of the clocks."""
    series = run.series[tag]
    x = series.steps if over == 'transitions' else run.minutes(series.steps, over)
    return smooth(x, series.values, bins)


def plot(groups: Sequence[Group], tags: Sequence[str], path: Path, *, band: str = 'range',
         bins: int = 60, clock: str = 'wall') -> None:
    """
    Draw each tag over transitions and over the time of a clock, and write a PNG.

    A thin line is a seed, a thick one the mean; what has more points than ``bins`` is averaged
    over as many spans. Raises :class:`ComparisonError` where Matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ComparisonError(MISSING) from None
    columns = min(len(groups), 3) if max(len(group.label) for group in groups) <= _LONG else 1
    groups = [dataclasses.replace(group, label=textwrap.fill(group.label, _WIDE))
              for group in groups]
    lines = sum(group.label.count('\n') + 1 for group in groups)
    head = 0.35 + 0.21 * -(-lines // columns)
    height = head + 0.3 + 2.6 * len(tags)
    figure = Figure(figsize=(11.0, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(tags), 2, squeeze=False, sharex='col', sharey='row')
    for row, tag in zip(axes, tags):
        for over, ax in zip(('transitions', clock), row):
            for number, group in enumerate(groups):
                _draw(ax, group, f'C{number % 10}', tag, over, band, bins)
            ax.grid(True, alpha=0.3)
        row[0].set_ylabel('\n'.join(filter(None, (tag, unit(tag)))))
        if unit(tag).startswith('share'):
            row[0].set_ylim(-0.03, 1.03)
    axes[-1][0].set_xlabel('transitions')
    axes[-1][1].set_xlabel(f'{clock} time of training, min')
    handles, labels = axes[0][0].get_legend_handles_labels()
    several = any(len(group.runs) > 1 for group in groups)
    figure.legend(handles, labels, loc='upper center', ncol=columns, frameon=False,
                  title=BANDS[band] if several else None, title_fontsize='small')
    figure.align_ylabels(axes[:, 0])
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - head / height))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw(ax: Any, group: Group, color: str, tag: str, over: str, band: str, bins: int) -> None:
    curves = [curve_of(run, tag, over, bins) for run in group.runs]
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return
    seeds = f'{len(curves)} seeds' if len(curves) > 1 else '1 seed'
    mark = 'o' if max(len(x) for x, _ in curves) <= 40 else ''
    if len(curves) == 1:
        ax.plot(*curves[0], color=color, marker=mark, markersize=3, linewidth=1.8,
                label=f'{group.label} ({seeds})')
        return
    for x, y in curves:
        ax.plot(x, y, color=color, linewidth=0.7, alpha=0.5)
    found = mean_curve(curves, band)
    ax.fill_between(found.x, found.low, found.high, color=color, alpha=0.15, linewidth=0)
    ax.plot(found.x, found.mean, color=color, linewidth=2.0, label=f'{group.label} ({seeds})')
