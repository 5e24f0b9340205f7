# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small plots as SVG text, for a report that opens offline and needs no library to be read."""

from __future__ import annotations

from html import escape
import math
from typing import Mapping, Sequence

import numpy as np

COLOURS = ('#2563eb', '#dc2626', '#6b7280', '#059669')
"""First policy, second policy, recorded driver, more."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 14, 12, 36
_POINTS = 1500      # of a line; more are not seen


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers between two bounds."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * nice for nice in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * nice >= raw)
    first = math.ceil(low / step - 1e-9) * step
    return [round(first + step * k, 12) for k in range(int((high - first) / step + 1e-9) + 1)]


class Axes:
    """
    A plot's frame: from figures to places on a canvas of ``width`` by ``height`` pixels.

    names_y: what is written at figures of the y axis in place of round numbers.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], *, width: int = 928,
                 height: int = 220, label_x: str = '', label_y: str = '',
                 names_y: Mapping[float, str] | None = None) -> None:
        self.width, self.height = width, height
        self._names = names_y
        self._x, self._y = _widened(*x), _widened(*y)
        self._labels = label_x, label_y
        self.parts: list[str] = []

    def place(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where figures (N,) lie, in pixels."""
        (x0, x1), (y0, y1) = self._x, self._y
        across = self.width - _LEFT - _RIGHT
        up = self.height - _TOP - _BOTTOM
        return (_LEFT + (np.asarray(x) - x0) / (x1 - x0) * across,
                self.height - _BOTTOM - (np.asarray(y) - y0) / (y1 - y0) * up)

    def line(self, x: np.ndarray, y: np.ndarray, colour: str, *, width: float = 1.4,
             dashed: bool = False) -> None:
        """Draw a line; it is broken where a figure is not finite."""
        px, py = self.place(x, y)
        whole = np.isfinite(px) & np.isfinite(py)
        path, pen = [], False
        for number in range(len(px)):
            if not whole[number]:
                pen = False
                continue
            path.append(f'{"L" if pen else "M"}{px[number]:.1f} {py[number]:.1f}')
            pen = True
        dash = ' stroke-dasharray="5 4"' if dashed else ''
        self.parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" '
                          f'stroke-width="{width}"{dash}/>')

    def dots(self, x: np.ndarray, y: np.ndarray, colours: Sequence[str], radius: float = 2.2,
             titles: Sequence[str] = ()) -> None:
        """Draw a dot for each figure."""
        px, py = self.place(x, y)
        for number, colour in enumerate(colours):
            title = f'<title>{escape(titles[number])}</title>' if titles else ''
            self.parts.append(f'<circle cx="{px[number]:.1f}" cy="{py[number]:.1f}" '
                              f'r="{radius}" fill="{colour}">{title}</circle>')

    def bars(self, edges: np.ndarray, heights: np.ndarray, colour: str) -> None:
        """Draw bars between edges (N + 1,)."""
        left, top = self.place(edges[:-1], heights)
        right, bottom = self.place(edges[1:], np.zeros(len(heights)))
        for number in range(len(heights)):
            self.parts.append(
                f'<rect x="{left[number]:.1f}" y="{top[number]:.1f}" '
                f'width="{max(right[number] - left[number], 0.5):.1f}" '
                f'height="{max(bottom[number] - top[number], 0.0):.1f}" fill="{colour}" '
                'fill-opacity="0.55"/>')

    def text(self) -> str:
        """Return the plot."""
        grid = []
        bottom = self.height - _BOTTOM
        for value in ticks(*self._x):
            x = float(self.place(np.array([value]), np.array([self._y[0]]))[0][0])
            grid.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" '
                        'class="grid"/>'
                        f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">'
                        f'{value:g}</text>')
        rows = {value: f'{value:g}' for value in ticks(*self._y)} if self._names is None \
            else self._names
        for value, name in rows.items():
            y = float(self.place(np.array([self._x[0]]), np.array([value]))[1][0])
            grid.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{self.width - _RIGHT}" '
                        f'y2="{y:.1f}" class="grid"/>'
                        f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">'
                        f'{escape(name)}</text>')
        middle = (_LEFT + self.width - _RIGHT) / 2
        label_x, label_y = (escape(label) for label in self._labels)
        grid.append(f'<text x="{middle}" y="{self.height - 4}" text-anchor="middle">{label_x}'
                    f'</text><text transform="translate(12 {(bottom + _TOP) / 2}) rotate(-90)" '
                    f'text-anchor="middle">{label_y}</text>')
        return (f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
                f'style="max-width:{self.width}px">' + ''.join(grid + self.parts) + '</svg>')


def thinned(count: int, most: int = _POINTS) -> np.ndarray:
    """Return the numbers of at most ``most`` of ``count`` points, evenly spread."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(int)


def heat(share: float) -> str:
    """Return a colour from green over yellow to red for a share in [0, 1]."""
    share = min(max(share, 0.0), 1.0)
    stops = ((22, 163, 74), (234, 179, 8), (220, 38, 38))
    low, high = (stops[0], stops[1]) if share < 0.5 else (stops[1], stops[2])
    part = 2.0 * share if share < 0.5 else 2.0 * share - 1.0
    return '#' + ''.join(f'{round(a + (b - a) * part):02x}' for a, b in zip(low, high))


def _widened(low: float, high: float) -> tuple[float, float]:
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)
