# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters that the demonstration gives its nodes.

A policy must drive under the task that it was trained for (scales, action, reward, bounds), so
these come from its checkpoint's configuration; the learner goes on with the settings that it had
there, but for small steps: the demonstration shows that learning goes on, and a few seconds of
it must not spoil what took hours.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping
import zipfile

import yaml

from av_td3_ros.driving.task import TaskSettings
from av_td3_ros.learning.settings import AlgorithmSettings, NetworkSettings
from av_td3_ros.learning.torch_pickle import PickleRefused, read_pickle
from av_td3_ros.settings import as_dict, build, declarations, flatten, section

ROLE = 'ego_vehicle'
TRAINER = '/av_td3_trainer'
POLICY = f'/carla/{ROLE}/av_td3_policy'

# What differs from the checkpoint's own training. The actor moves by at most its learning rate
# an update (Adam), after the critic has had some updates with the new experience.
_LEARNING = {
    'algorithm.learning_rate': 1e-4, 'algorithm.learning_starts': 40,
    'algorithm.actor_starts': 20, 'algorithm.batch_size': 64, 'algorithm.buffer_size': 20_000,
    'networks.cnn.learning_rate': 1e-5, 'networks.cnn.actor_cnn_lr': 1e-6,
    'networks.cnn.critic_cnn_lr': 1e-5, 'networks.actor.learning_rate': 1e-6,
    'networks.critic.learning_rate': 1e-4,
}


@dataclasses.dataclass(frozen=True)
class _Learning:
    algorithm: AlgorithmSettings = section(AlgorithmSettings)
    networks: NetworkSettings = section(NetworkSettings)


@dataclasses.dataclass(frozen=True)
class Shipped:
    """The checkpoint that the demonstration drives with: its file, updates and configuration."""

    path: Path
    iteration: int
    config: Mapping[str, Any]

    @property
    def task(self) -> TaskSettings:
        """Return the driving task of its training; what its configuration lacks is default."""
        return build(TaskSettings, _known(TaskSettings, self.config), where=str(self.path))

    @property
    def learning(self) -> dict[str, Any]:
        """Return the learner's settings for the demonstration, nested."""
        values = {**_known(_Learning, self.config), **_LEARNING}
        return as_dict(build(_Learning, values, where=str(self.path)))


def read_checkpoint(path: Path) -> Shipped:
    """
    Read what a checkpoint or policy file says about itself, without its tensors.

    Raises ValueError with one sentence where it is none. Whether its weights are sound is for
    the nodes to judge, which load them.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f'{path} is no checkpoint: it is no regular file')
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith('/data.pkl'))
            content = read_pickle(archive.read(name))
        return Shipped(path.absolute(), int(content['total_it']), content.get('config') or {})
    except FileNotFoundError:
        raise ValueError(f'there is no checkpoint {path}; train one with `python -m '
                         'av_td3_ros.training.train`, or name one with --checkpoint') from None
    except (OSError, StopIteration, zipfile.BadZipFile, PickleRefused, KeyError, TypeError,
            AttributeError, ValueError) as error:
        raise ValueError(f'{path} is no checkpoint: {error}') from None


def _known(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted values of a configuration that ``cls`` has settings for."""
    names = {declaration.name for declaration in declarations(cls)}
    return {name: value for name, value in flatten(config).items() if name in names}


def node_parameters(shipped: Shipped, *, town: Path, seed: int, vehicles: int,
                    size: tuple[int, int], routes: Path, checkpoints: Path) -> dict[str, Any]:
    """Return the ROS 2 parameter file of the demonstration as nested plain types."""
    simulator = {
        'role_name': ROLE, 'town': str(town), 'seed': seed, 'vehicles': vehicles,
        'synchronous_mode': True, 'synchronous_mode_wait_for_vehicle_control_command': True,
        'fixed_delta_seconds': 0.05, 'camera': {'width': size[0], 'height': size[1]}}
    policy = {
        'autostart': False, 'training': True, 'explore': False, 'seed': seed, 'threads': 1,
        'checkpoint': str(shipped.path), 'town': str(town), 'routes_file': str(routes),
        'trainer': TRAINER, **as_dict(shipped.task)}
    trainer = {
        'checkpoint_dir': str(checkpoints), 'resume': False, 'save_every': 0.0,
        'save_at_end': False, 'publish_every': 25, 'training': {'threads': 1},
        **shipped.learning}
    return {key: {'ros__parameters': values} for key, values in (
        ('/carla_ros_bridge', simulator), (POLICY, policy), (TRAINER, trainer))}


def write_parameters(path: Path, document: Mapping[str, Any]) -> None:
    """Write a ROS 2 parameter file."""
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding='utf-8')
