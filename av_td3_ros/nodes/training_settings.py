# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the training node."""

from __future__ import annotations

import dataclasses

from av_td3_ros.learning.checkpoint_folder import RetentionSettings
from av_td3_ros.learning.learner import LearnerSettings, TrainingSettings
from av_td3_ros.learning.settings import AlgorithmSettings, NetworkSettings
from av_td3_ros.settings import section, setting


@dataclasses.dataclass(frozen=True)
class TrainingNodeSettings:
    """What the training node is started with."""

    checkpoint_dir: str = setting(
        'checkpoints', 'root folder of the checkpoints and of the replay memory')
    save_name: str = setting(
        '', 'name of the next checkpoint saved by service; empty numbers it by iteration',
        read_only=False)
    load_name: str = setting(
        'latest', 'name of the checkpoint that the load service loads', read_only=False)
    resume: bool = setting(True, 'go on from the latest checkpoint where there is one')
    checkpoint: str = setting(
        '', 'checkpoint file to start from where there is nothing to resume')
    save_every: float = setting(
        300.0, 'wall time between two checkpoints by itself, s; 0 for none', ge=0.0)
    save_at_end: bool = setting(True, 'save when the node is ended by SIGINT or SIGTERM')
    publish_every: int = setting(50, 'updates between two publications of the weights', ge=1)
    lockstep: bool = setting(
        False, 'do every update that an experience makes due before answering it, so that a run '
        'can be repeated bit by bit; the policy node must be in lockstep too')
    log_dir: str = setting('', 'folder for TensorBoard; empty for none')
    retention: RetentionSettings = section(RetentionSettings)
    algorithm: AlgorithmSettings = section(AlgorithmSettings)
    networks: NetworkSettings = section(NetworkSettings)
    training: TrainingSettings = section(TrainingSettings)

    @property
    def learner(self) -> LearnerSettings:
        """Return the part that the learner is made from."""
        return LearnerSettings(self.algorithm, self.networks, self.training)


# What a vehicle tells of its task, and what of a checkpoint's configuration the agent itself does
# not read.
TASK_SECTIONS = ('exploration', 'observation', 'action', 'reward', 'episode')
OTHER_SECTIONS = ('training', *TASK_SECTIONS)
