# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The other cars: they follow lanes, keep their distance and take turns at junctions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from av_td3_ros.settings import setting
from av_td3_ros.simulation.town import Town, TownError
from av_td3_ros.simulation.vehicle import Vehicle


@dataclasses.dataclass(frozen=True)
class TrafficSettings:
    """How the other cars drive."""

    speed: float = setting(10.0, 'Speed that the other cars like to drive in m/s.', ge=0.5,
                           le=40.0)


@dataclasses.dataclass(eq=False)
class Others:
    """
    The other cars as arrays of equal length, one entry a car.

    ``ids`` actor ids; ``x``, ``y``, ``z`` in m: the box's centre, on the ground; ``yaw`` in rad;
    ``speed`` in m/s along the heading; ``length``, ``width``, ``height`` in m; ``colour`` an
    integer that picks the paint.
    """

    ids: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    yaw: np.ndarray
    speed: np.ndarray
    length: np.ndarray
    width: np.ndarray
    height: np.ndarray
    colour: np.ndarray


class Traffic:
    """The other cars of a town (none yet)."""

    def __init__(self, town: Town, settings: TrafficSettings | None = None) -> None:
        self.town = town
        self.settings = settings or TrafficSettings()

    def reset(self, count: int, ego: Vehicle, rng: np.random.Generator) -> None:
        if count:
            raise TownError('traffic is not there yet')
        empty = np.empty(0)
        self.others = Others(np.empty(0, np.int64), empty, empty, empty, empty, empty, empty,
                             empty, empty, np.empty(0, np.int64))

    def step(self, ego: Vehicle, dt: float) -> None:
        pass

    def snapshot(self) -> Any:
        return None

    def restore(self, snapshot: Any) -> None:
        pass
