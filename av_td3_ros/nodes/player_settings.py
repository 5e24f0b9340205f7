# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the player node."""

from __future__ import annotations

import dataclasses

from av_td3_ros.settings import setting


@dataclasses.dataclass(frozen=True)
class PlayerSettings:
    """Which bag is played to whom, how fast, and what becomes of the answers."""

    bag: str = setting('', 'folder of a bag, or one file of it; rosbag2, sqlite3 or mcap')
    role_name: str = setting(
        'ego_vehicle', 'vehicle to whose topics the bag is played; also whose topics of the bag '
        'are taken, where it has some of that name')
    camera: str = setting('rgb_front', "the camera's id: its topic is <camera>/image")
    topics: str = setting(
        '', 'topics of the bag that are not found by their type, KIND=NAME with commas between '
        'them; kinds as for evaluate_bag')
    rate: float = setting(
        1.0, 'speed of the bag, over that of its recording; 0: as fast as it is answered',
        ge=0.0, le=1000.0, read_only=False)
    start_paused: bool = setting(False, 'wait until ~/pause is called with false')
    wait_for_commands: bool = setting(
        True, 'send nothing before the picture sent last has its command, so that the answers do '
        'not depend on how fast anybody is; without, what comes too late is lost')
    command_timeout: float = setting(
        5.0, 'wall time that a command may take, s', ge=0.05, le=600.0)
    policy_timeout: float = setting(
        60.0, 'wall time to wait for the policy node before the first message, s; 0: for nobody',
        ge=0.0, le=3600.0)
    route: str = setting(
        'recorded', 'driven: take the way that the vehicle took for its route',
        choices=('recorded', 'driven'))
    pairing: str = setting(
        '', 'of pictures and odometry; empty: found by their stamps',
        choices=('', 'exact', 'nearest', 'received'))
    out: str = setting(
        '', 'folder of the report on the commands heard, as evaluate_bag writes it; empty: none')
    force: bool = setting(False, 'replace an earlier report')
    checkpoint: str = setting('', 'what the policy node drives with, for the report')
    disturbed: int = setting(
        300, 'pictures on which the policy is disturbed for the report; 0: none', ge=0, le=10**6)
    video: bool = setting(True, 'write a video with the report')
