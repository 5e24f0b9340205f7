# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Frames and signs: the one place where their conventions live.

Map frame (REP-103): x forward of the map's origin, y left, z up, metres; yaw in radians,
counter-clockwise positive. Body frame: x forward, y left. CARLA's own frame is left-handed: its
y, pitch and yaw are the negatives of ours, as the CARLA ROS bridge converts them.

``steer`` is CARLA's throughout, and passes untouched from the policy to the vehicle: positive
steers to the **right**, against REP-103.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np


class Pose(NamedTuple):
    """Where a vehicle is: x, y, z in m and yaw in rad, in the map frame."""

    x: float
    y: float
    z: float
    yaw: float


@dataclasses.dataclass(frozen=True)
class Control:
    """
    A vehicle command with the fields and signs of ``carla_msgs/CarlaEgoVehicleControl``.

    throttle and brake are in [0, 1], steer in [-1, 1] with positive to the right.
    """

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    gear: int = 0
    manual_gear_shift: bool = False


FULL_BRAKE = Control(brake=1.0)


@dataclasses.dataclass(frozen=True)
class VehicleState:
    """
    The vehicle at one instant.

    stamp: simulation time in ns. pose: map frame. velocity: (forward, left) in m/s, body frame.
    yaw_rate: rad/s, counter-clockwise positive.
    """

    stamp: int
    pose: Pose
    velocity: tuple[float, float]
    yaw_rate: float

    @property
    def speed(self) -> float:
        """Magnitude of the velocity in m/s."""
        return math.hypot(*self.velocity)


def wrap_angle(angle: float) -> float:
    """Return the angle in rad brought into [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def yaw_from_quaternion(x: float, y: float, z: float, w: float) -> float:
    """Return the yaw in rad of a quaternion of any non-zero length (ZYX order)."""
    return math.atan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)


def quaternion_from_yaw(yaw: float) -> tuple[float, float, float, float]:
    """Return the unit quaternion (x, y, z, w) of a rotation about z by yaw rad."""
    return 0.0, 0.0, math.sin(0.5 * yaw), math.cos(0.5 * yaw)


def to_body(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return map points (N, 2) in the body frame of a vehicle at ``pose``, (N, 2)."""
    cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
    return (points - (pose.x, pose.y)) @ np.array([[cos, -sin], [sin, cos]])


def to_map(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Return body-frame points (N, 2) of a vehicle at ``pose`` in the map frame, (N, 2)."""
    cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
    return points @ np.array([[cos, sin], [-sin, cos]]) + (pose.x, pose.y)


def from_carla(x: float, y: float, z: float, yaw_degrees: float) -> Pose:
    """Return CARLA's left-handed location (m) and yaw (degrees) as a :class:`Pose`."""
    return Pose(x, -y, z, wrap_angle(math.radians(-yaw_degrees)))


def to_carla(pose: Pose) -> tuple[float, float, float, float]:
    """Return a pose as CARLA's x, y, z in m and yaw in degrees."""
    return pose.x, -pose.y, pose.z, math.degrees(-pose.yaw)
