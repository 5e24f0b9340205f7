# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Settings of the learner: the sections ``algorithm``, ``exploration`` and ``networks``.

A configuration that an existing script passes to :class:`~av_td3_ros.learning.td3.TD3Agent`
may use older names (``gamma``, a section ``training``) and may hold keys for other programs:
:func:`read_config` takes what it knows and names what nothing reads.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import Any, Collection, Mapping

import numpy as np

from av_td3_ros.settings import as_dict, build, flatten, section, setting, SettingsError

ARCHITECTURES = ('nature', 'nature_layernorm', 'resnet18')


@dataclasses.dataclass(frozen=True)
class AlgorithmSettings:
    """TD3 as in Fujimoto et al., 2018 (arXiv:1802.09477), with its published values."""

    learning_rate: float = setting(
        3e-4, 'Step size of Adam for every network that has none of its own', ge=0.0, le=1.0)
    discount: float = setting(0.99, 'Discount factor of a single step', ge=0.0, le=1.0)
    tau: float = setting(0.005, 'Share of the networks in each update of their targets',
                         ge=0.0, le=1.0)
    policy_noise: float = setting(
        0.2, 'Standard deviation of the noise on target actions, in units of the action', ge=0.0)
    noise_clip: float = setting(
        0.5, 'Largest noise on target actions, in units of the action', ge=0.0)
    policy_freq: int = setting(2, 'Critic updates for each update of actor and targets', ge=1)
    actor_starts: int = setting(
        0, 'First update in which the actor learns. Until then the critic learns alone: a critic '
        'that knows nothing yet pushes the actor into the corners of its tanh, where no gradient '
        'brings it back', ge=0)
    batch_size: int = setting(64, 'Transitions in a gradient update (64 for images; 256 is usual '
                              'for flat states)', ge=1, le=65536)
    buffer_size: int = setting(100_000, 'Transitions that the replay memory keeps', ge=1)
    learning_starts: int = setting(
        1000, 'Transitions to collect with random actions before the first update', ge=0)
    n_step: int = setting(1, 'Rewards summed before bootstrapping', ge=1, le=100)
    imitation: float = setting(
        0.0, 'Weight of imitating the actions of demonstrations in the loss of the actor, beside '
        'its Q-value over the mean size of Q-values (TD3+BC, arXiv:2106.06860: 0.4); 0 for none',
        ge=0.0, le=1000.0)
    imitation_updates: int = setting(
        0, 'Updates over which that weight falls to 0; 0 keeps it', ge=0)
    random_shift: int = setting(
        0, 'Largest random shift of training images in pixels (DrQ uses 4); 0 for none',
        ge=0, le=32)
    precision: str = setting(
        'float32', 'Arithmetic of the networks while learning; weights and Adam stay float32',
        choices=('float32', 'bfloat16'))
    seed: int = setting(0, 'Seed of the initial weights and of every random draw', ge=0)


@dataclasses.dataclass(frozen=True)
class ExplorationSettings:
    """Noise on the actions taken in training."""

    expl_noise: float = setting(
        0.1, 'Standard deviation of the Gaussian noise on actions, as a share of max_action',
        ge=0.0, le=10.0)


@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """The two image encoders, one for the actor and one for the critic."""

    architecture: str = setting('nature', 'Encoder of the images', choices=ARCHITECTURES)
    learning_rate: float = setting(
        0.0, "Step size of Adam for both encoders; 0 takes the algorithm's", ge=0.0, le=1.0)
    actor_cnn_lr: float = setting(
        0.0, "Step size of Adam for the actor's encoder; 0 takes learning_rate", ge=0.0, le=1.0)
    critic_cnn_lr: float = setting(
        0.0, "Step size of Adam for the critic's encoder; 0 takes learning_rate", ge=0.0, le=1.0)
    max_grad_norm: float = setting(
        0.0, 'Gradients of an encoder are scaled down to this norm; 0 for never. Norms near 1 '
        'stop images from being learnt', ge=0.0)


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """Actor or critic: fully connected layers after the encoder."""

    learning_rate: float = setting(
        0.0, "Step size of Adam; 0 takes the algorithm's", ge=0.0, le=1.0)
    hidden_layers: tuple[int, ...] = setting(
        (256, 256), 'Units of each hidden layer', ge=1, le=65536)
    max_grad_norm: float = setting(
        0.0, 'Gradients are scaled down to this norm; 0 for never', ge=0.0)


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Everything about the four networks."""

    cnn: EncoderSettings = section(EncoderSettings)
    actor: HeadSettings = section(HeadSettings)
    critic: HeadSettings = section(HeadSettings)


@dataclasses.dataclass(frozen=True)
class TD3Settings:
    """What a :class:`~av_td3_ros.learning.td3.TD3Agent` and its replay memory are made from."""

    algorithm: AlgorithmSettings = section(AlgorithmSettings)
    exploration: ExplorationSettings = section(ExplorationSettings)
    networks: NetworkSettings = section(NetworkSettings)

    def learning_rate(self, network: str) -> float:
        """Return the step size of 'actor', 'critic', 'actor_cnn' or 'critic_cnn'."""
        own = {'actor': (self.networks.actor.learning_rate,),
               'critic': (self.networks.critic.learning_rate,),
               'actor_cnn': (self.networks.cnn.actor_cnn_lr, self.networks.cnn.learning_rate),
               'critic_cnn': (self.networks.cnn.critic_cnn_lr, self.networks.cnn.learning_rate)}
        return next((rate for rate in own[network] if rate > 0.0), self.algorithm.learning_rate)

    def max_grad_norm(self, network: str) -> float:
        """Return the largest gradient norm of a network, 0 where there is none."""
        section_of = {'actor': self.networks.actor, 'critic': self.networks.critic}
        return section_of.get(network, self.networks.cnn).max_grad_norm


# Older names, each for a setting; the setting's own name wins where both are given.
ALIASES = {
    'algorithm.gamma': 'algorithm.discount',
    'training.buffer_size': 'algorithm.buffer_size',
    'training.batch_size': 'algorithm.batch_size',
}


def read_config(config: Mapping[str, Any] | None,
                others: Collection[str] = ()) -> tuple[TD3Settings, list[str]]:
    """
    Return the settings that ``config`` gives, and the names of keys that nothing reads.

    ``others`` are sections that belong to other parts of the program and are not named.
    Raises :class:`~av_td3_ros.settings.SettingsError` for a value of a wrong type or range.
    """
    given = flatten(plain(config or {}))
    default = flatten(as_dict(TD3Settings()))
    known: dict[str, Any] = {}
    unread: list[str] = []
    for name, value in given.items():
        target = ALIASES.get(name, name)
        if target not in default:
            if name.split('.', 1)[0] not in others:
                unread.append(name)
        elif target == name or target not in given:
            known[target] = _number(value, default[target])
        elif given[target] != value:
            unread.append(name)
    return build(TD3Settings, known, where='config'), unread


def _number(value: Any, like: Any) -> Any:
    """YAML 1.1 reads 3e-4 as text and scripts write 1e6 for a count: take what is meant."""
    if isinstance(like, float) and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(like, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def plain(value: Any, where: str = 'config') -> Any:
    """
    Return ``value`` in plain types: dict, list, str, int, float, bool and None.

    Tuples become lists, numpy scalars numbers, paths text. Raises
    :class:`~av_td3_ros.settings.SettingsError` for anything else, naming the key.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f'{where}[{index}]') for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    raise SettingsError(f'{where} is a {type(value).__name__}, which a checkpoint cannot hold')
