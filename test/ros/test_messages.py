# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages: hand-computed frames and signs, and what is refused with which words."""

import math

from carla_msgs.msg import CarlaEgoVehicleControl
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped, Twist
from nav_msgs.msg import Odometry, Path
import numpy as np
import pytest

from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.ros import messages
from av_td3_ros.ros.messages import MessageError


def odometry(x=1.0, y=2.0, yaw=0.0):
    message = Odometry()
    message.header.frame_id = 'map'
    message.header.stamp.sec, message.header.stamp.nanosec = 3, 50_000_000
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation.z = math.sin(yaw / 2)
    message.pose.pose.orientation.w = math.cos(yaw / 2)
    return message


@pytest.mark.parametrize('quaternion, yaw', [
    ((0.0, 0.0, 0.0, 1.0), 0.0),
    ((0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)), math.pi / 2),     # facing left of x: along y
    ((0.0, 0.0, -math.sqrt(0.5), math.sqrt(0.5)), -math.pi / 2),
    ((0.0, 0.0, -math.sqrt(0.5), -math.sqrt(0.5)), math.pi / 2),   # q and -q are one rotation
])
def test_yaw_is_counter_clockwise(quaternion, yaw):
    message = odometry()
    turn = message.pose.pose.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion
    assert messages.read_odometry(message).pose.yaw == pytest.approx(yaw)


def test_odometry_is_read_as_it_is():
    message = odometry(yaw=0.5)
    message.twist.twist.linear.x, message.twist.twist.linear.y = 5.0, -0.25
    message.twist.twist.angular.z = 0.1
    assert messages.read_odometry(message) == VehicleState(
        3_050_000_000, Pose(1.0, 2.0, 0.0, pytest.approx(0.5)), (5.0, -0.25), 0.1)


def test_odometry_there_and_back():
    state = VehicleState(123_456_789_012, Pose(-4.0, 3.5, 0.25, -2.5), (7.0, 0.5), -0.3)
    message = messages.make_odometry(state, 'ego_vehicle')
    back = messages.read_odometry(message)
    assert back.stamp == state.stamp and back.velocity == state.velocity
    assert back.pose == pytest.approx(state.pose) and back.yaw_rate == state.yaw_rate
    assert message.child_frame_id == 'ego_vehicle'


@pytest.mark.parametrize('spoil, words', [
    (lambda m: setattr(m.pose.pose.position, 'x', math.nan), 'position of odometry'),
    (lambda m: setattr(m.pose.pose.position, 'z', math.inf), 'position of odometry'),
    (lambda m: setattr(m.pose.pose.orientation, 'w', math.nan), 'orientation of odometry'),
    (lambda m: setattr(m.pose.pose.orientation, 'w', 0.0), 'length 0, not 1'),
    (lambda m: setattr(m.pose.pose.orientation, 'w', 2.0), 'length 2, not 1'),
    (lambda m: setattr(m.twist.twist.linear, 'x', -math.inf), 'velocity of odometry'),
    (lambda m: setattr(m.twist.twist.angular, 'z', math.nan), 'velocity of odometry'),
    (lambda m: setattr(m.header, 'frame_id', 'odom'), "frame 'odom', not in 'map'"),
])
def test_bad_odometry_is_refused_in_words(spoil, words):
    message = odometry()
    spoil(message)
    with pytest.raises(MessageError, match=words):
        messages.read_odometry(message)


def test_a_twist_in_the_body_frame_turns_with_the_vehicle():
    twist = Twist()
    twist.linear.x, twist.linear.y, twist.angular.z = 2.0, 1.0, 0.5
    # Facing along the map's y: forward is +y, left is -x.
    assert messages.read_twist(twist, math.pi / 2) == pytest.approx((-1.0, 2.0, 0.5))


def path(points, frame='map'):
    message = Path()
    message.header.frame_id = frame
    for x, y in points:
        pose = PoseStamped()
        pose.pose.position.x, pose.pose.position.y = x, y
        message.poses.append(pose)
    return message


def test_a_route_is_read_in_its_own_frame():
    points = messages.read_path(path([(0.0, 0.0), (1.0, 0.5), (2.0, 1.0)]))
    assert points.dtype == np.float64 and points.tolist() == [[0, 0], [1, 0.5], [2, 1]]


@pytest.mark.parametrize('message, words', [
    (path([]), 'the route has 0 points'),
    (path([(1.0, 1.0)]), 'the route has 1 points'),
    (path([(0.0, 0.0), (math.nan, 1.0)]), 'points that are not finite'),
    (path([(0.0, 0.0), (1.0, 1.0)], 'odom'), "frame 'odom', not in 'map'"),
])
def test_bad_routes_are_refused_in_words(message, words):
    with pytest.raises(MessageError, match=words):
        messages.read_path(message)


def test_a_route_there_and_back():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    message = messages.make_path(points, 5, [0.0, 0.1, 0.2])
    assert np.array_equal(messages.read_path(message), points)
    assert [p.pose.position.z for p in message.poses] == [0.0, 0.1, 0.2]
    # Along x, then left, and the last as the one before it.
    yaws = [messages.read_pose(p.pose).yaw for p in message.poses]
    assert yaws == pytest.approx([0.0, math.pi / 2, math.pi / 2])
    assert all(p.header.frame_id == '' for p in message.poses)
    assert messages.make_path(np.empty((0, 2)), 5).poses == []


def test_commands_keep_their_signs_and_stamps():
    control = Control(throttle=0.5, steer=0.25, brake=0.125, hand_brake=True, reverse=True,
                      gear=-1, manual_gear_shift=True)
    message = messages.make_control(control, 1_234_567_890, 'ego_vehicle')
    # Steer is CARLA's on both sides: positive to the right.
    assert message.steer == 0.25
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 234_567_890)
    assert messages.read_control(message) == control


@pytest.mark.parametrize('name, value', [
    ('throttle', math.nan), ('steer', math.inf), ('brake', -math.inf), ('throttle', 1.01),
    ('throttle', -0.01), ('steer', -1.5), ('brake', 2.0)])
def test_bad_commands_are_refused(name, value):
    message = CarlaEgoVehicleControl(**{name: value})
    with pytest.raises(MessageError, match='the command'):
        messages.read_control(message)
    if math.isfinite(value):
        clipped = messages.read_control(message, clip=True)
        assert getattr(clipped, name) == max(-1.0 if name == 'steer' else 0.0, min(value, 1.0))
    else:
        with pytest.raises(MessageError, match='not finite'):
            messages.read_control(message, clip=True)


def test_infinities_of_both_signs_do_not_cancel():
    message = CarlaEgoVehicleControl(throttle=math.inf, brake=-math.inf)
    with pytest.raises(MessageError, match='not finite'):
        messages.read_control(message, clip=True)


def test_bounds_rounded_to_float32_are_within():
    message = CarlaEgoVehicleControl(throttle=float(np.nextafter(np.float32(1), np.float32(2))))
    assert messages.read_control(message).throttle == pytest.approx(1.0)


def test_stamps_there_and_back():
    for value in (0, 1, 999_999_999, 1_000_000_000, 2**31 * 10**9 - 1):
        assert messages.read_stamp(messages.make_stamp(value)) == value


def test_a_pose_there_and_back():
    pose = Pose(1.0, -2.0, 0.5, 3.0)
    assert messages.read_pose(messages.make_pose(pose)) == pytest.approx(pose)
    assert messages.read_pose(PoseMsg()) == Pose(0.0, 0.0, 0.0, 0.0)
