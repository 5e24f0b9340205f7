# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Roads, states and pictures for the tests of the driving room."""

import math

import numpy as np

from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.driving.route import Route

TICK = 50_000_000


def straight(length=100.0, step=1.0):
    """Return a route along x from the origin."""
    x = np.arange(0.0, length + 0.5 * step, step)
    return Route(np.stack([x, np.zeros_like(x)], axis=1))


def bend(left=True, radius=20.0, points=4001):
    """
    Return a quarter turn that starts at the origin along x.

    To the left its centre is at (0, radius), to the right at (0, -radius).
    """
    turn = np.linspace(0.0, math.pi / 2.0, points)
    sign = 1.0 if left else -1.0
    return Route(np.stack([radius * np.sin(turn), sign * radius * (1.0 - np.cos(turn))], axis=1))


def state(x=0.0, y=0.0, yaw=0.0, *, tick=0, speed=0.0, sideways=0.0, yaw_rate=0.0):
    """Return a vehicle's state; speed and sideways are in its own frame."""
    return VehicleState(tick * TICK, Pose(x, y, 0.0, yaw), (speed, sideways), yaw_rate)


def picture(value=0, width=96, height=84):
    """Return a picture of one brightness, which is its number, (H, W, 4) bgra8."""
    image = np.full((height, width, 4), value, dtype=np.uint8)
    image[:, :, 3] = 255
    return image
