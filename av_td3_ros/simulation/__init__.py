# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded town: map, vehicle, traffic, camera, environment; no ROS."""

from __future__ import annotations

from typing import Any

__all__ = ['TownEnv']


def __getattr__(name: str) -> Any:
    # Only on demand: the environment loads the renderer, which the other rooms do not need.
    if name == 'TownEnv':
        from av_td3_ros.simulation.env import TownEnv
        return TownEnv
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
