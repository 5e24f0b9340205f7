# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Policy files: actor and encoder alone, a seventh of a checkpoint, for driving and for sharing.

They have a checkpoint's names, seal and checks, and lack what only learning needs. A training
can start from one: its critic then starts anew.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Mapping

from av_td3_ros.learning.checkpoint import CheckpointError, contents, describe, portable
from av_td3_ros.learning.durable import make_folder
from av_td3_ros.learning.policy import export_policy, Policy, PolicyRefused
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.learning.torch_archive import ArchiveRefused, read_archive, write_archive

logger = logging.getLogger(__name__)

_KEYS = ('format_version', 'software', 'total_it', 'use_dict_buffer', 'state_dim', 'action_dim',
         'max_action', 'architecture', 'config', 'actor_state_dict', 'actor_cnn_state_dict')


def save_policy(agent: TD3Agent, path: str | Path, extra: Mapping[str, Any]) -> None:
    """Write the agent's policy durably, with plain ``extra`` facts about where it comes from."""
    path, whole = Path(path), contents(agent)
    Policy().load(export_policy(agent))  # refuses weights that are not finite
    try:
        make_folder(path.parent)
        write_archive(path, {**{key: whole[key] for key in _KEYS},
                             'extra': portable(dict(extra), 'extra')})
    except OSError as error:
        raise CheckpointError(f'{path} cannot be saved: {describe(error)}') from error


def policy_config(path: str | Path) -> dict[str, Any]:
    """Return the configuration that a checkpoint or policy file was trained with, {} if none."""
    config = _read(Path(path)).get('config')
    return config if isinstance(config, dict) else {}


def is_policy_file(path: str | Path) -> bool:
    """Whether a file holds a policy without its critic; raises :class:`CheckpointError`."""
    return 'critic_state_dict' not in _read(Path(path))


def start_from_policy(agent: TD3Agent, path: str | Path) -> None:
    """
    Give a new agent the actor and encoder of a policy file; critic and optimizers stay new.

    Raises :class:`CheckpointError`, and changes nothing, where the file is damaged or holds
    networks of another shape.
    """
    content = _read(Path(path))
    try:
        Policy().load_checkpoint(path)
        for part in ('actor', 'actor_cnn'):
            own, given = getattr(agent, part), content[f'{part}_state_dict']
            if (own is None) != (given is None) or own is not None and (
                    {k: v.shape for k, v in own.state_dict().items()}
                    != {k: v.shape for k, v in given.items()}):
                raise PolicyRefused(f'its {part} has other layers than the agent')
    except PolicyRefused as error:
        raise CheckpointError(f'{path} is refused: {error}') from None
    for part in ('actor', 'actor_cnn'):
        if getattr(agent, part) is not None:
            for network in (getattr(agent, part), getattr(agent, f'{part}_target')):
                network.load_state_dict(content[f'{part}_state_dict'])
    agent.total_it = int(content['total_it'])
    logger.warning('%s holds a policy only: critic and optimizers start anew', path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_archive(path).content
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {describe(error)}') from error
    except ArchiveRefused as error:
        raise CheckpointError(f'{path} is refused: {error}') from None
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} is refused: it holds no dictionary')
    return content
