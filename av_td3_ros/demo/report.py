# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demonstration tells: a live line while it runs, a table and a file at the end."""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import sys
import time
from typing import Any, Mapping, Sequence, TextIO


class LiveLine:
    """
    One line that says how things stand.

    On a terminal it is rewritten in place; elsewhere a new line is printed every ``period``
    seconds, so that a log stays readable and never silent for long.
    """

    def __init__(self, stream: TextIO | None = None, period: float = 3.0) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._in_place = self._stream.isatty()
        self._period = 0.2 if self._in_place else period
        self._last = 0.0
        self._shown = False

    def show(self, text: str) -> None:
        """Show ``text``, unless the last one is too fresh."""
        now = time.monotonic()
        if now - self._last < self._period:
            return
        self._last = now
        if self._in_place:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write('\r\x1b[2K' + text[:width])
            self._shown = True
        else:
            self._stream.write(text + '\n')
        self._stream.flush()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._shown:
            self._stream.write('\r\x1b[2K')
            self._shown = False
        self._stream.write(text + '\n')
        self._stream.flush()
        self._last = time.monotonic()


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary as JSON."""
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + '\n', encoding='utf-8')


def table(summary: Mapping[str, Any]) -> str:
    """Return the closing table of a summary, with a column a phase and one for all."""
    columns: list[tuple[str, Mapping[str, Any]]] = [
        (phase['name'], phase) for phase in summary['phases']]
    columns.append(('all', summary))
    rows: list[Sequence[str]] = [['', *(name for name, _ in columns)]]
    for title, key, form in (
            ('route completion', 'route_completion', lambda value: f'{100 * value:.1f} %'),
            ('distance', 'distance_m', lambda value: f'{value:.0f} m'),
            ('mean speed', 'mean_speed_mps', lambda value: f'{value:.2f} m/s'),
            ('lateral error, mean', 'lateral_error_mean_m', lambda value: f'{value:.3f} m'),
            ('lateral error, max', 'lateral_error_max_m', lambda value: f'{value:.3f} m'),
            ('collisions', 'collisions', str),
            ('control latency p50', 'control_latency_p50_ms', lambda value: f'{value:.1f} ms'),
            ('control latency p99', 'control_latency_p99_ms', lambda value: f'{value:.1f} ms'),
            ('updates done', 'updates', str),
            ('simulator steps/s', 'steps_per_second', lambda value: f'{value:.0f}'),
            ('wall time', 'wall_s', lambda value: f'{value:.1f} s')):
        values = [column.get(key) for _, column in columns]
        rows.append([title, *('-' if value is None else form(value) for value in values)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    lines.insert(1, '-' * len(lines[0]))
    for title, key in (('checkpoint', 'checkpoint'), ('video', 'video')):
        if summary.get(key):
            lines.append(f'{title}: {summary[key]}')
    return '\n'.join(lines)
