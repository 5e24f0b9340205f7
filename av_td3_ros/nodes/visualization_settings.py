# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the visualization node."""

from __future__ import annotations

import dataclasses

from av_td3_ros.settings import section, setting


@dataclasses.dataclass(frozen=True)
class MountSettings:
    """Where the camera is on the vehicle, as in config/objects.json."""

    x: float = setting(2.0, 'forward of the origin of odometry, m', ge=-10.0, le=10.0)
    y: float = setting(0.0, 'to the left, m', ge=-10.0, le=10.0)
    z: float = setting(2.0, 'above the ground, m', ge=0.0, le=20.0)


@dataclasses.dataclass(frozen=True)
class VisualizationSettings:
    """What is shown."""

    policy: str = setting(
        'av_td3_policy', "name of the policy node, relative to the vehicle's namespace")
    camera: str = setting('rgb_front', "the camera's id: its topic is <camera>/image")
    rate: float = setting(
        5.0, 'pictures and markers per second of wall time, at most', ge=0.1, le=60.0)
    attention: bool = setting(
        True, 'whether to show where in the picture the policy looks; it takes some 50 runs of '
        'the encoder for each picture that is shown')
    prediction: float = setting(
        2.0, 'time that the predicted path reaches ahead, s', ge=0.1, le=20.0)
    wheelbase: float = setting(
        2.85, "the vehicle's, m, for the path that its command leads to", ge=0.5, le=10.0)
    niceness: int = setting(
        5, 'how much lower its priority is than that of what drives; on a busy machine the first '
        'picture takes minutes with 10', ge=0, le=19)
    mount: MountSettings = section(MountSettings)
