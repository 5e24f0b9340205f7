# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""World: events, determinism, and what belongs to a tick."""

import hashlib
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from town_support import load, ROOT, straight

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.simulation.town import Town
from av_td3_ros.simulation.world import Collision, EGO_ID, LaneInvasion, World

BROKEN, SOLID, SOLID_SOLID = 1, 2, 3
GAS = Control(throttle=0.4)


@pytest.fixture(scope='module')
def avenue():
    # Eastwards at y = -1.75 and -5.25; markings at 0 (double), -3.5 (broken), -7 (solid).
    return Town.from_opendrive(straight())


def digest(world, ticks=400):
    """Drive an arbitrary course and return a hash of everything that happens."""
    rng = np.random.default_rng(9)
    found = hashlib.sha256()
    for tick in range(ticks):
        if tick % 20 == 0:
            control = Control(float(rng.uniform(0, 0.6)), float(rng.uniform(-0.3, 0.3)),
                              float(rng.uniform(0, 0.2)))
        events = world.step(control)
        found.update(repr((events, world.frame, world.state, world.acceleration,
                           world.off_road)).encode())
        for name in ('x', 'y', 'z', 'yaw', 'speed'):
            found.update(getattr(world.others, name).tobytes())
    return found.hexdigest()


def test_same_seed_same_bytes():
    first = digest(World(load('town_a'), seed=5, vehicles=30))
    assert digest(World(load('town_a'), seed=5, vehicles=30)) == first
    assert digest(World(load('town_a'), seed=6, vehicles=30)) != first
    again = World(load('town_a'), seed=1, vehicles=30)
    digest(again)
    again.reset(seed=5)
    assert digest(again) == first


@pytest.mark.timeout(300)
def test_same_seed_same_bytes_in_another_process():
    script = ('from test_world import *\n'
              "print(digest(World(load('town_b'), seed=5, vehicles=30)))")
    path = os.pathsep.join([str(ROOT), str(ROOT / 'test' / 'simulation')])
    there = [subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, 'PYTHONPATH': path, 'PYTHONHASHSEED': str(i)})
             for i in range(2)]
    found = {process.communicate(timeout=280)[0].strip() for process in there}
    assert found == {digest(World(load('town_b'), seed=5, vehicles=30))}


def test_resets_without_a_seed_go_on_from_the_last():
    def starts(world):
        found = []
        for _ in range(4):
            found.append(world.state.pose)
            world.reset()
        return found
    first = starts(World(load('town_a'), seed=2, vehicles=5))
    assert starts(World(load('town_a'), seed=2, vehicles=5)) == first
    assert len(set(first)) > 1


def test_a_reset_world_stands_at_its_start():
    town = load('town_a')
    world = World(town, seed=1, vehicles=10)
    for _ in range(50):
        world.step(GAS)
    start = town.spawn_points[7]
    world.reset(seed=3, start=start, vehicles=4)
    assert world.state.pose == start and world.state.velocity == (0.0, 0.0)
    assert world.frame == world.time_ns == 0 and world.acceleration == (0.0, 0.0, 0.0)
    assert len(world.others.x) == 4 and EGO_ID not in world.others.ids
    world.reset(start=start)
    assert len(world.others.x) == 4


def test_ticks_and_time(avenue):
    world = World(avenue, dt=0.05)
    for _ in range(3):
        world.step(GAS)
    assert (world.frame, world.time_ns, world.state.stamp) == (3, 150_000_000, 150_000_000)


def test_acceleration_is_in_map_axes(avenue):
    world = World(avenue)
    world.reset(start=Pose(200.0, 1.75, 0.0, math.pi))      # headed west
    for _ in range(20):
        world.step(Control(throttle=1.0))
    ax, ay, az = world.acceleration
    assert -4.0 < ax < -2.0 and abs(ay) < 1e-6 and az == 0.0


def drive_across(world, start, ticks=60, speed=5.0):
    """Roll from a pose and return the lane invasions' types, in order."""
    world.reset(start=start)
    world.set_velocity(speed * math.cos(start.yaw), speed * math.sin(start.yaw))
    found = []
    for _ in range(ticks):
        found += [event.markings for event in world.step(Control(throttle=0.1))
                  if isinstance(event, LaneInvasion)]
    return found


def test_lane_invasion_names_the_marking(avenue):
    world = World(avenue)
    assert drive_across(world, Pose(50.0, -1.75, 0.0, 0.0)) == []
    # To the right over the broken line, at 0.3 rad: front wheels, then rear wheels.
    to_right = drive_across(world, Pose(50.0, -1.75, 0.0, -0.3), ticks=45)
    assert to_right and {kind for markings in to_right for kind in markings} == {BROKEN}
    assert len(to_right) == 4
    # To the left over the double line.
    to_left = drive_across(world, Pose(50.0, -1.75, 0.0, 0.3), ticks=25)
    assert {kind for markings in to_left for kind in markings} == {SOLID_SOLID}
    # Off the right edge.
    off = drive_across(world, Pose(50.0, -5.25, 0.0, -0.3), ticks=25)
    assert {kind for markings in off for kind in markings} == {SOLID}


def test_teleport_is_no_lane_invasion(avenue):
    world = World(avenue)
    world.reset(start=Pose(50.0, -1.75, 0.0, 0.0))
    world.set_velocity(5.0, 0.0)
    world.step(Control())
    world.teleport(Pose(120.0, -5.25, 0.0, 0.0))
    assert world.step(Control()) == []
    assert world.state.pose.x == pytest.approx(120.25, abs=0.05)
    assert world.state.velocity[0] == pytest.approx(5.0, abs=0.2)    # stays, as in CARLA


def test_set_velocity_is_in_the_map_frame(avenue):
    world = World(avenue)
    world.reset(start=Pose(100.0, 1.75, 0.0, math.pi))
    world.set_velocity(-4.0, 0.0)
    assert world.state.velocity == pytest.approx((4.0, 0.0), abs=1e-9)
    world.set_velocity(0.0, 0.0)
    assert world.state.speed == 0.0 and world.state.yaw_rate == 0.0


def test_off_road_is_known(avenue):
    world = World(avenue)
    for y, off in ((-1.75, False), (-5.9, False), (-6.6, True), (-9.0, True), (40.0, True)):
        world.teleport(Pose(100.0, y, 0.0, 0.0))
        assert world.off_road is off, y
    world.teleport(Pose(1e6, 0.0, 0.0, 0.0))
    assert world.off_road


def test_driving_on_leaves_the_road_in_time(avenue):
    world = World(avenue)
    world.reset(start=Pose(250.0, -1.75, 0.0, 0.0))
    world.set_velocity(15.0, 0.0)
    ticks = next(i for i in range(200) if world.step(Control(throttle=0.3)) is not None
                 and world.off_road)
    # 300 m is the road's end; the front axle is 1.35 m ahead of the centre.
    assert world.state.pose.x + 1.35 == pytest.approx(300.0, abs=1.0) and ticks > 30


def test_collision_names_the_other_and_the_impulse():
    town = load('town_a')
    world = World(town, seed=4, vehicles=1)
    others = world.others
    x, y, yaw = others.x[0], others.y[0], others.yaw[0]
    c, s = math.cos(yaw), math.sin(yaw)
    behind = Pose(x - 8.0 * c, y - 8.0 * s, 0.0, yaw)
    world.teleport(behind)
    world.set_velocity(20.0 * c, 20.0 * s)
    hits, speed = [], 20.0
    for _ in range(12):
        before = world.ego.map_velocity
        for event in world.step(Control(throttle=0.2)):
            if isinstance(event, Collision):
                hits.append(event)
                after = world.ego.map_velocity
                change = 1500.0 * np.subtract(after, before)
                assert np.allclose(change, event.impulse[:2], atol=2500.0)
        speed = min(speed, world.state.speed)
    assert hits and {hit.other_id for hit in hits} == {int(others.ids[0])}
    px, py, pz = hits[0].impulse
    assert px * c + py * s < -5000.0 and pz == 0.0
    assert speed < 15.0


def test_cars_do_not_stay_in_each_other():
    # Full throttle into a standing car for seconds: the boxes stay apart.
    town = load('town_a')
    world = World(town, seed=4, vehicles=1)
    others = world.others
    c, s = math.cos(others.yaw[0] + 0.4), math.sin(others.yaw[0] + 0.4)
    world.teleport(Pose(others.x[0] - 7.0 * c, others.y[0] - 7.0 * s, 0.0, others.yaw[0] + 0.4))
    seen = 0
    for _ in range(100):
        seen += sum(isinstance(event, Collision) for event in world.step(Control(throttle=1.0)))
        apart = math.hypot(others.x[0] - world.ego.x, others.y[0] - world.ego.y)
        assert apart > 1.8
    assert seen > 0


def test_snapshot_repeats_exactly():
    world = World(load('town_b'), seed=8, vehicles=20)
    digest(world, 100)
    kept = world.snapshot()
    first = digest(world, 200)
    world.restore(kept)
    assert digest(world, 200) == first
    with pytest.raises(ValueError, match='another number'):
        World(load('town_b'), vehicles=3).restore(kept)


def test_wheels_follow_the_road_s_height():
    world = World(Town.from_opendrive(straight(grade=0.05)))
    world.reset(start=Pose(100.0, -1.75, 0.0, 0.0))
    assert world.state.pose.z == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize('vehicles, budget', [(0, 60e-6), (20, 200e-6)])
def test_a_step_is_fast(vehicles, budget):
    world = World(load('town_a'), seed=1, vehicles=vehicles)
    best = math.inf
    for _ in range(5):
        started = time.process_time()
        for _ in range(400):
            world.step(GAS)
        best = min(best, (time.process_time() - started) / 400)
    assert best < budget
