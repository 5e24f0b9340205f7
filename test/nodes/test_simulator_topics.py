# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator's topics against the contract's table, over DDS."""

from carla_msgs.msg import (CarlaControl, CarlaEgoVehicleInfo, CarlaEgoVehicleStatus, CarlaStatus,
                            CarlaWorldInfo)
from nav_msgs.msg import Odometry, Path
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float32
from support import make_graph

from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import read_odometry, read_path, read_stamp
from av_td3_ros.simulation.town import Town

pytestmark = pytest.mark.ros
EGO = '/carla/ego_vehicle'
# Topic, type, whether the simulator publishes it, whether it is latched.
TABLE = [
    (f'{EGO}/rgb_front/image', 'sensor_msgs/msg/Image', True, False),
    (f'{EGO}/rgb_front/camera_info', 'sensor_msgs/msg/CameraInfo', True, False),
    (f'{EGO}/odometry', 'nav_msgs/msg/Odometry', True, False),
    (f'{EGO}/vehicle_status', 'carla_msgs/msg/CarlaEgoVehicleStatus', True, False),
    (f'{EGO}/vehicle_info', 'carla_msgs/msg/CarlaEgoVehicleInfo', True, True),
    (f'{EGO}/vehicle_control_cmd', 'carla_msgs/msg/CarlaEgoVehicleControl', False, False),
    (f'{EGO}/vehicle_control_cmd_manual', 'carla_msgs/msg/CarlaEgoVehicleControl', False, False),
    (f'{EGO}/vehicle_control_manual_override', 'std_msgs/msg/Bool', False, True),
    (f'{EGO}/enable_autopilot', 'std_msgs/msg/Bool', False, False),
    (f'{EGO}/collision', 'carla_msgs/msg/CarlaCollisionEvent', True, False),
    (f'{EGO}/lane_invasion', 'carla_msgs/msg/CarlaLaneInvasionEvent', True, False),
    (f'{EGO}/speedometer', 'std_msgs/msg/Float32', True, False),
    (f'{EGO}/waypoints', 'nav_msgs/msg/Path', True, True),
    (f'{EGO}/goal', 'geometry_msgs/msg/PoseStamped', False, False),
    (f'{EGO}/control/set_transform', 'geometry_msgs/msg/Pose', False, False),
    (f'{EGO}/control/set_target_velocity', 'geometry_msgs/msg/Twist', False, False),
    ('/clock', 'rosgraph_msgs/msg/Clock', True, False),
    ('/carla/status', 'carla_msgs/msg/CarlaStatus', True, False),
    ('/carla/control', 'carla_msgs/msg/CarlaControl', False, False),
    ('/carla/world_info', 'carla_msgs/msg/CarlaWorldInfo', True, True),
]


@pytest.fixture(scope='module')
def ros(tmp_path_factory):
    for graph in make_graph(tmp_path_factory.mktemp('topics')):
        graph.start('simulator', {'seed': 5})
        graph.publisher(CarlaControl, '/carla/control', timeout=100.0)
        yield graph


def test_topics_are_those_of_the_bridge(ros):
    node = ros.node

    def endpoints(topic, published):
        ask = node.get_publishers_info_by_topic if published else \
            node.get_subscriptions_info_by_topic
        return [e for e in ask(topic) if e.node_name == 'carla_ros_bridge']

    for topic, kind, published, latched in TABLE:
        found = ros.wait_for(lambda: endpoints(topic, published), topic)
        assert len(found) == 1, topic
        endpoint = found[0]
        assert endpoint.topic_type == kind, topic
        assert endpoint.node_namespace == '/'
        profile = endpoint.qos_profile
        assert profile.reliability == ReliabilityPolicy.RELIABLE, topic
        assert profile.durability == (DurabilityPolicy.TRANSIENT_LOCAL if latched
                                      else DurabilityPolicy.VOLATILE), topic
        # Fast DDS tells depth and history of local endpoints only; where told, they must be so.
        if profile.history == HistoryPolicy.KEEP_LAST and profile.depth:
            assert profile.depth == (1 if topic.endswith(('waypoints', 'override')) else 10)
    others = {name for name, _ in node.get_topic_names_and_types()
              if name.startswith('/carla') or name == '/clock'}
    assert others == {row[0] for row in TABLE}


def test_depths_are_those_of_the_bridge():
    assert (qos.STREAM.depth, qos.INFO.depth, qos.ROUTE.depth, qos.OVERRIDE.depth) \
        == (10, 10, 1, 1)


def test_a_tick_is_consistent(ros):
    images = ros.subscribe(Image, f'{EGO}/rgb_front/image')
    infos = ros.subscribe(CameraInfo, f'{EGO}/rgb_front/camera_info')
    odometry = ros.subscribe(Odometry, f'{EGO}/odometry')
    status = ros.subscribe(CarlaEgoVehicleStatus, f'{EGO}/vehicle_status')
    speeds = ros.subscribe(Float32, f'{EGO}/speedometer')
    clock = ros.subscribe(Clock, '/clock')
    carla = ros.subscribe(CarlaStatus, '/carla/status')
    ros.wait_for(lambda: len(images) > 3 and len(odometry) > 3 and len(infos) > 3
                 and len(status) > 3 and speeds and carla and len(clock) > 3, 'all sensors')

    def stamps(received):
        return [read_stamp(m.header.stamp) for m in received]

    # After discovery each stream has every tick.
    for received in (images, odometry, status, infos):
        assert set(np.diff(stamps(received))) == {50_000_000}
    shared = set(stamps(images)) & set(stamps(odometry)) & set(stamps(infos))
    assert len(shared) >= 3
    assert shared <= {read_stamp(m.clock) for m in clock} | {min(shared)}
    image = images[-1]
    assert (image.encoding, image.width, image.height, image.step) == ('bgra8', 800, 600, 3200)
    assert len(image.data) == 3200 * 600
    assert image.header.frame_id == infos[-1].header.frame_id == 'ego_vehicle/rgb_front'
    assert list(infos[-1].k) == pytest.approx([400, 0, 400, 0, 400, 300, 0, 0, 1])
    last = odometry[-1]
    assert (last.header.frame_id, last.child_frame_id) == ('map', 'ego_vehicle')
    assert not any(last.pose.covariance) and not any(last.twist.covariance)
    assert status[-1].header.frame_id == 'map'
    assert carla[-1].synchronous_mode and carla[-1].synchronous_mode_running
    assert carla[-1].fixed_delta_seconds == pytest.approx(0.05)
    frames = [m.frame for m in carla]
    assert frames == list(range(frames[0], frames[0] + len(frames)))


def test_a_late_joiner_gets_what_was_said_once(ros):
    clock = ros.subscribe(Clock, '/clock')
    ros.wait_for(lambda: len(clock) > 5, 'ticks')
    world = ros.subscribe(CarlaWorldInfo, '/carla/world_info', qos.INFO)
    vehicle = ros.subscribe(CarlaEgoVehicleInfo, f'{EGO}/vehicle_info', qos.INFO)
    routes = ros.subscribe(Path, f'{EGO}/waypoints', qos.ROUTE)
    odometry = ros.subscribe(Odometry, f'{EGO}/odometry')
    ros.wait_for(lambda: world and vehicle and routes and odometry, 'the latched messages')
    assert world[0].map_name and '<OpenDRIVE' in world[0].opendrive
    assert vehicle[0].rolename == 'ego_vehicle' and len(vehicle[0].wheels) == 4
    assert [w.max_steer_angle > 0.3 for w in vehicle[0].wheels] == [True, True, False, False]
    left, right = vehicle[0].wheels[:2]
    assert left.position.y > 0 > right.position.y and left.position.x > 0
    # Before any goal the route leads from the car to the map's first spawn point.
    town = Town.from_opendrive(world[0].opendrive)
    points, here = read_path(routes[0]), read_odometry(odometry[-1]).pose
    assert np.hypot(*(points[0] - here[:2])) < 2.0
    assert np.hypot(*(points[-1] - town.spawn_points[0][:2])) < 2.0
    assert np.median(np.hypot(*np.diff(points, axis=0).T)) == pytest.approx(1.0, abs=0.3)
    assert all(pose.header.frame_id == '' for pose in routes[0].poses)
