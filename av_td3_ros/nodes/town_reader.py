# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the map beside the driving: it takes seconds, and images go on coming."""

from __future__ import annotations

import threading
from typing import Any, Callable

from carla_msgs.msg import CarlaWorldInfo
from rclpy.node import Node

from av_td3_ros.driving.start import Plan
from av_td3_ros.nodes.plans import stream_number, town_plans
from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.simulation.maps import town_path


class TownReader:
    """
    Reads a town in a thread of its own, and hands on what the driving needs of it.

    ``found`` is called in that thread with a function that tells whether a place is drivable, and
    one from an episode's number to its route. A map that cannot be read is logged, and nothing is
    called.
    """

    def __init__(self, node: Node, settings: PolicySettings, role: str, warnings: Warnings,
                 found: Callable[[Any, Callable[[int], Plan]], None]) -> None:
        self._logger, self._settings, self._role = node.get_logger(), settings, role
        self._warnings, self._found = warnings, found

    def read(self, world: CarlaWorldInfo | None) -> None:
        """Begin to read the map of ``world``, or that of the settings where it is None."""
        threading.Thread(target=self._read, args=(world,), name='town', daemon=True).start()

    def _read(self, world: CarlaWorldInfo | None) -> None:
        try:
            from av_td3_ros.simulation.town import Town, TownError
        except ImportError as error:
            self._warnings.warn('map', f'the map cannot be read without {error.name}: only the '
                                'distance from the route counts as leaving the road, and routes '
                                'need routes_file')
            return
        s = self._settings
        try:
            town = Town.load(town_path(s.town)) if world is None else Town.from_opendrive(
                world.opendrive, world.map_name)
            plans = town_plans(town, s.episode, s.seed, stream_number(self._role))
            plans(0)  # a town without such a route says so here
        except TownError as error:
            self._logger.error(str(error))
            return
        self._found(town.on_road, plans)
        self._logger.info(f'map {town.name}: {len(town.spawn_points)} starts')
