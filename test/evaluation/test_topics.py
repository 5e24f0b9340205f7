# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of finding topics and of pairing what has no common stamps."""

import pytest

from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.evaluation.alignment import Aligner, choose, EXACT, NEAREST, RECEIVED, stamp_of
from av_td3_ros.evaluation.storage import BagError, Topic
from av_td3_ros.evaluation.topics import select

IMAGE, ODOMETRY, PATH = 'sensor_msgs/msg/Image', 'nav_msgs/msg/Odometry', 'nav_msgs/msg/Path'
COMMAND = 'carla_msgs/msg/CarlaEgoVehicleControl'
MS = 1_000_000


def bag(*pairs):
    return [Topic(name, kind) for name, kind in pairs]


def test_the_bridge_names_are_found_among_others():
    topics = bag(('/carla/hero/depth_front/image', IMAGE), ('/carla/hero/rgb_front/image', IMAGE),
                 ('/carla/hero/odometry', ODOMETRY), ('/carla/hero/waypoints', PATH),
                 ('/carla/other/odometry', ODOMETRY), ('/carla/other/waypoints', PATH),
                 ('/carla/hero/vehicle_control_cmd_manual', COMMAND),
                 ('/carla/hero/vehicle_control_cmd', COMMAND))
    found = select(topics, [5] * 8)
    assert found.role == 'hero' and found.others == (4,)
    assert found.chosen == {'image': 1, 'odometry': 2, 'route': 3, 'command': 7}
    assert found.kind(1) == 'image' and found.kind(4) == 'others'


def test_a_car_has_names_of_its_own():
    topics = bag(('/camera/image_raw', IMAGE), ('/odom', ODOMETRY), ('/plan', PATH))
    assert select(topics, [5, 5, 5]).chosen == {'image': 0, 'odometry': 1, 'route': 2}
    # A topic without messages is none.
    assert 'route' not in select(topics, [5, 5, 0]).chosen


def test_what_is_not_clear_is_asked():
    topics = bag(('/left/image', IMAGE), ('/right/image', IMAGE), ('/odom', ODOMETRY))
    with pytest.raises(BagError, match='--topic image=NAME'):
        select(topics, [5, 5, 5])
    found = select(topics, [5, 5, 5], mapping={'image': '/right/image'})
    assert found.chosen['image'] == 1
    with pytest.raises(BagError, match='not sensor_msgs'):
        select(topics, [5, 5, 5], mapping={'image': '/odom'})
    with pytest.raises(BagError, match='no kind'):
        select(topics, [5, 5, 5], mapping={'picture': '/odom'})


def test_two_vehicles_need_a_choice():
    topics = bag(*((f'/carla/{role}/{name}', kind) for role in ('a', 'b') for name, kind in (
        ('rgb_front/image', IMAGE), ('odometry', ODOMETRY))))
    with pytest.raises(BagError, match='several vehicles: a, b'):
        select(topics, [1] * 4)
    assert select(topics, [1] * 4, role='b').chosen == {'image': 2, 'odometry': 3}


def test_a_missing_topic_is_named_with_what_there_is():
    with pytest.raises(BagError, match='no odometry topic .* /camera'):
        select(bag(('/camera', IMAGE)), [3])


@pytest.mark.parametrize('images, states, way', [
    ([(100, 5), (200, 6)], [(200, 6), (300, 7)], EXACT),
    ([(10**18, 10**18), (10**18 + 50, 10**18 + 50)], [(10**18 + 7, 10**18 + 7)], NEAREST),
    ([(10**18, 5 * 10**9)], [(5 * 10**9, 5 * 10**9)], RECEIVED),
    ([(0, 5), (0, 6)], [(0, 5), (0, 6)], RECEIVED),
    ([], [(1, 1)], EXACT)])
def test_the_way_of_pairing(images, states, way):
    assert choose(images, states) == way


def state(stamp):
    return VehicleState(stamp, Pose(float(stamp), 0.0, 0.0, 0.0), (1.0, 0.0), 0.0)


def test_each_picture_gets_the_nearest_odometry_with_its_stamp():
    aligner = Aligner()
    settled = [*aligner.state(0, state(0)), *aligner.picture(30 * MS, 'a'),
               *aligner.picture(80 * MS, 'b'), *aligner.state(50 * MS, state(50 * MS)),
               *aligner.state(100 * MS, state(100 * MS)), *aligner.picture(90 * MS, 'c'),
               *aligner.picture(400 * MS, 'd'), *aligner.finish()]
    assert [(stamp // MS, name, None if found is None else (found.stamp // MS, found.pose.x / MS))
            for stamp, name, found in settled] == [
        (30, 'a', (30, 50.0)), (80, 'b', (80, 100.0)), (90, 'c', (90, 100.0)), (400, 'd', None)]


def test_stamps_are_read_from_the_bytes():
    head = (7).to_bytes(4, 'little', signed=True) + (9).to_bytes(4, 'little')
    assert stamp_of(b'\0\1\0\0' + head) == 7 * 10**9 + 9
    assert stamp_of(b'\0\0\0\0' + (7).to_bytes(4, 'big') + (9).to_bytes(4, 'big')) == 7 * 10**9 + 9
    assert stamp_of(b'\0\1\0\0') is None
