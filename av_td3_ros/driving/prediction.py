# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle gets to if it goes on as it does: for showing, no decision is made of it."""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.driving.frames import Pose, to_map


def predicted_path(pose: Pose, speed: float, yaw_rate: float, seconds: float,
                   spacing: float = 0.1) -> np.ndarray:
    """
    Return the path at constant speed (m/s) and yaw rate (rad/s), (N, 3) in m, map frame.

    It begins at ``pose``, has a point every ``spacing`` s up to ``seconds``, and stays at its z.
    """
    time = np.arange(0.0, seconds + 0.5 * spacing, spacing)
    turned = yaw_rate * time
    # sin(a)/a and (1 - cos(a))/a without a division by a small a.
    forward = speed * time * np.sinc(turned / math.pi)
    left = speed * time * np.sin(0.5 * turned) * np.sinc(0.5 * turned / math.pi)
    points = to_map(pose, np.column_stack([forward, left]))
    return np.column_stack([points, np.full(len(points), pose.z)])


def steered_yaw_rate(steer: float, speed: float, max_steer_angle: float, wheelbase: float
                     ) -> float:
    """
    Return the yaw rate in rad/s that a steering command leads to at low lateral acceleration.

    The kinematic bicycle: speed in m/s, wheelbase in m, the wheels' angle in rad at a steer of 1,
    which is to the right.
    """
    return -speed * math.tan(steer * max_steer_angle) / wheelbase
