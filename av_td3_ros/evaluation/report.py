# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report: one HTML file that opens offline, with plots to be looked at rather than read."""

from __future__ import annotations

import base64
from html import escape
from typing import Any, Mapping, Sequence

import numpy as np

from av_td3_ros.evaluation.judgement import error_of, pool, Pooled
from av_td3_ros.evaluation.metrics import CHANNELS, SHIFTS
from av_td3_ros.evaluation.recording import Recording
from av_td3_ros.evaluation.svg import Axes, COLOURS, heat, thinned

_HALF = 456         # pixels of a plot of which two stand side by side
LARGEST = 20_000_000
"""Bytes that a report may have."""

_DRIVER = COLOURS[2]
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:24px auto;padding:0 16px;
color:#111827}h1{font-size:24px}h2{font-size:18px;margin-top:32px;border-bottom:1px solid #e5e7eb}
h3{font-size:15px;margin-bottom:4px}table{border-collapse:collapse;font-size:13px}
td,th{padding:3px 10px;text-align:right;border-bottom:1px solid #e5e7eb}
td:first-child,th:first-child{text-align:left}svg{width:100%;display:block}
svg text{font:11px system-ui,sans-serif;fill:#374151}.grid{stroke:#e5e7eb;stroke-width:1}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(400px,1fr));gap:4px 16px}
.scale{display:inline-block;width:160px;height:10px;margin:0 6px;
background:linear-gradient(90deg,#16a34a,#eab308,#dc2626)}
.moments{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:12px}
.moments figure{margin:0;font-size:12px}.moments img{width:100%;display:block}
.key span{display:inline-block;margin-right:16px}.key i{display:inline-block;width:18px;height:3px;
margin-right:5px;vertical-align:middle}.claim{color:#b91c1c;font-weight:600}
.note{color:#4b5563;font-size:13px}li{margin:2px 0}
"""


def make_report(result: Mapping[str, Any], recordings: Sequence[Recording],
                pictures: Mapping[tuple[int, int], bytes],
                robustness: Mapping[str, Any] | None = None) -> str:
    """
    Return the report as one HTML text.

    pictures: JPEGs by bag and image number, of the worst moments. What they and the plots take
    is bounded, so that the file stays below :data:`LARGEST`.
    """
    pooled = pool(recordings)
    policies = list(result['checkpoints'])
    parts = [_head(result), _images(result)]
    if len(pooled.frames):
        parts += [_errors(result), _comparison(result['comparison']),
                  _maps(pooled, policies),
                  _traces(pooled, policies), _histograms(pooled, policies),
                  _shifts(result, policies)]
    if robustness:
        parts.append(_robustness(robustness))
    parts += [_moments(result, pictures), _driven(result)]
    if 'closed_loop' in result:
        parts.append(_closed_loop(result['closed_loop']))
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f'<title>Judging policies by bags</title><style>{_STYLE}</style></head><body>'
            + '\n'.join(parts) + '</body></html>\n')


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any, tag: str) -> str:
        text = ('' if value is None else f'{value:.4g}' if isinstance(value, float)
                else str(value))
        return f'<{tag}>{escape(text)}</{tag}>'
    lines = [''.join(cell(value, 'th') for value in head)]
    lines += [''.join(cell(value, 'td') for value in row) for row in rows]
    return '<table>' + ''.join(f'<tr>{line}</tr>' for line in lines) + '</table>'


def _key(names: Sequence[str], colours: Sequence[str]) -> str:
    return '<p class="key">' + ''.join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(names, colours)) + '</p>'


def _head(result: Mapping[str, Any]) -> str:
    rows = [(label, one['iteration'], one['sha256'][:16])
            for label, one in result['checkpoints'].items()]
    return ('<h1>Judging policies by bags</h1><p class="note">Open-loop: the policy answers '
            'pictures of a drive that it had no part in. How far its commands are from the '
            "recorded driver's says how alike they act, not where its own driving would have "
            'led.</p>' + _table(('checkpoint', 'updates', 'SHA-256'), rows))


def _images(result: Mapping[str, Any]) -> str:
    lines = ['<h2>Every picture</h2>']
    for number, bag in enumerate(result['bags'], start=1):
        images = bag['images']
        rows = [('in the bag', images['in_bag']), ('used', images['used']),
                *((f'skipped: {reason}', count) for reason, count in images['skipped'].items())]
        lines.append(f'<h3>Bag {number}</h3>' + _table(('pictures', ''), rows))
        said = [f'pictures and odometry are paired: {bag["pairing"]}',
                f'the recorded driver: {bag["recorded_driver"] or "none"}',
                f'route: {bag["route"]}', *bag['losses']]
        lines.append('<ul class="note">' + ''.join(f'<li>{escape(one)}</li>' for one in said)
                     + '</ul>')
    return ''.join(lines)


def _errors(result: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    bins: dict[tuple[str, str, int], list[str]] = {}
    labels = [label for label, found in result['open_loop'].items() if found['action_error']]
    for label in labels:
        error = result['open_loop'][label]['action_error']
        for name in CHANNELS:
            own = error[name]
            rows.append((f'{label}: {name}', *(f'{own[key]:.3f}' for key in (
                'mean', 'p95', 'worst', 'bias'))))
            for by, unit in (('by_speed', 'm/s'), ('by_curvature', '1/m')):
                for part in own[by]:
                    if part['count']:
                        where = f'{part["from"]:g} to ' + (
                            '' if part['to'] is None else f'{part["to"]:g} ') + unit
                        bins.setdefault((name, where, part['count']), []).extend(
                            f'{part[key]:.3f}' for key in ('mean', 'p95', 'worst'))
    smooth = [(name, *(figures[key] for key in ('steer_rate', 'drive_rate', 'steer_reversals',
                                                'switches')))
              for name, figures in [*((label, found['smoothness']) for label, found
                                      in result['open_loop'].items()),
                                    ('driver', result['driver']['smoothness'])]]
    text = '<h2>Action error against the recorded driver (open-loop)</h2>'
    if not rows:
        return text + '<p>No driver is recorded.</p>'
    return (text + _table(('', 'mean', 'p95', 'worst', 'bias'), rows)
            + '<h3>By speed and by the curvature of the route</h3>'
            + _table(('', 'where', 'pictures', *(f'{label}: {key}' for label in labels
                                                 for key in ('mean', 'p95', 'worst'))),
                     [(*place, *figures) for place, figures in bins.items()])
            + '<h3>Smoothness of the commands</h3>' + _table(
                ('', 'steering, 1/s', 'throttle and brake, 1/s', 'steering reversals, 1/min',
                 'throttle to brake, 1/min'), smooth))


def _comparison(found: Mapping[str, Any]) -> str:
    text = f'<h2>{escape(found["of"])} compared with {escape(str(found["with"]))}</h2>'
    if found['different'] is None:
        return text + f'<p>{escape(found["reason"])}</p>'
    names = list(found['quantities'])
    verdict = ('<p class="claim">They differ.</p>' if found['different']
               else '<p>No difference is shown.</p>')
    values = [found['quantities'][name] for name in names]
    reach = max(max(abs(end) for end in one['interval']) for one in values) or 1.0
    axes = Axes((-1.1 * reach, 1.1 * reach), (-0.6, len(names) - 0.4), height=46 * len(names) + 60,
                names_y={float(len(names) - 1 - row): name.replace('_', ' ')
                         for row, name in enumerate(names)},
                label_x='mean difference, with its 95 % interval over all quantities together')
    axes.line(np.zeros(2), np.array([-0.6, len(names) - 0.4]), '#9ca3af', dashed=True)
    for row, one in enumerate(values):
        y = float(len(names) - 1 - row)
        colour = COLOURS[1] if one['different'] else COLOURS[0]
        axes.line(np.array(one['interval']), np.array([y, y]), colour, width=4.0)
        axes.dots(np.array([one['mean']]), np.array([y]), [colour], 5.0)
    rows = [(name.replace('_', ' '), one['mean'], *one['interval'],
             'yes' if one['different'] else '') for name, one in zip(names, values)]
    return (text + verdict + axes.text()
            + _table(('', 'mean', 'from', 'to', 'different'), rows)
            + f'<p class="note">{found["frames"]} pictures in {found["blocks"]} blocks of '
            f'{found["block_length"]} or more. An error below 0: the first is nearer to the '
            'recorded driver.</p>')


def _maps(pooled: Pooled, policies: Sequence[str]) -> str:
    """Return a map for each policy, side by side, with one scale of colours."""
    errors = [error_of(pooled, policy) for policy in range(len(policies))]
    judged = any(np.isfinite(error).any() for error in errors)
    chosen = thinned(len(pooled.frames), 4000)
    x, y = pooled.frames['x'][chosen], pooled.frames['y'][chosen]
    shown = [np.nan_to_num(error[chosen]) for error in errors] if judged else [np.zeros(len(x))]
    full = max(float(np.percentile(np.concatenate(shown), 99)), 1e-6)
    width, height = (_HALF, 400) if len(shown) > 1 else (928, 460)
    middle = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    half = max(x.max() - x.min(), (y.max() - y.min()) * width / height, 1.0) * 0.56
    parts = []
    for label, error in zip(policies, shown):
        axes = Axes((middle[0] - half, middle[0] + half),
                    (middle[1] - half * height / width, middle[1] + half * height / width),
                    width=width, height=height, label_x='x, m', label_y='y, m')
        order = np.argsort(error, kind='stable')
        axes.dots(x[order], y[order], [heat(value / full) for value in error[order]],
                  titles=[f'bag {pooled.bag[chosen[k]] + 1}, picture '
                          f'{pooled.number[chosen[k]]}: error {error[k]:.3f}' for k in order])
        parts.append(f'<div>{f"<h3>{escape(label)}</h3>" if judged else ""}{axes.text()}</div>')
    if not judged:
        return '<h2>Where the bags were driven</h2>' + parts[0]
    return ('<h2>Routes, coloured by the error</h2><div class="pairs">' + ''.join(parts)
            + '</div><p class="note">Steering plus half of throttle and brake: 0<i class="scale">'
            f'</i>{full:.2f} or more</p>')


def _traces(pooled: Pooled, policies: Sequence[str]) -> str:
    parts = ["<h2>Commands beside the driver's</h2>",
             _key([*policies, 'recorded driver'], [*COLOURS[:len(policies)], _DRIVER])]
    seconds = pooled.clock * 1e-9
    chosen = thinned(len(seconds))
    gap = np.concatenate([[False], np.diff(seconds[chosen]) > 5.0])
    for channel, name in enumerate(('steering (right positive)', 'throttle, brake negative')):
        axes = Axes((seconds[0], seconds[-1]), (-1.05, 1.05), label_x='s', label_y=name)
        lines = [(pooled.driver[:, channel], _DRIVER)] + [
            (pooled.actions[:, n, channel], COLOURS[n]) for n in range(len(policies))]
        for values, colour in lines:
            axes.line(seconds[chosen], np.where(gap, np.nan, values[chosen]), colour)
        parts.append(axes.text())
    return ''.join(parts)


def _histograms(pooled: Pooled, policies: Sequence[str]) -> str:
    if not np.isfinite(pooled.driver).any():
        return ''
    parts = ['<h2>How often which error</h2>', _key(policies, COLOURS), '<div class="pairs">']
    for channel, name in enumerate(('steering', 'throttle and brake')):
        errors = [pooled.actions[:, n, channel] - pooled.driver[:, channel]
                  for n in range(len(policies))]
        errors = [error[np.isfinite(error)] for error in errors]
        reach = max(float(np.percentile(np.abs(np.concatenate(errors)), 99.5)), 0.01)
        edges = np.linspace(-reach, reach, 62)
        counts = [np.histogram(np.clip(error, -reach, reach), edges)[0] for error in errors]
        axes = Axes((-reach, reach), (0.0, 1.05 * max(count.max() for count in counts)),
                    width=_HALF, label_x=f'{name}: policy less driver', label_y='pictures')
        for count, colour in zip(counts, COLOURS):
            axes.bars(edges, count, colour)
        parts.append(axes.text())
    return ''.join([*parts, '</div>'])


def _shifts(result: Mapping[str, Any], policies: Sequence[str]) -> str:
    lines = []
    for number, label in enumerate(policies):
        error = result['open_loop'][label]['action_error']
        means = error['steer']['time_shift']['means'] if error else None
        if means:
            lines.append((np.array(means), COLOURS[number]))
    if not lines:
        return ''
    axes = Axes((min(SHIFTS), max(SHIFTS)), (0.0, 1.05 * max(float(m.max()) for m, _ in lines)),
                label_x='pictures by which the driver is taken later',
                label_y='mean steering error')
    for values, colour in lines:
        axes.line(np.array(list(SHIFTS), float), values, colour)
    return ('<h2>Earlier or later than the driver</h2>' + _key(policies, COLOURS) + axes.text()
            + '<p class="note">A lowest point left of 0: the policy does now what the driver '
            'did before.</p>')


def _robustness(found: Mapping[str, Any]) -> str:
    parts = ['<h2>Robustness</h2><p class="note">How far the commands move from those to the '
             f'undisturbed pictures, over {found["frames"]} pictures: mean of steering plus half '
             'of throttle and brake.</p>', _key(list(found['policies']), COLOURS),
             '<div class="pairs">']
    for name, curve in found['disturbances'].items():
        levels = np.array(curve['levels'], float)
        heights = [np.array(curve['moved'][label], float) for label in found['policies']]
        top = max(max(float(height.max()) for height in heights), 1e-3)
        axes = Axes((float(levels.min()), float(levels.max())), (0.0, 1.1 * top), width=_HALF,
                    height=200, label_x=f'{name}, {curve["unit"]}', label_y='moved by')
        for height, colour in zip(heights, COLOURS):
            axes.line(levels, height, colour, width=2.0)
            axes.dots(levels, height, [colour] * len(levels), 3.0)
        parts.append(axes.text())
    return ''.join([*parts, '</div>'])


def _moments(result: Mapping[str, Any], pictures: Mapping[tuple[int, int], bytes]) -> str:
    parts = []
    for label, moments in result['worst_moments'].items():
        parts.append(f'<h2>The worst moments of {label}</h2><div class="moments">')
        for rank, moment in enumerate(moments, start=1):
            jpeg = pictures.get((moment['bag'], moment['image']))
            image = '' if jpeg is None else (
                '<img alt="" src="data:image/jpeg;base64,'
                f'{base64.b64encode(jpeg).decode()}">')
            own, driver = moment['action'], moment['driver']
            parts.append(
                f'<figure>{image}<figcaption>{rank}. bag {moment["bag"] + 1}, picture '
                f'{moment["image"]}, {moment["stamp"] * 1e-9:.2f} s, {moment["speed"]:.1f} m/s'
                f'<br>steer {own["steer"]:+.2f} (driver {driver["steer"]:+.2f}), '
                f'drive {own["drive"]:+.2f} (driver {driver["drive"]:+.2f})'
                '</figcaption></figure>')
        parts.append('</div>' if moments else '</div><p>There are none.</p>')
    return ''.join(parts)


def _driven(result: Mapping[str, Any]) -> str:
    parts = ['<h2>What the recorded driver did</h2>']
    for number, bag in enumerate(result['bags'], start=1):
        own = bag['driven']
        ttc = own['time_to_collision']
        rows = [('driven', f'{own["metres"]:.0f} m in {own["seconds"]:.0f} s'),
                ('mean and largest speed, m/s',
                 f'{own["speed"]["mean"] or 0:.2f}, {own["speed"]["most"] or 0:.2f}'),
                ('routes completed', ', '.join(f'{100 * route["completion"]:.0f} % of '
                                               f'{route["length"]:.0f} m'
                                               for route in own['routes'])),
                ('lateral error, m: mean, p95, worst', _three(own['lateral_error'])),
                ('heading error, rad: mean, p95, worst', _three(own['heading_error'])),
                ('collisions', own['collisions']),
                ('lane invasions', own['lane_invasions']['events']),
                ('least time to collision, s', 'no others recorded' if not ttc['observed']
                 else 'never closing' if ttc['least'] is None else f'{ttc["least"]:.2f}')]
        comfort = [(name.replace('_', ' '), figures['least'], figures['most'],
                    f'{figures["bounds"][0]:g} to {figures["bounds"][1]:g}',
                    None if figures['share_within'] is None
                    else f'{100 * figures["share_within"]:.1f} %')
                   for name, figures in own['comfort'].items() if isinstance(figures, dict)]
        parts.append(f'<h3>Bag {number}</h3>' + _table(('', ''), rows)
                     + _table(('comfort (SI units)', 'least', 'most', 'bounds', 'within'),
                              comfort))
    return ''.join(parts)


def _three(figures: Mapping[str, Any]) -> str:
    return ', '.join('none' if figures[key] is None else f'{figures[key]:.3f}'
                     for key in ('mean', 'p95', 'worst'))


def _closed_loop(found: Mapping[str, Any]) -> str:
    rows = [(number, route['bag'] + 1, f'{100 * route["completion"]:.1f} %',
             ', '.join(f'{name} x {count}' for name, count in route['infractions'].items()),
             *route['driving_score'].values())
            for number, route in enumerate(found['routes'], start=1)]
    scores = ', '.join(f'{version}: {"none" if score is None else f"{score:.2f}"}'
                       for version, score in found['driving_score'].items())
    return ('<h2>Driving score (closed loop)</h2><p>CARLA leaderboard ' + scores + '</p>'
            + _table(('route', 'bag', 'completed', 'infractions', 'score 2.0', 'score 2.1'), rows)
            + '<p class="note">A bag of these topics does not tell of: '
            + ', '.join(found['not_observed']) + '. The score is therefore an upper bound.</p>')
