# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The observation: what the policy is given, built here while driving, training and replaying."""

from __future__ import annotations

import dataclasses
from typing import TypedDict

import numpy as np

from av_td3_ros.driving.frames import to_body, VehicleState
from av_td3_ros.driving.route import Route, RoutePosition
from av_td3_ros.settings import setting

POINTS = 10
POINT_SPACING = 5.0
VECTOR_SIZE = 3 + 2 * POINTS


class Observation(TypedDict):
    """image: (4, 84, 84) uint8, oldest frame first. vector: (23,) float32, scaled."""

    image: np.ndarray
    vector: np.ndarray


@dataclasses.dataclass(frozen=True)
class ObservationSettings:
    """By what the entries of the vector state are divided, so that they are of order one."""

    speed_scale: float = setting(10.0, 'divides the speed, m/s', ge=1e-3, le=1e3)
    lateral_scale: float = setting(2.0, 'divides the lateral deviation, m', ge=1e-3, le=1e3)
    heading_scale: float = setting(1.0, 'divides the heading error, rad', ge=1e-3, le=1e3)
    point_scale: float = setting(25.0, 'divides the route points, m', ge=1e-3, le=1e3)


def vector_state(state: VehicleState, route: Route, position: RoutePosition,
                 settings: ObservationSettings) -> np.ndarray:
    """
    Return the vector part of the observation, (23,) float32.

    Speed; signed lateral deviation (left positive); heading error (left positive); then ten
    route points 5, 10 ... 50 m ahead of the vehicle's place on the route, x forward and y left
    in the vehicle's frame, interleaved x0, y0, x1, y1 ...; points past the route's end are its
    end. Each divided by its scale.
    """
    distances = position.distance + POINT_SPACING * np.arange(1, POINTS + 1)
    points = to_body(state.pose, route.at(distances))
    vector = np.empty(VECTOR_SIZE, dtype=np.float32)
    vector[0] = state.speed / settings.speed_scale
    vector[1] = position.lateral / settings.lateral_scale
    vector[2] = position.heading_error / settings.heading_scale
    vector[3:] = points.ravel() / settings.point_scale
    return vector
