# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a training without ROS, read from the nodes' own parameter files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.episode import EpisodeSettings
from av_td3_ros.driving.exploration import ExplorationSettings
from av_td3_ros.driving.observation import ObservationSettings
from av_td3_ros.driving.reward import RewardSettings
from av_td3_ros.driving.task import TaskSettings
from av_td3_ros.learning.learner import LearnerSettings, TrainingSettings
from av_td3_ros.learning.settings import AlgorithmSettings, NetworkSettings
from av_td3_ros.settings import (as_dict, build, declarations, read_parameter_file, section,
                                 setting, SettingsError)


@dataclasses.dataclass(frozen=True)
class SimulationSettings:
    """The environments that ``train`` runs."""

    vehicles: int = setting(0, 'other cars in the town', ge=0, le=1000)
    traffic_speed: float = setting(
        9.0, 'speed that the other cars like to drive at, give or take a fifth, m/s', ge=0.5,
        le=40.0)
    worlds: int = setting(1, 'environments side by side, at least one for each town; a checkpoint '
                          'waits for the episodes of all', ge=1, le=64)
    image_width: int = setting(160, "width of the camera's image before the reduction to 84x84",
                               ge=84, le=4096)
    image_height: int = setting(120, "height of the camera's image before the reduction",
                                ge=84, le=4096)
    blank_camera: bool = setting(False, 'give the agent a black image, for comparison')


@dataclasses.dataclass(frozen=True)
class CurriculumSettings:
    """From easy to hard while ``train`` runs."""

    transitions: int = setting(
        0, 'transitions over which the other cars grow from none to all and the longest route '
        'from the shortest; 0 for the whole difficulty at once', ge=0)


@dataclasses.dataclass(frozen=True)
class DemonstrationSettings:
    """Transitions that ``train`` begins with: of recorded drivers, then of the classical one."""

    bags: str = setting('', 'rosbag2 bags of drivers worth imitating, paths separated by commas; '
                        'empty for none')
    bags_role: str = setting('', 'role name of the vehicle in the bags; empty to find it')
    bags_town: str = setting(
        '', 'where the bags were recorded, for the edge of the road: the path of an OpenDRIVE map '
        'or the name of one that comes with the package, such as town_a; empty where there is '
        'none: only the distance from the route then counts as leaving the road')
    transitions: int = setting(0, 'transitions that the classical driver drives; 0 for none', ge=0)
    noise: float = setting(
        0.2, 'standard deviation of the noise on its actions, so that mistakes and how to make up '
        'for them are among them', ge=0.0, le=1.0)
    lapses: float = setting(
        0.0, 'share of the time in which it does not mind other cars, for seconds on end, so that '
        'coming too close to them and how to get away are among them; what it does in these is '
        'learned from and not imitated', ge=0.0, le=0.9)
    updates: int = setting(
        3000, 'updates with the demonstrations alone, before the policy drives', ge=0)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation and checkpoints while ``train`` runs."""

    every: int = setting(5000, 'transitions between two evaluations; 0 for none', ge=0)
    routes: int = setting(10, 'routes of an evaluation', ge=1, le=1000)
    seed: int = setting(1000, 'seed of the routes', ge=0)
    checkpoint_seconds: float = setting(
        120.0, 'time between two checkpoints, s; they are made at the end of an episode', ge=1.0)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Everything about a run of ``train``; the sections are those of the nodes' parameters."""

    algorithm: AlgorithmSettings = section(AlgorithmSettings)
    networks: NetworkSettings = section(NetworkSettings)
    training: TrainingSettings = section(TrainingSettings)
    exploration: ExplorationSettings = section(ExplorationSettings)
    observation: ObservationSettings = section(ObservationSettings)
    action: ActionSettings = section(ActionSettings)
    reward: RewardSettings = section(RewardSettings)
    episode: EpisodeSettings = section(EpisodeSettings)
    simulation: SimulationSettings = section(SimulationSettings)
    curriculum: CurriculumSettings = section(CurriculumSettings)
    demonstrations: DemonstrationSettings = section(DemonstrationSettings)
    evaluation: EvaluationSettings = section(EvaluationSettings)

    @property
    def task(self) -> TaskSettings:
        """Return the part that defines the driving task."""
        return TaskSettings(self.observation, self.action, self.reward, self.episode)

    @property
    def learner(self) -> LearnerSettings:
        """Return the part that the learner is made from."""
        return LearnerSettings(self.algorithm, self.networks, self.training)


# Sections of a configuration that the agent itself does not read.
OTHER_SECTIONS = tuple(f.name for f in dataclasses.fields(RunSettings)
                       if f.name not in ('algorithm', 'networks')) + ('simulator', 'version')

NODES = ('av_td3_policy', 'av_td3_trainer', 'av_td3_train')


def read_run_settings(path: str | Path | None, overrides: Mapping[str, Any]) -> RunSettings:
    """
    Return the run's settings from a ROS 2 parameter file and dotted overrides.

    The file's sections of the policy node, the training node and ``av_td3_train`` are read, the
    last over the others; parameters of the nodes that a run without ROS has no use for (topics,
    deadlines) are passed over.
    """
    values: dict[str, Any] = {}
    known = {d.name for d in declarations(RunSettings)}
    if path is not None:
        files = {node: read_parameter_file(path, node) for node in NODES}
        if not any(files.values()):
            raise SettingsError(f'{path} holds no parameters of ' + ', '.join(NODES))
        for node, found in files.items():
            values.update({name: value for name, value in found.items()
                           if node == NODES[-1] or name in known})
    values.update(overrides)
    return build(RunSettings, values, where=str(path or 'command line'))


def full_config(settings: RunSettings) -> dict[str, Any]:
    """Return the configuration that a checkpoint keeps, in plain types."""
    return as_dict(settings)
