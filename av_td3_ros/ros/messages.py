# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Messages and what they mean: the only place where one becomes the other.

``read_...`` turns a message into the types of :mod:`av_td3_ros.driving`, or raises
:class:`MessageError` with one sentence that says what is wrong with it; it is the same code that
reads a bag offline (:mod:`av_td3_ros.driving.reading`). ``make_...`` goes the other way. Pictures
are in :mod:`av_td3_ros.ros.images`.

Frames and signs are those of the CARLA ROS bridge: poses in frame ``map`` (REP-103), the
odometry's ``twist.linear`` in the body frame, ``twist.angular.z`` counter-clockwise positive,
and ``steer`` positive to the right as in CARLA.
"""

from __future__ import annotations

from typing import Sequence

from carla_msgs.msg import CarlaEgoVehicleControl
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped
from nav_msgs.msg import Odometry, Path
import numpy as np

from av_td3_ros.driving.frames import Control, Pose, quaternion_from_yaw, VehicleState
from av_td3_ros.driving.reading import (MAP_FRAME, read_control, read_odometry, read_path,
                                        read_pose, read_twist)
from av_td3_ros.ros.commands import make_stamp, MessageError, read_stamp

__all__ = [
    'make_control', 'make_odometry', 'make_path', 'make_pose', 'make_stamp', 'MAP_FRAME',
    'MessageError', 'read_control', 'read_odometry', 'read_path', 'read_pose', 'read_stamp',
    'read_twist']


def make_pose(pose: Pose) -> PoseMsg:
    """Return a pose as a message; roll and pitch are zero."""
    message = PoseMsg()
    position, turn = message.position, message.orientation
    position.x, position.y, position.z = float(pose.x), float(pose.y), float(pose.z)
    turn.x, turn.y, turn.z, turn.w = quaternion_from_yaw(pose.yaw)
    return message


def make_odometry(state: VehicleState, child_frame_id: str) -> Odometry:
    """Return the vehicle's state as the bridge's ``odometry``; its covariances are zero."""
    message = Odometry(child_frame_id=child_frame_id)
    message.header.frame_id = MAP_FRAME
    message.header.stamp = make_stamp(state.stamp)
    message.pose.pose = make_pose(state.pose)
    twist = message.twist.twist
    twist.linear.x, twist.linear.y = map(float, state.velocity)
    twist.angular.z = float(state.yaw_rate)
    return message


def make_path(points: np.ndarray, stamp: int, heights: Sequence[float] | None = None) -> Path:
    """
    Return points (N, 2) in m, map frame, as the bridge's ``waypoints``.

    Each pose looks towards the next point; the poses' own headers stay empty, as the bridge
    leaves them. ``heights`` are z in m, 0 where left out; ``stamp`` is in ns.
    """
    message = Path()
    message.header.frame_id = MAP_FRAME
    message.header.stamp = make_stamp(stamp)
    if len(points) > 1:
        delta = np.diff(points, axis=0)
        yaws = np.arctan2(delta[:, 1], delta[:, 0])
        yaws = np.append(yaws, yaws[-1])
    else:
        yaws = np.zeros(len(points))
    zs = np.zeros(len(points)) if heights is None else heights
    message.poses = [
        PoseStamped(pose=make_pose(Pose(float(x), float(y), float(z), float(yaw))))
        for (x, y), z, yaw in zip(points, zs, yaws)]
    return message


def make_control(control: Control, stamp: int = 0, frame_id: str = '') -> CarlaEgoVehicleControl:
    """Return a vehicle command as a message with its stamp in ns: that of what it answers."""
    message = CarlaEgoVehicleControl(
        throttle=float(control.throttle), steer=float(control.steer), brake=float(control.brake),
        hand_brake=control.hand_brake, reverse=control.reverse, gear=control.gear,
        manual_gear_shift=control.manual_gear_shift)
    message.header.stamp = make_stamp(stamp)
    message.header.frame_id = frame_id
    return message
