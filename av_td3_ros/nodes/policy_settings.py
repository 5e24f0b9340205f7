# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node."""

from __future__ import annotations

import dataclasses

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.episode import EpisodeSettings
from av_td3_ros.driving.exploration import ExplorationSettings
from av_td3_ros.driving.observation import ObservationSettings
from av_td3_ros.driving.reward import RewardSettings
from av_td3_ros.driving.safety.gate import GateSettings
from av_td3_ros.driving.safety.safety import SafetySettings
from av_td3_ros.driving.safety.stop import StopSettings
from av_td3_ros.driving.safety.watchdogs import WatchdogSettings
from av_td3_ros.driving.task import TaskSettings
from av_td3_ros.settings import section, setting


@dataclasses.dataclass(frozen=True)
class PolicySettings:
    """What the policy node is started with."""

    autostart: bool = setting(True, 'configure and activate without being asked')
    training: bool = setting(
        False, 'drive training episodes and send experience; otherwise drive the route given')
    shadow: bool = setting(
        False, 'command nobody: what the policy decides goes to shadow/vehicle_control_cmd, as it '
        'is, without watchdogs and limits; for a bag that is replayed, or beside who drives')
    explore: bool = setting(True, 'add exploration noise while training')
    checkpoint: str = setting(
        '', 'checkpoint file to drive with; empty waits for weights from the training node')
    trainer: str = setting('/av_td3_trainer', 'name of the training node')
    lockstep: bool = setting(
        False, 'while training, wait for the learner before each command, so that a run can be '
        'repeated bit by bit; needs the synchronous mode of the simulation')
    lockstep_timeout: float = setting(
        0.5, 'wall time to wait for the learner in lockstep before the simulation is paused until '
        'it answers, s; the bridge itself waits 1 s', ge=0.01, le=60.0)
    pair_timeout: float = setting(
        0.1, 'wall time that an image waits for the odometry of its stamp, s', ge=0.001, le=10.0)
    service_timeout: float = setting(
        4.5, 'wall time after which a save or load is answered with a failure, s',
        ge=0.1, le=60.0)
    seed: int = setting(0, 'seed of routes and exploration', ge=0)
    town: str = setting(
        '', 'map to draw routes from: an OpenDRIVE file (.xodr), or the name of a town that comes '
        'with the package (town_a); empty takes the map that the bridge publishes')
    routes_file: str = setting(
        '', 'YAML file with the routes to drive in training, instead of drawing them: a list '
        '"routes" of {start: [x, y, z, yaw], goal: [x, y, z, yaw]} in m and rad, map frame')
    camera: str = setting('rgb_front', "the camera's id: its topic is <camera>/image")
    command_deadline: float = setting(
        0.05, 'wall time from a picture to its command beyond which a deadline counts as missed, '
        's', ge=0.001, le=60.0)
    expect_guard: bool = setting(
        False, 'whether a guard is started too: drives begin once it is there, and its absence '
        'is warned of')
    guard: str = setting('av_td3_guard', "name of the guard, relative to the vehicle's namespace")
    guard_timeout: float = setting(
        10.0, 'wall time to wait for the guard before a drive begins without it, s', ge=0.0,
        le=3600.0)
    threads: int = setting(1, "torch's threads for the policy", ge=1, le=64)
    exploration: ExplorationSettings = section(ExplorationSettings)
    observation: ObservationSettings = section(ObservationSettings)
    action: ActionSettings = section(ActionSettings)
    reward: RewardSettings = section(RewardSettings)
    episode: EpisodeSettings = section(EpisodeSettings)
    gate: GateSettings = section(GateSettings)
    watchdog: WatchdogSettings = section(WatchdogSettings)
    safe_stop: StopSettings = section(StopSettings)

    @property
    def task(self) -> TaskSettings:
        """Return the part that defines the driving task."""
        return TaskSettings(self.observation, self.action, self.reward, self.episode)

    @property
    def safety(self) -> SafetySettings:
        """Return what commands go through, and when to stop."""
        return SafetySettings(self.gate, self.watchdog, self.safe_stop)
