# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where training episodes start and lead: routes of a town, or of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, TYPE_CHECKING
import zlib

import numpy as np
import yaml

from av_td3_ros.driving.episode import EpisodeSettings
from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.start import Plan
from av_td3_ros.settings import SettingsError

if TYPE_CHECKING:
    from av_td3_ros.simulation.town import Town  # brings CARLA's library, 30 MB


def stream_number(role: str) -> int:
    """Return a number that is the same for a role's name in every run."""
    return zlib.crc32(role.encode())


def town_plans(town: Town, limits: EpisodeSettings, seed: int, stream: int
               ) -> Callable[[int], Plan]:
    """Return a function from an episode's number to a route drawn from the town's lanes."""
    def plan(episode: int) -> Plan:
        rng = np.random.default_rng([seed, stream, episode])
        start, goal, _ = town.sample_route(rng, limits.min_route_length, limits.max_route_length)
        return Plan(start, goal)
    return plan


def file_plans(path: str | Path) -> Callable[[int], Plan]:
    """Return a function from an episode's number to the file's routes, in turn."""
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f'routes_file {path} cannot be read: {error}') from None
    routes = document.get('routes') if isinstance(document, dict) else None
    if not isinstance(routes, list) or not routes:
        raise SettingsError(f'routes_file {path} has no list "routes"')
    plans = [Plan(_pose(path, number, route, 'start'), _pose(path, number, route, 'goal'))
             for number, route in enumerate(routes)]
    return lambda episode: plans[episode % len(plans)]


def _pose(path: str | Path, number: int, route: Any, key: str) -> Pose:
    try:
        x, y, z, yaw = (float(value) for value in route[key])
    except (KeyError, TypeError, ValueError):
        raise SettingsError(
            f'routes_file {path}: route {number} needs {key}: [x, y, z, yaw]') from None
    if not np.isfinite([x, y, z, yaw]).all():
        raise SettingsError(f'routes_file {path}: route {number} has a {key} that is not finite')
    return Pose(x, y, z, yaw)
