# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Town: an OpenDRIVE map as lanes, routes, markings and surface in ROS's frame."""

import math
from pathlib import Path
import time

import carla
import numpy as np
import pytest
from town_support import load, steps, straight, TOWNS, turns

from av_td3_ros.driving.frames import Pose
from av_td3_ros.simulation.town import default_town, Town, town_path, TownError

BROKEN, SOLID, SOLID_SOLID = 1, 2, 3


@pytest.fixture(params=TOWNS)
def town(request):
    return load(request.param)


@pytest.fixture(scope='module')
def avenue():
    return Town.from_opendrive(straight())


def test_default_town_is_shipped():
    assert default_town().name == 'town_a.xodr'
    assert town_path('town_b').is_file()
    for given in ('town_z', '..', '', 'x' * 300):
        with pytest.raises(TownError, match=f"town '{given}': town_a, town_b come with"):
            town_path(given)
    assert town_path('~/a.xodr') == Path.home() / 'a.xodr'
    with pytest.raises(TownError, match='~nobody-here/a.xodr'):
        town_path('~nobody-here/a.xodr')
    # What looks like a file is one, there or not.
    assert [town_path(given) for given in ('a.xodr', 'maps/a', Path('/a/b.xodr'))] \
        == [Path('a.xodr'), Path('maps/a'), Path('/a/b.xodr')]


def test_loads_within_its_budget(town):
    started = time.process_time()
    Town.from_opendrive(town.opendrive, town.name)
    assert time.process_time() - started < 1.5


def test_frame_is_ros_not_carla(town):
    # CARLA's own answer for the same place, converted by hand: y and yaw change their sign.
    for place, pose in list(zip(town.spawn_places, town.spawn_points))[::20]:
        waypoint = town.map.get_waypoint(carla.Location(pose.x, -pose.y, pose.z))
        location = waypoint.transform.location
        dx, dy = location.x - pose.x, -location.y - pose.y
        # CARLA projects with some slack along the lane, but not across it.
        assert math.hypot(dx, dy) < 0.3
        assert abs(dy * math.cos(pose.yaw) - dx * math.sin(pose.yaw)) < 0.03
        turn = math.radians(-waypoint.transform.rotation.yaw) - pose.yaw
        assert abs(math.remainder(turn, math.tau)) < 0.02
        assert waypoint.lane_id == town.lanes[place.lane].lane


def test_spawn_points_are_apart_and_on_lanes(town):
    points = np.array([pose[:2] for pose in town.spawn_points])
    apart = np.hypot(points[:, None, 0] - points[:, 0], points[:, None, 1] - points[:, 1])
    np.fill_diagonal(apart, np.inf)
    assert len(points) > 100
    assert apart.min() >= 8.0 - 1e-6
    for place, pose in zip(town.spawn_places, town.spawn_points):
        lane = town.lanes[place.lane]
        assert lane.driving and lane.junction < 0
        assert town.on_road(pose.x, pose.y)
        assert town.project(pose).lane == place.lane


def test_all_spawn_points_reach_each_other(town):
    # Every piece that holds a spawn point, from every fortieth and back.
    nodes = {town.graph.piece(place) for place in town.spawn_places}
    for place in town.spawn_places[::40]:
        assert nodes <= set(town.graph.reachable(place)) | {town.graph.piece(place)}


def test_routes_are_even_smooth_and_on_the_road(town):
    rng = np.random.default_rng(5)
    for _ in range(40):
        a, b = rng.choice(len(town.spawn_points), 2, replace=False)
        start, goal = town.spawn_points[a], town.spawn_points[b]
        route = town.route(start, goal)
        assert route.dtype == np.float64 and route.shape[1] == 2
        assert math.dist(route[0], start[:2]) < 0.01 and math.dist(route[-1], goal[:2]) < 0.01
        if len(route) > 3:
            assert 0.9 < steps(route).min() and steps(route).max() < 1.1
            # A turn of 4 m radius, the tightest in Town01, is 0.25 rad to a metre.
            assert np.abs(turns(route)).max() < 0.26
        assert all(town.on_road(x, y) for x, y in route)


def test_routes_lead_along_the_lanes(town):
    # Each point lies on a lane's centre and the route leads where the lane leads, except where
    # lanes are changed.
    rng = np.random.default_rng(6)
    graph = town.graph
    _, _, route = town.sample_route(rng, 300.0, 600.0)
    heading = np.arctan2(*np.diff(route, axis=0).T[::-1])
    off = []
    for (x, y), yaw in zip(route[1:-1], heading[1:]):
        place = graph.project(x, y, yaw)
        px, py, _, lane_yaw = graph.pose(place)
        off.append(math.hypot(px - x, py - y))
        assert abs(math.remainder(lane_yaw - yaw, math.tau)) < 0.35
    changes = sum(d > 0.15 for d in off)
    assert max(off) < 2.0 and changes < 0.4 * len(off)


def test_route_starts_and_ends_at_projections(avenue):
    # Right-hand traffic: eastwards at y = -1.75 and -5.25. 0.4 m beside the lane's centre.
    route = avenue.route(Pose(20.0, -1.35, 0.0, 0.1), Pose(80.0, -2.0, 0.0, 0.0))
    assert np.allclose(route[0], [20.0, -1.75], atol=0.01)
    assert np.allclose(route[-1], [80.0, -1.75], atol=0.01)
    assert len(route) == 61 and np.allclose(route[:, 1], -1.75, atol=0.01)


def test_heading_chooses_the_lane(avenue):
    # Beside the centre line, headed west: the lane beyond it is meant.
    assert avenue.pose(avenue.project(Pose(100.0, -0.3, 0.0, math.pi))).y == pytest.approx(1.75)


def test_route_changes_lanes_where_the_line_is_broken(avenue):
    route = avenue.route(Pose(20.0, -1.75, 0.0, 0.0), Pose(150.0, -5.25, 0.0, 0.0))
    assert np.allclose(route[0], [20.0, -1.75], atol=0.01)
    assert np.allclose(route[-1], [150.0, -5.25], atol=0.01)
    # 3.5 m over some 25 m: never steeper than 0.3 rad, monotonic, and no kink at its ends.
    assert (np.diff(route[:, 1]) < 1e-9).all()
    assert np.abs(turns(route)).max() < 0.06
    assert 15.0 < np.ptp(route[(route[:, 1] < -1.76) & (route[:, 1] > -5.24), 0]) < 40.0


def test_route_does_not_cross_solid_lines(avenue):
    with pytest.raises(TownError, match='no road leads'):
        avenue.route(Pose(20.0, -1.75, 0.0, 0.0), Pose(150.0, 1.75, 0.0, math.pi))
    with pytest.raises(TownError, match='no road leads'):
        avenue.route(Pose(100.0, -1.75, 0.0, 0.0), Pose(20.0, -1.75, 0.0, 0.0))


def test_goal_behind_the_start_takes_the_way_around():
    town = load('town_a')
    place = next(p for p in town.spawn_places if town.lanes[p.lane].length > 80.0
                 and 30.0 < p.distance < 40.0)
    start = town.pose(place)
    goal = town.pose(type(place)(place.lane, place.distance - 5.0))
    assert steps(town.route(start, goal)).sum() > 100.0


def test_sampled_routes_have_the_wanted_length_and_follow_the_seed():
    town = load('town_b')
    for low, high in ((100.0, 200.0), (400.0, 450.0), (900.0, 1200.0)):
        start, goal, route = town.sample_route(np.random.default_rng(1), low, high)
        assert low <= steps(route).sum() <= high
        assert start in town.spawn_points
        again = town.sample_route(np.random.default_rng(1), low, high)
        assert (again[0], again[1]) == (start, goal) and np.array_equal(again[2], route)
    other = town.sample_route(np.random.default_rng(2), 100.0, 200.0)
    assert other[0] != start
    with pytest.raises(TownError, match='no route of 90000'):
        town.sample_route(np.random.default_rng(1), 9e4, 1e5)


def test_surface_of_a_straight_road(avenue):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-10.0, 310.0, 4000), rng.uniform(-10.0, 10.0, 4000)
    edge = np.minimum(7.0 - np.abs(y), np.minimum(x, 300.0 - x))
    sure = np.abs(edge) > 0.25      # the raster's cells are 0.2 m
    found = np.array([avenue.on_road(a, b) for a, b in zip(x, y)])
    assert (found == (edge > 0.0))[sure].all()
    assert not avenue.on_road(1e9, -1e9)


def test_surface_has_no_holes_in_junctions(town):
    # Around every junction lane's samples the whole lane's width is drivable.
    for lane in town.lanes:
        if lane.driving and lane.junction >= 0:
            for share in (0.05, 0.5, 0.95):
                points = lane.left[:, :2] * share + lane.right[:, :2] * (1.0 - share)
                assert all(town.on_road(x, y) for x, y in points)
    for outline in town.islands:
        centre = outline.mean(axis=0)
        assert outline.shape[1] == 2 and np.hypot(*(outline - centre).T).max() < 30.0


def test_on_road_is_fast(avenue):
    started = time.process_time()
    for _ in range(20000):
        avenue.on_road(100.0, 1.0)
    assert (time.process_time() - started) / 20000 < 5e-6


def test_height_follows_the_road():
    town = Town.from_opendrive(straight(grade=0.05, heading=0.5))
    for s in (10.0, 100.0, 250.0):
        x, y = s * math.cos(0.5), s * math.sin(0.5)
        assert town.height(x, y) == pytest.approx(0.05 * s, abs=0.1)
    assert math.isfinite(town.height(-1e6, 1e6))
    assert load('town_a').height(100.0, 100.0) == 0.0
    assert town.spawn_points[0].z == pytest.approx(
        town.height(*town.spawn_points[0][:2]), abs=0.1)


def test_markings_of_a_straight_road(avenue):
    found = sorted((round(float(m.points[:, 1].mean()), 2), m.kind) for m in avenue.markings)
    assert found == [(-7.0, SOLID), (-3.5, BROKEN), (0.0, SOLID_SOLID), (3.5, BROKEN),
                     (7.0, SOLID)]
    for marking in avenue.markings:
        assert marking.points.shape[1] == 3
        assert np.ptp(marking.points[:, 0]) == pytest.approx(300.0, abs=0.01)
        assert marking.width == pytest.approx(0.15)


def test_markings_change_type_before_junctions():
    # In the shipped towns lanes may not be changed in the last 25 m before a junction.
    town = load('town_a')
    lane = next(lane for lane in town.lanes if lane.driving and lane.junction < 0
                and lane.lane == -1 and lane.right_lane >= 0 and lane.length > 80.0)
    legal = np.array([bool(bits & 1) for bits in lane.change])
    assert legal[(lane.distance > 26.0) & (lane.distance < lane.length - 26.0)].all()
    assert not legal[(lane.distance < 24.0) | (lane.distance > lane.length - 24.0)].any()
    assert set(lane.right_marking) == {BROKEN, SOLID}


def test_neighbours_travel_the_same_way(town):
    for lane in town.lanes:
        for other in (lane.left_lane, lane.right_lane):
            if other >= 0:
                beside = town.lanes[other]
                assert len(beside.centre) == len(lane.centre)
                assert np.abs(np.angle(np.exp(1j * (beside.yaw - lane.yaw)))).max() < 0.02
        normal = np.stack([-np.sin(lane.yaw), np.cos(lane.yaw)], axis=1)
        across = ((lane.left - lane.right)[:, :2] * normal).sum(axis=1)
        assert np.allclose(across, lane.width, atol=1e-6)


def test_successors_begin_where_their_lane_ends(town):
    for lane in town.lanes:
        for other in lane.successors:
            assert np.linalg.norm(town.lanes[other].centre[0] - lane.centre[-1]) < 0.1
            turn = town.lanes[other].yaw[0] - lane.yaw[-1]
            assert abs(math.remainder(turn, math.tau)) < 0.1


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TownError, match='nowhere.xodr'):
        Town.load(tmp_path / 'nowhere.xodr')
    path = tmp_path / 'binary.xodr'
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(TownError, match='binary.xodr'):
        Town.load(path)
