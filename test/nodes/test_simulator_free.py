# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator free-running: pace, autopilot, looks, and what it refuses to start with."""

import time

from carla_msgs.msg import CarlaEgoVehicleStatus, CarlaStatus
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped
from nav_msgs.msg import Odometry, Path
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from sensor_msgs.msg import Image
from std_msgs.msg import Bool
from support import make_graph, ROOT

from av_td3_ros.driving.route import Route
from av_td3_ros.nodes.simulator import SimulatorNode
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_pose, read_odometry, read_path, read_stamp
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.town import default_town, Town

pytestmark = pytest.mark.ros
EGO = '/carla/hero'


@pytest.fixture(scope='module')
def ros(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('free'))


@pytest.fixture(scope='module')
def simulator(ros):
    process = ros.start('simulator', {
        'role_name': 'hero', 'synchronous_mode': False, 'camera.width': 160,
        'camera.height': 120, 'new_look': 'teleport', 'spawn_point': 5})
    carla = ros.subscribe(CarlaStatus, '/carla/status')
    ros.wait_for(lambda: carla, 'the simulator', timeout=100.0)
    return process


def test_it_runs_in_real_time_and_waits_for_nobody(ros, simulator):
    odometry = ros.subscribe(Odometry, f'{EGO}/odometry')
    carla = ros.subscribe(CarlaStatus, '/carla/status')
    ros.wait_for(lambda: odometry and carla, 'ticks')
    begin, first = time.monotonic(), read_stamp(odometry[-1].header.stamp)
    ros.spin(2.0)
    simulated = (read_stamp(odometry[-1].header.stamp) - first) * 1e-9
    assert 0.75 < simulated / (time.monotonic() - begin) < 1.1
    assert not carla[-1].synchronous_mode and carla[-1].synchronous_mode_running
    assert odometry[-1].child_frame_id == 'hero'


def test_the_autopilot_drives_the_route(ros, simulator):
    town = Town.load(default_town())
    odometry = ros.subscribe(Odometry, f'{EGO}/odometry')
    status = ros.subscribe(CarlaEgoVehicleStatus, f'{EGO}/vehicle_status')
    routes = ros.subscribe(Path, f'{EGO}/waypoints', qos.ROUTE)
    goal = ros.publisher(PoseStamped, f'{EGO}/goal')
    autopilot = ros.publisher(Bool, f'{EGO}/enable_autopilot')
    ros.wait_for(lambda: routes and odometry and status, 'a route')
    count = len(routes)
    goal(PoseStamped(pose=make_pose(town.spawn_points[60])))
    ros.wait_for(lambda: len(routes) > count, 'a new route')
    route = Route(read_path(routes[-1]))
    autopilot(Bool(data=True))
    ros.wait_for(lambda: route.locate(read_odometry(odometry[-1]).pose).distance > 25.0,
                 '25 m of driving', timeout=20.0)
    lateral = [abs(route.locate(read_odometry(m).pose).lateral) for m in odometry[::5]]
    assert max(lateral) < 1.0 and status[-1].velocity > 2.0
    autopilot(Bool(data=False))
    # What was applied last stays applied.
    ros.spin(0.3)
    applied = status[-1].control
    ros.spin(0.3)
    assert status[-1].control == applied


def test_a_teleport_brings_a_new_look_where_asked(ros, simulator):
    town, means = Town.load(default_town()), []
    images = ros.subscribe(Image, f'{EGO}/rgb_front/image')
    transform = ros.publisher(PoseMsg, f'{EGO}/control/set_transform')
    for _ in range(3):
        transform(make_pose(town.spawn_points[5]))
        # By then the teleport has been made, and several pictures since.
        ros.spin(0.4)
        image = ros.next_of(images, 'an image')
        means.append(np.asarray(image.data).reshape(120, 160, 4)[:40].mean(axis=(0, 1)))
    assert max(np.abs(a - b).max() for a in means for b in means) > 4.0


@pytest.fixture
def damaged(tmp_path):
    path = tmp_path / 'damaged.xodr'
    path.write_text((ROOT / 'maps' / 'town_a.xodr').read_text()[:5000])
    return path


@pytest.mark.parametrize('parameter, words', [
    ('town:=/no/such/town.xodr', 'town: cannot read the town /no/such/town.xodr'),
    ('town:=atlantis', "there is no town 'atlantis': town_a, town_b come with the package"),
    ('town:={damaged}', '{damaged}'),
    ('camera.fov:=5.0', 'camera.fov is 5.0, but must be between 10 and 160'),
    ('camera.width:=wide', 'camera.width must be'),
    ('role:=hero', "there is no setting 'role'; did you mean 'role_name'?"),
])
def test_what_is_wrong_is_said_in_one_sentence(ros, damaged, parameter, words):
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '-p', parameter.format(damaged=damaged)])
    try:
        with pytest.raises(SettingsError) as error:
            SimulatorNode(context=context)
        assert words.format(damaged=damaged) in str(error.value)
        assert str(error.value).startswith('carla_ros_bridge: ')
        assert '\n' not in str(error.value)
    finally:
        rclpy.try_shutdown(context=context)


def test_it_refuses_to_start_with_one_sentence(ros):
    process = ros.start('simulator', {'spawn_point': 100000})
    assert process.wait(100.0) == 2
    lines = process.output.strip().splitlines()
    assert len(lines) == 1 and 'spawn_point is 100000, but the town has' in lines[0]
    ros.processes.remove(process)
