# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lines and points in the map frame as RViz and Foxglove show them."""

from __future__ import annotations

from typing import Sequence

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
import numpy as np
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.reading import MAP_FRAME
from av_td3_ros.ros.messages import make_pose, make_stamp

# A marker that is not renewed goes: nobody is left who knows whether it still holds.
_LIFETIME = 2

LINE, POINTS, ARROW = Marker.LINE_STRIP, Marker.SPHERE_LIST, Marker.ARROW


def make_marker(name: str, kind: int, stamp: int, points: np.ndarray, size: float,
                colour: Sequence[float]) -> Marker:
    """
    Return a line or a set of spheres as a marker in a namespace of its own, ``name``.

    points: (N, 3) in m, map frame. size: width or diameter in m. colour: red, green, blue and
    opacity, each in [0, 1]. stamp: ns. A marker without points is taken away.
    """
    message = _marker(name, kind, stamp, colour)
    message.pose.orientation.w = 1.0
    message.scale.x = float(size)
    if kind == POINTS:
        message.scale.y = message.scale.z = float(size)
    message.points = [Point(x=x, y=y, z=z) for x, y, z in np.asarray(points, float).tolist()]
    if len(message.points) < (2 if kind == LINE else 1):
        message.action = Marker.DELETE
    return message


def make_arrow(name: str, stamp: int, pose: Pose, length: float, colour: Sequence[float]
               ) -> Marker:
    """Return an arrow of a length in m that begins at a pose and points where it does."""
    message = _marker(name, ARROW, stamp, colour)
    message.pose = make_pose(pose)
    message.scale.x, message.scale.y, message.scale.z = float(length), 0.3, 0.3
    return message


def make_markers(markers: Sequence[Marker]) -> MarkerArray:
    """Return markers as one message."""
    return MarkerArray(markers=list(markers))


def _marker(name: str, kind: int, stamp: int, colour: Sequence[float]) -> Marker:
    message = Marker(ns=name, type=kind, action=Marker.ADD, lifetime=Duration(sec=_LIFETIME))
    message.header.frame_id = MAP_FRAME
    message.header.stamp = make_stamp(stamp)
    red, green, blue, opacity = map(float, colour)
    message.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
    return message
