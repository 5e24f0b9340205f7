# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Thresholds for continuous integration: which figures of a result must lie where.

The file names figures by their path in ``result.json``::

    thresholds:
      open_loop.A.action_error.steer.mean: {max: 0.05}
      pictures.used: {min: 500}
      comparison.different: {equals: false}
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Mapping
from xml.etree import ElementTree

import yaml


class GateError(ValueError):
    """A gate file cannot be used; the message says why in one sentence."""


@dataclasses.dataclass(frozen=True)
class Check:
    """
    One threshold and what came of it.

    ``reason`` is empty where it holds. ``excess`` says how far beyond the limit the figure is, as
    a multiple of it, to rank failures by; infinite where nothing was measured.
    """

    figure: str
    limit: str
    value: Any
    reason: str = ''
    excess: float = 0.0


def read_gate(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the thresholds of a file by figure; raise :class:`GateError`."""
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GateError(f'{path} cannot be read: {" ".join(str(error).split())}') from None
    thresholds = document.get('thresholds') if isinstance(document, Mapping) else None
    if not isinstance(thresholds, Mapping) or not thresholds or set(document) != {'thresholds'}:
        raise GateError(f'{path} must hold "thresholds", a mapping of figures, and nothing else')
    for figure, limits in thresholds.items():
        if not isinstance(limits, Mapping) or not limits \
                or not set(limits) <= {'min', 'max', 'equals'}:
            raise GateError(f'{path}: {figure} needs min, max or equals')
        for name in ('min', 'max'):
            limit = limits.get(name, 0.0)
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) \
                    or not math.isfinite(limit):
                raise GateError(f'{path}: {figure}: {name} is {limit!r}, not a number')
    return {str(figure): dict(limits) for figure, limits in thresholds.items()}


def check(result: Mapping[str, Any], thresholds: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Return every threshold's outcome: failures first, the gravest at the head."""
    found = []
    for figure, limits in thresholds.items():
        try:
            value = _figure(result, figure)
        except KeyError as error:
            found.append(Check(figure, _text(limits), None,
                               f'the result has no {error.args[0]!r}', math.inf))
            continue
        found.append(_check(figure, limits, value))
    return sorted(found, key=lambda one: (not one.reason, -one.excess, one.figure))


def junit(checks: list[Check]) -> str:
    """Return the outcome as JUnit's XML."""
    failures = sum(bool(one.reason) for one in checks)
    suite = ElementTree.Element('testsuite', name='evaluate_bag', tests=str(len(checks)),
                                failures=str(failures), errors='0', skipped='0')
    for one in checks:
        case = ElementTree.SubElement(suite, 'testcase', classname='evaluate_bag',
                                      name=f'{one.figure} {one.limit}', time='0')
        if one.reason:
            failure = ElementTree.SubElement(case, 'failure', message=one.reason,
                                             type='threshold')
            failure.text = one.reason
    suites = ElementTree.Element('testsuites', tests=str(len(checks)), failures=str(failures))
    suites.append(suite)
    ElementTree.indent(suites)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            + ElementTree.tostring(suites, encoding='unicode') + '\n')


def _figure(result: Any, path: str) -> Any:
    for part in path.split('.'):
        if isinstance(result, list) and part.isdigit() and int(part) < len(result):
            result = result[int(part)]
        elif isinstance(result, Mapping) and part in result:
            result = result[part]
        else:
            raise KeyError(path)
    return result


def _text(limits: Mapping[str, Any]) -> str:
    words = {'min': 'at least', 'max': 'at most', 'equals': 'equal to'}
    return ', '.join(f'{words[name]} {limits[name]}' for name in words if name in limits)


def _check(figure: str, limits: Mapping[str, Any], value: Any) -> Check:
    text = _text(limits)
    if 'equals' in limits and value != limits['equals']:
        return Check(figure, text, value, f'{figure} is {value!r}, not {limits["equals"]!r}',
                     math.inf)
    for name, beyond in (('max', 1.0), ('min', -1.0)):
        if name not in limits:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Check(figure, text, value, f'{figure} was not measured', math.inf)
        over = beyond * (value - limits[name])
        if over > 0.0:
            return Check(
                figure, text, value,
                f'{figure} is {value:.6g}, {"above" if beyond > 0 else "below"} {limits[name]:g}',
                over / max(abs(limits[name]), 1e-9))
    return Check(figure, text, value)
