# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MarkingIndex: which markings a wheel has crossed."""

from hypothesis import given, settings, strategies
import numpy as np
import pytest
from town_support import load

from av_td3_ros.simulation.crossing import MarkingIndex
from av_td3_ros.simulation.lanes import Marking


def line(kind, *points):
    return Marking(kind, 0.15, np.array([[x, y, 0.0] for x, y in points]))


def crossed(index, a, b):
    return index.crossed(np.array([a], dtype=float), np.array([b], dtype=float))


def test_types_of_what_is_crossed():
    index = MarkingIndex([line(1, (0, 0), (100, 0)), line(2, (0, 3.5), (100, 3.5)),
                          line(9, (50, -5), (50, 10))])
    assert crossed(index, (10, -0.1), (10.5, 0.1)) == (1,)
    assert crossed(index, (10, 0.1), (10.5, -0.1)) == (1,)
    assert crossed(index, (10, -1), (10, 4)) == (1, 2)
    assert crossed(index, (49.9, 1), (50.1, 1)) == (9,)
    assert crossed(index, (10, 1), (40, 1)) == ()
    assert crossed(index, (-0.5, -1), (-0.5, 1)) == ()       # beyond its end
    assert crossed(index, (10, 1), (10, 1)) == ()
    assert crossed(index, (1e7, 1), (1e7, -1)) == ()         # outside the grid
    # Several wheels over one marking: one crossing.
    two = np.array([[10.0, -0.1], [12.0, -0.1]])
    assert index.crossed(two, two + [0.0, 0.2]) == (1,)


def test_a_stop_on_the_line_counts_once():
    index = MarkingIndex([line(1, (0, 0), (100, 0))])
    found = [crossed(index, a, b) for a, b in (((5, -0.1), (5, 0)), ((5, 0), (5, 0.1)))]
    assert found == [(1,), ()]


def test_no_markings():
    assert crossed(MarkingIndex([]), (0, 0), (1, 1)) == ()


def brute(markings, a, b):
    def side(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
    found = []
    for marking in markings:
        points = marking.points[:, :2]
        if any((side(p, q, a) >= 0) != (side(p, q, b) >= 0) and side(a, b, p) * side(a, b, q) <= 0
               for p, q in zip(points, points[1:])):
            found.append(marking.kind)
    return tuple(found)


coordinate = strategies.floats(-60, 60)
point = strategies.tuples(coordinate, coordinate)


@settings(max_examples=200, deadline=None)
@given(strategies.lists(strategies.lists(point, min_size=2, max_size=4, unique=True), min_size=1,
                        max_size=4), point, point)
def test_agrees_with_brute_force(lines, a, b):
    markings = [line(i, *points) for i, points in enumerate(lines)]
    index = MarkingIndex(markings)
    # The index straightens to a centimetre: leave out what passes an end or a corner closer.
    near = min(np.abs(m.points[:, None, :2] - np.array([a, b])).max(axis=2).min()
               for m in markings)
    direction = np.array(b) - a
    length = np.hypot(*direction)
    if near < 0.1 or length < 0.1:
        return
    for m in markings:
        across = (m.points[:, 0] - a[0]) * direction[1] - (m.points[:, 1] - a[1]) * direction[0]
        if np.abs(across / length).min() < 0.1:
            return
        for p, q in zip(m.points[:, :2], m.points[1:, :2]):
            u = (q - p) / np.hypot(*(q - p))
            for end in (a, b):
                if abs(u[0] * (end[1] - p[1]) - u[1] * (end[0] - p[0])) < 0.1:
                    return
    assert crossed(index, a, b) == brute(markings, a, b)


@pytest.mark.parametrize('name', ['town_a', 'town_b'])
def test_no_marking_is_lost_in_the_town(name):
    # Step across the middle of every marking's every tenth sample.
    town = load(name)
    index = MarkingIndex(town.markings)
    assert len(index.segments) < 12000
    for marking in town.markings:
        points = marking.points[:, :2]
        for k in range(0, len(points) - 1, 10):
            along = points[k + 1] - points[k]
            normal = np.array([-along[1], along[0]]) / np.hypot(*along)
            middle = 0.5 * (points[k] + points[k + 1])
            assert marking.kind in crossed(index, middle - 0.1 * normal, middle + 0.1 * normal)
