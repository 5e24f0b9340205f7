# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures, from drives worked out by hand."""

import math

import numpy as np
import pytest

from av_td3_ros.demo.account import Account, UpdateCounter
from av_td3_ros.demo.figures import Drive, LatencyMeter, percentiles_ms, RouteMeter
from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.driving.route import Route

DT = 50_000_000


def state(tick, x, y=0.0, speed=10.0):
    """Return the car at (x, y) heading along x, at the tick's time."""
    return VehicleState(tick * DT, Pose(x, y, 0.0, 0.0), (speed, 0.0), 0.0)


def meter(length=100.0, **options):
    route = Route(np.column_stack([np.arange(0.0, length + 1.0), np.zeros(int(length) + 1)]))
    return RouteMeter(route, **{'goal_radius': 3.0, 'max_lateral': 2.5, **options})


def drive(to, xs, y=0.0, first_tick=1):
    for tick, x in enumerate(xs, start=first_tick):
        to.take(state(tick, x, y))


def test_a_straight_drive():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    assert m.begun and m.completion == 0.0
    drive(m, np.arange(0.5, 50.25, 0.5), y=-0.4)
    assert not m.done
    assert m.completion == pytest.approx(0.5)
    d = m.drive
    assert d.seconds == pytest.approx(5.0)
    # The first step also goes 0.4 m to the side.
    assert d.distance == pytest.approx(49.5 + math.hypot(0.5, 0.4))
    assert d.speed == pytest.approx(d.distance / 5.0)
    assert d.lateral_mean == pytest.approx(0.4) and d.lateral_max == pytest.approx(0.4)


def test_arrival_by_odometry_alone():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    drive(m, np.arange(0.5, 97.01, 0.5))
    assert not m.arrived
    drive(m, [97.5], first_tick=200)
    assert m.arrived and m.done and m.completion == 1.0
    ticks = m.drive.ticks
    drive(m, [98.0], first_tick=201)
    assert m.drive.ticks == ticks


def test_passing_the_goal_on_the_wrong_side_of_the_road_is_no_arrival():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    drive(m, np.arange(0.5, 99.0, 0.5), y=2.6)
    assert not m.arrived
    assert m.completion == pytest.approx(0.985)


def test_a_car_that_is_moved_away_has_not_arrived():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    drive(m, np.arange(0.5, 60.0, 0.5))
    m.take(state(120, 98.0))
    assert m.left and m.done and not m.arrived
    assert m.completion == pytest.approx(0.595)
    assert m.drive.distance == pytest.approx(59.5)


def test_nothing_counts_before_the_start():
    m = meter()
    m.take(state(0, 40.0))
    m.take(state(1, 40.5))
    m.take(state(2, 1.0, speed=5.0))    # there, but moving: it drives past
    assert not m.begun and m.drive.ticks == 0
    m.collision(2 * DT)
    m.take(state(3, 1.0, speed=0.0))
    assert m.begun and m.drive.collisions == 0


def test_missing_ticks_are_no_jump():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    drive(m, np.arange(0.5, 20.25, 0.5))
    m.take(state(60, 30.0))         # a second without odometry
    assert not m.done and m.drive.distance == pytest.approx(30.0)
    assert m.drive.seconds == pytest.approx(3.0)
    m.take(state(61, 36.0))         # 6 m in a twentieth of one
    assert m.left


def test_a_car_that_stood_near_the_start_before_it_was_put_there_counts_from_there():
    m = meter()
    m.take(state(0, 2.5, y=1.0, speed=0.0))
    assert m.begun
    m.take(state(1, 300.0, speed=0.0))
    assert not m.begun and not m.done and m.furthest == 0.0
    m.take(state(2, 0.0, speed=0.0))
    assert m.begun and m.furthest == 0.0 and m.drive == Drive()
    drive(m, np.arange(0.5, 50.25, 0.5), first_tick=3)
    assert m.drive.distance == pytest.approx(50.0) and m.completion == pytest.approx(0.5)


def test_a_route_that_crosses_itself_is_not_cut_short():
    # Along x to 100, back above it and down across the first stretch at x = 20.
    points = np.array([[0, 0], [100, 0], [100, 50], [20, 50], [20, -50]], dtype=float)
    m = RouteMeter(Route(points), goal_radius=3.0, max_lateral=2.5)
    m.take(state(0, 0.0, speed=0.0))
    drive(m, np.arange(0.5, 40.0, 0.5))
    assert m.furthest == pytest.approx(39.5)
    assert m.completion == pytest.approx(39.5 / 330.0)


def test_driving_back_does_not_undo_completion_nor_add_to_it():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    drive(m, [*np.arange(0.5, 20.25, 0.5), *np.arange(19.5, 9.75, -0.5)])
    assert m.completion == pytest.approx(0.2)
    assert m.drive.distance == pytest.approx(30.0)


def test_one_hit_with_several_events_is_one_collision():
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    for tick in (10, 11, 12, 25):
        m.collision(tick * DT)
    assert m.drive.collisions == 1
    m.collision(60 * DT)
    assert m.drive.collisions == 2


def test_split_parts_add_up():
    m, whole = meter(), meter()
    for each in (m, whole):
        each.take(state(0, 0.0, speed=0.0))
    drive(whole, np.arange(0.5, 60.0, 0.5), y=0.3)
    drive(m, np.arange(0.5, 30.0, 0.5), y=0.3)
    first = m.split()
    drive(m, np.arange(30.0, 60.0, 0.5), y=0.3, first_tick=60)
    total = first + m.split()
    assert total.as_dict() == whole.drive.as_dict()
    assert m.completion == whole.completion
    assert m.drive == Drive()


def test_latencies_are_matched_by_stamp_in_either_order():
    m = LatencyMeter()
    m.image(1, 10.0)
    m.command(1, 10.02)
    m.command(2, 11.05)
    m.image(2, 11.01)
    m.image(3, 12.0)
    m.command(1, 99.0)      # a second answer
    assert m.samples == pytest.approx([0.02, 0.04])


def test_what_is_never_answered_is_forgotten():
    m = LatencyMeter(keep=5)
    for stamp in range(100):
        m.image(stamp, float(stamp))
    m.command(10, 200.0)
    assert m.samples == []
    m.command(99, 99.5)
    assert m.samples == [0.5]


def test_percentiles():
    samples = [i / 1000.0 for i in range(1, 102)]
    found = percentiles_ms(samples)
    assert found == {'samples': 101, 'p50_ms': 51.0, 'p99_ms': 100.0}
    assert percentiles_ms([]) == {'samples': 0, 'p50_ms': None, 'p99_ms': None}


def test_updates_are_counted_across_a_load():
    counter = UpdateCounter(1000)
    counter.take(1000)
    counter.take(1040)
    assert counter.total == 40
    counter.lose()
    assert counter.total == 40
    counter.take(0)         # the new training node, before the load
    counter.take(3)
    assert counter.total == 40
    counter.resume(1030)    # what was saved, some updates before the end
    assert counter.total == 40
    counter.take(2)         # told before the load, arriving after
    counter.take(1045)
    assert counter.total == 55


def test_the_account_of_two_phases():
    latency, counter = LatencyMeter(), UpdateCounter(0)
    latency.samples.append(9.0)             # before the first phase: not counted
    account = Account(latency, counter)
    m = meter()
    m.take(state(0, 0.0, speed=0.0))
    account.begin('one', ticks=10)
    drive(m, np.arange(0.5, 40.0, 0.5), y=0.2)
    latency.samples += [0.010, 0.010]
    counter.take(7)
    account.end(m.split(), ticks=90, completion=None)
    account.begin('two', ticks=90)
    drive(m, np.arange(40.0, 98.0, 0.5), first_tick=80)
    latency.samples += [0.020, 0.020]
    counter.take(12)
    account.end(m.split(), ticks=200, completion=m.completion)
    account.end(Drive(), ticks=300, completion=None)     # none is open
    summary = account.summary([m])
    assert [p['name'] for p in summary['phases']] == ['one', 'two']
    assert [p['updates'] for p in summary['phases']] == [7, 5] and summary['updates'] == 12
    assert [p['control_latency_p50_ms'] for p in summary['phases']] == [10.0, 20.0]
    assert summary['control_latency_p50_ms'] == 15.0 and summary['commands'] == 4
    assert summary['route_completion'] == 1.0 and summary['routes'][0]['arrived']
    assert summary['distance_m'] == pytest.approx(97.5, abs=0.1)
    assert summary['lateral_error_max_m'] == 0.2
