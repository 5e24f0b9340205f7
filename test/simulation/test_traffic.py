# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Traffic: cars follow lanes, never drive through each other, and always get on."""

import math

import numpy as np
import pytest
from town_support import load, straight, TOWNS

from av_td3_ros.driving.frames import Pose
from av_td3_ros.simulation.contact import boxes_overlap
from av_td3_ros.simulation.network import LaneNetwork
from av_td3_ros.simulation.town import Town, TownError
from av_td3_ros.simulation.traffic import Traffic, TrafficSettings
from av_td3_ros.simulation.vehicle import Vehicle

DT = 0.05
FAR = Pose(1e5, 1e5, 0.0, 0.0)


def spawned(name, count, *, seed=0, ego=FAR, traffic=None):
    """Return a town's traffic with an ego vehicle at rest at a pose."""
    traffic = traffic or Traffic(load(name))
    vehicle = Vehicle()
    vehicle.reset(ego)
    traffic.reset(count, vehicle, np.random.default_rng(seed))
    return traffic, vehicle


def overlaps(others):
    """Return the pairs of cars that overlap."""
    near = (others.x[:, None] - others.x)**2 + (others.y[:, None] - others.y)**2 < 5.2**2
    normal = np.zeros(3)

    def box(i):
        return others.x[i], others.y[i], others.yaw[i], others.length[i], others.width[i]

    return [(i, j) for i, j in np.argwhere(np.triu(near, 1)).tolist()
            if boxes_overlap(*box(i), *box(j), normal)]


@pytest.mark.parametrize('name', TOWNS)
@pytest.mark.parametrize('count', [20, 100])
def test_nobody_touches_and_nobody_waits_for_ever(name, count):
    traffic, ego = spawned(name, count)
    others = traffic.others
    assert overlaps(others) == []
    travelled, standing = np.zeros(count), np.zeros(count)
    for tick in range(1600):
        traffic.step(ego, DT)
        travelled += DT * others.speed
        standing = np.where(others.speed < 0.05, standing + DT, 0.0)
        assert standing.max() < 60.0
        if tick % 8 == 0:
            assert overlaps(others) == []
    assert travelled.min() > 60.0
    assert travelled.mean() / 80.0 > (5.0 if count == 20 else 2.5)


def test_a_full_town_does_not_gridlock():
    traffic, ego = spawned('town_b', 380)
    travelled = np.zeros(380)
    for tick in range(2000):
        traffic.step(ego, DT)
        travelled += DT * traffic.others.speed
        if tick % 50 == 0:
            assert overlaps(traffic.others) == []
    assert travelled.min() > 10.0


def test_cars_are_on_lanes_and_headed_along_them():
    town = load('town_a')
    traffic, ego = spawned('town_a', 60)
    for tick in range(1200):
        traffic.step(ego, DT)
        if tick % 100:
            continue
        others = traffic.others
        for x, y, yaw in zip(others.x, others.y, others.yaw):
            assert town.on_road(x, y)
            place = town.graph.project(x, y, yaw)
            px, py, _, lane_yaw = town.graph.pose(place)
            assert math.hypot(px - x, py - y) < 0.8
            assert abs(math.remainder(lane_yaw - yaw, math.tau)) < 0.5


def test_motion_is_smooth():
    traffic, ego = spawned('town_b', 30)
    others = traffic.others
    before = None
    for _ in range(1000):
        traffic.step(ego, DT)
        now = np.stack([others.x, others.y, others.yaw, others.speed])
        if before is not None:
            moved = np.hypot(*(now - before)[:2])
            assert moved.max() < 15.0 * DT
            assert np.abs(moved - DT * others.speed).max() < 0.1
            assert np.abs(np.angle(np.exp(1j * (now - before)[2]))).max() < 0.15
            assert np.abs(now[3] - before[3]).max() <= 8.0 * DT + 1e-6
        before = now


def test_cars_slow_down_for_curves():
    # Lateral acceleration stays comfortable everywhere.
    traffic, ego = spawned('town_a', 40)
    others = traffic.others
    worst = []
    yaw = others.yaw.copy()
    for tick in range(1200):
        traffic.step(ego, DT)
        rate = np.angle(np.exp(1j * (others.yaw - yaw))) / DT
        yaw = others.yaw.copy()
        worst.append(np.abs(rate * others.speed).max())
    assert np.percentile(worst, 90) < 3.5 and max(worst) < 5.0


@pytest.mark.parametrize('seed', range(4))
def test_cars_stop_for_a_standing_ego_vehicle(seed):
    town = load('town_a')
    rng = np.random.default_rng(seed)
    start = town.spawn_points[int(rng.integers(len(town.spawn_points)))]
    traffic, ego = spawned('town_a', 80, seed=seed, ego=start)
    others, normal = traffic.others, np.zeros(3)
    figures = ego.settings
    nearest = np.inf
    for _ in range(1600):
        traffic.step(ego, DT)
        apart = np.hypot(others.x - ego.x, others.y - ego.y)
        nearest = min(nearest, apart.min())
        for i in np.flatnonzero(apart < 6.0):
            assert not boxes_overlap(ego.x, ego.y, ego.yaw, figures.length, figures.width,
                                     others.x[i], others.y[i], others.yaw[i], others.length[i],
                                     others.width[i], normal)
    assert nearest < 30.0     # somebody came by


def test_a_car_keeps_its_distance_behind_a_slow_ego_vehicle():
    town = load('town_a')
    place = max(town.spawn_places, key=lambda p: town.lanes[p.lane].length)
    lane = town.lanes[place.lane]
    ego = Vehicle()
    x, y, z, yaw = town.graph.pose(type(place)(lane.index, 40.0))
    ego.reset(Pose(x, y, z, yaw))
    traffic = Traffic(town)
    traffic.reset(1, ego, np.random.default_rng(0))
    # Put the one car at the lane's start, behind the ego vehicle, which then goes at 3 m/s.
    network = traffic.network
    traffic.place(0, network.index[lane.index], 5.0)
    gaps = []
    for tick in range(500):
        s = 40.0 + 3.0 * DT * (tick + 1)
        if s > lane.length - 10.0:
            break
        x, y, z, yaw = town.graph.pose(type(place)(lane.index, s))
        ego.place(Pose(x, y, z, yaw))
        ego.set_map_velocity(3.0 * math.cos(yaw), 3.0 * math.sin(yaw))
        traffic.step(ego, DT)
        gaps.append(math.hypot(ego.x - traffic.others.x[0], ego.y - traffic.others.y[0])
                    - 0.5 * (ego.settings.length + traffic.others.length[0]))
    assert min(gaps) > 1.5
    assert gaps[-1] < 12.0 and traffic.others.speed[0] == pytest.approx(3.0, abs=0.5)


def test_a_car_does_not_brake_for_an_ego_vehicle_behind_it():
    slow = TrafficSettings(speed=6.0, spread=0.0)
    speeds = []
    for follow in (True, False):
        traffic, ego = spawned('town_a', 1, traffic=Traffic(load('town_a'), slow))
        lane = max(range(len(traffic.network.length)), key=lambda n: traffic.network.length[n])
        traffic.place(0, lane, 20.0)
        for _ in range(80):
            traffic.step(ego, DT)
        found, others = [], traffic.others
        for tick in range(60):
            # It comes nearer at 8 m/s, from 20 m behind.
            behind = 20.0 - tick * DT * 2.0
            yaw = others.yaw[0]
            if follow:
                ego.place(Pose(others.x[0] - behind * math.cos(yaw),
                               others.y[0] - behind * math.sin(yaw), 0.0, yaw))
                ego.set_map_velocity(8.0 * math.cos(yaw), 8.0 * math.sin(yaw))
            traffic.step(ego, DT)
            found.append(others.speed[0])
        speeds.append(found)
    assert min(speeds[0]) > 5.0 and speeds[0] == pytest.approx(speeds[1], abs=1e-9)


def test_same_seed_same_cars_and_another_seed_others():
    def run(seed):
        traffic, ego = spawned('town_b', 25, seed=seed)
        for _ in range(300):
            traffic.step(ego, DT)
        o = traffic.others
        return b''.join(getattr(o, name).tobytes() for name in (
            'ids', 'x', 'y', 'z', 'yaw', 'speed', 'length', 'width', 'height', 'colour'))
    assert run(3) == run(3) != run(4)


def test_snapshot_repeats_exactly():
    traffic, ego = spawned('town_a', 25)
    for _ in range(200):
        traffic.step(ego, DT)
    kept = traffic.snapshot()

    def go_on():
        for _ in range(200):
            traffic.step(ego, DT)
        return traffic.others.x.tobytes() + traffic.others.speed.tobytes()
    first = go_on()
    traffic.restore(kept)
    assert go_on() == first


def test_too_many_cars_are_refused():
    with pytest.raises(TownError, match='has room for'):
        spawned('town_a', 5000)
    with pytest.raises(TownError, match='no circuit'):
        spawned('', 1, traffic=Traffic(Town.from_opendrive(straight())))


def test_no_car_starts_near_the_ego_vehicle():
    town = load('town_a')
    for seed in range(5):
        traffic, _ = spawned('town_a', 300, seed=seed, ego=town.spawn_points[50 * seed])
        x, y = town.spawn_points[50 * seed][:2]
        assert np.hypot(traffic.others.x - x, traffic.others.y - y).min() > 10.0


def test_speed_setting():
    slow = Traffic(load('town_b'), TrafficSettings(speed=3.0, spread=0.0))
    traffic, ego = spawned('town_b', 20, traffic=slow)
    for _ in range(400):
        traffic.step(ego, DT)
        assert traffic.others.speed.max() < 3.05


@pytest.mark.parametrize('name', TOWNS)
def test_conflicts_are_mutual_and_within_a_junction(name):
    town = load(name)
    network = LaneNetwork(town)
    lanes = sorted(network.index, key=network.index.get)

    def row(i):
        return network.conflicts[network.conflict_first[i]:network.conflict_first[i + 1]].tolist()

    found = 0
    for i in range(len(network.length)):
        for j in row(i):
            found += 1
            assert i in row(j) and i != j
            assert town.lanes[lanes[i]].junction == town.lanes[lanes[j]].junction >= 0
        assert network.successor_first[i + 1] > network.successor_first[i]
    assert found > 50
