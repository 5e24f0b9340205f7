# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the messages of a vehicle mean, whoever decoded them: rclpy live, a bag reader offline.

``read_...`` turns a message, by its fields, into the types of this room, or raises
:class:`MessageError` with one sentence that says what is wrong with it. Pictures are in
:mod:`av_td3_ros.driving.pictures`.

Frames and signs are those of the CARLA ROS bridge: poses in frame ``map`` (REP-103), the
odometry's ``twist.linear`` in the body frame, ``twist.angular.z`` counter-clockwise positive,
and ``steer`` positive to the right as in CARLA.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from av_td3_ros.driving.frames import Control, Pose, VehicleState, yaw_from_quaternion
from av_td3_ros.driving.wire import check_command, check_finite, MessageError, read_stamp

MAP_FRAME = 'map'

# A quaternion whose length is further than this from one was not meant as a rotation.
_QUATERNION_TOLERANCE = 0.01


def _in_map(what: str, frame_id: str) -> None:
    if frame_id != MAP_FRAME:
        raise MessageError(f'{what} is in frame {frame_id!r}, not in {MAP_FRAME!r}')


def read_pose(pose: Any, what: str = 'the pose') -> Pose:
    """Return a pose in the map frame; roll and pitch are left out."""
    position, turn = pose.position, pose.orientation
    check_finite(f'the position of {what}', position.x, position.y, position.z)
    check_finite(f'the orientation of {what}', turn.x, turn.y, turn.z, turn.w)
    length = math.hypot(turn.x, turn.y, turn.z, turn.w)
    if abs(length - 1.0) > _QUATERNION_TOLERANCE:
        raise MessageError(f'the orientation of {what} is a quaternion of length {length:g}, '
                           'not 1')
    return Pose(position.x, position.y, position.z,
                yaw_from_quaternion(turn.x, turn.y, turn.z, turn.w))


def read_twist(twist: Any, yaw: float) -> tuple[float, float, float]:
    """
    Return a body-frame twist of a vehicle with this yaw (rad) as a velocity in the map frame.

    The result is (vx, vy, yaw rate) in m/s and rad/s, counter-clockwise positive.
    """
    x, y, turn = twist.linear.x, twist.linear.y, twist.angular.z
    check_finite('the twist', x, y, turn)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return cos * x - sin * y, sin * x + cos * y, turn


def read_odometry(odometry: Any) -> VehicleState:
    """
    Return the vehicle's state.

    Raises :class:`MessageError` for values that are not finite, an orientation that is no
    rotation, and a frame other than ``map``.
    """
    _in_map('odometry', odometry.header.frame_id)
    twist = odometry.twist.twist
    check_finite('the velocity of odometry', twist.linear.x, twist.linear.y, twist.angular.z)
    return VehicleState(
        stamp=read_stamp(odometry.header.stamp),
        pose=read_pose(odometry.pose.pose, 'odometry'),
        velocity=(twist.linear.x, twist.linear.y), yaw_rate=twist.angular.z)


def read_path(path: Any) -> np.ndarray:
    """
    Return the points of a route, (N, 2) float64 in m, map frame, N at least 2.

    Raises :class:`MessageError` for fewer points, for values that are not finite, and for a frame
    other than ``map``. The frame is the path's: the bridge leaves its poses' headers empty.
    """
    _in_map('the route', path.header.frame_id)
    if len(path.poses) < 2:
        raise MessageError(f'the route has {len(path.poses)} points, but needs two or more')
    points = np.array([(p.pose.position.x, p.pose.position.y) for p in path.poses])
    if not np.isfinite(points).all():
        raise MessageError('the route has points that are not finite')
    return points


def read_control(message: Any, *, clip: bool = False) -> Control:
    """
    Return a vehicle command.

    Raises :class:`MessageError` where it is not finite or out of range. With ``clip``, values out
    of range are brought into it instead, as CARLA does.
    """
    check_command(message, any_range=clip)
    throttle, steer, brake = message.throttle, message.steer, message.brake
    if clip:
        throttle, steer, brake = (min(max(value, low), 1.0) for value, low in (
            (throttle, 0.0), (steer, -1.0), (brake, 0.0)))
    return Control(throttle=throttle, steer=steer, brake=brake, hand_brake=message.hand_brake,
                   reverse=message.reverse, gear=message.gear,
                   manual_gear_shift=message.manual_gear_shift)
