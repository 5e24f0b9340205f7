# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A checkpoint: everything that a training is, in one file.

The file is ``torch.save`` of one dictionary, loadable with ``torch.load(path,
weights_only=True)``. :func:`contents` lists its keys. A save writes durably (see
:mod:`~av_td3_ros.learning.durable`); a load checks everything first and changes the agent
after, so that a refused file leaves it as it was, to the bit.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
from importlib.metadata import PackageNotFoundError, version
import logging
import os
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, TYPE_CHECKING

import numpy as np
import torch

from av_td3_ros.learning import random_states
from av_td3_ros.learning.durable import Filesystem, make_folder, REAL, remove_leftovers
from av_td3_ros.learning.restoration import (
    check, HYPER_PARAMETERS, Refused, Restoration, TITLES)
from av_td3_ros.learning.settings import plain
from av_td3_ros.learning.torch_archive import (
    Archive, ArchiveRefused, read_archive, require_readable, write_archive)

if TYPE_CHECKING:
    from av_td3_ros.learning.td3 import TD3Agent

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
HOOKS = {'replay': 'replay memory', 'exploration': 'exploration state', 'extra': 'extra state'}


class CheckpointError(Exception):
    """
    A checkpoint cannot be saved or loaded; the message names the file and the reason.

    ``damaged`` tells that the file itself is broken or gone, so that another may do instead.
    """

    def __init__(self, message: str, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged


class CheckpointNotFound(CheckpointError, FileNotFoundError):
    """There is no such checkpoint."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """
    What a load brought back.

    ``warnings`` says what the file did not hold or what was not restored. ``replay``,
    ``exploration`` and ``extra`` are what was saved under these names, None where nothing was.
    """

    path: Path
    total_it: int
    sha256: str
    warnings: tuple[str, ...]
    replay: Any = None
    exploration: Any = None
    extra: Any = None


def save(agent: TD3Agent, path: str | Path, *, replay: Any = None, exploration: Any = None,
         extra: Any = None, files: Filesystem = REAL) -> str:
    """
    Save the agent to ``path``, making the folder; return the file's SHA-256.

    ``replay``, ``exploration`` and ``extra`` are mappings of plain types, arrays and tensors, or
    objects whose ``state_dict()`` returns one; a replay memory that has ``commit()`` is committed
    before, so that the file never refers to transitions that a crash can take. Returns when the
    file is durable. Raises :class:`CheckpointError`, and leaves what ``path`` was, where a weight
    is not finite, the content is more or other than a load takes, or the file cannot be written;
    the message names the errno.
    """
    content = contents(agent, replay=replay, exploration=exploration, extra=extra)
    commit(replay, path)
    return write(Path(path), content, files)


def commit(replay: Any, path: str | Path) -> None:
    """Make what a replay memory's state refers to durable, before a file refers to it."""
    if not hasattr(replay, 'commit'):
        return
    try:
        replay.commit()
    except OSError as error:
        raise CheckpointError(f'{path} is not saved, because the replay memory cannot be '
                              f'committed: {describe(error)}') from error


def contents(agent: TD3Agent, *, replay: Any = None, exploration: Any = None,
             extra: Any = None) -> dict[str, Any]:
    """
    Return the dictionary that a checkpoint is, with the agent's own tensors, not copies.

    Those of another device are copied to the processor: the file is loaded anywhere.

    ``<part>`` is actor, critic, actor_cnn or critic_cnn: ``<part>_state_dict``,
    ``<part>_target_state_dict``, ``<part>_optimizer_state_dict`` (None for encoders that the agent
    does not have); ``total_it``; ``config``; ``use_dict_buffer``; the hyper-parameters;
    ``architecture`` (of the encoders); ``random_states``; ``replay``, ``exploration``, ``extra``;
    ``format_version`` and ``software``.
    """
    content: dict[str, Any] = {'format_version': FORMAT_VERSION, 'software': {
        'av_td3_ros': _version(), 'torch': str(torch.__version__)}}
    content.update(total_it=agent.total_it, use_dict_buffer=agent.use_dict_buffer,
                   state_dim=agent.state_dim, action_dim=agent.action_dim,
                   max_action=agent.max_action,
                   architecture=None if agent.actor_cnn is None else agent.actor_cnn.architecture)
    content.update({name: getattr(agent, name) for name in HYPER_PARAMETERS})
    content['config'] = plain(agent.config)
    for part in TITLES:
        network = getattr(agent, part)
        for key, owner in ((f'{part}_state_dict', network),
                           (f'{part}_target_state_dict', getattr(agent, f'{part}_target')),
                           (f'{part}_optimizer_state_dict', getattr(agent, f'{part}_optimizer'))):
            content[key] = None if network is None else _on_processor(owner.state_dict())
    content['random_states'] = random_states.collect(agent)
    for name, value in (('replay', replay), ('exploration', exploration), ('extra', extra)):
        content[name] = None if value is None else portable(
            value.state_dict() if hasattr(value, 'state_dict') else value, name)
    return content


def write(path: Path, content: Mapping[str, Any], files: Filesystem = REAL) -> str:
    """Write :func:`contents` to ``path``, as :func:`save` describes."""
    bad = next((where for where, tensor in tensors(content) if not is_finite(tensor)), None)
    if bad is not None:
        raise CheckpointError(f'{path} is not saved: {bad} is not finite')
    try:
        require_readable(content)
    except ArchiveRefused as error:
        raise CheckpointError(f'{path} is not saved, as it could not be loaded: {error}') from None
    for part, title in TITLES.items():
        for kind in ('', '_target'):
            state = content[f'{part}{kind}_state_dict']
            if state is not None:
                logger.info('Saving %s%s state (%d layers)', title, kind.replace('_', ' '),
                            len(state))
        if content[f'{part}_optimizer_state_dict'] is not None:
            logger.info('Saving %s optimizer state', title)
    logger.info('Saving random states')
    for name, title in HOOKS.items():
        if content[name] is not None:
            logger.info('Saving %s', title)
    try:
        make_folder(path.parent, files)
        remove_leftovers(path.parent, files)
        sha256 = write_archive(path, dict(content), files)
    except OSError as error:
        raise CheckpointError(f'{path} cannot be saved: {describe(error)}') from error
    logger.info('Saved iteration %d: %s', content['total_it'], path)
    return sha256


def load(agent: TD3Agent, path: str | Path, *, replay: Any = None, exploration: Any = None,
         extra: Any = None, keep_hyper_parameters: bool = False) -> Loaded:
    """
    Load ``path`` into the agent, or raise :class:`CheckpointError` and change nothing.

    ``replay``, ``exploration`` and ``extra`` take back what was saved under these names: an object
    with ``load_state_dict(state)``, or a function of the state. What the file holds and nothing
    takes back, what is taken back but not in the file, and what is otherwise not exact, is said
    in a warning each. The file's hyper-parameters and step sizes replace the agent's unless
    ``keep_hyper_parameters``; that is warned about too where they differ. The random states of
    torch, numpy and Python are restored with the agent's own.
    """
    path = Path(path)
    plans: list[Restoration] = []

    def look(archive: Archive) -> None:
        plans.append(check(agent, archive.content, archive.sealed, keep_hyper_parameters,
                           archive.extremes))
    try:
        archive = read_archive(path, look)
    except FileNotFoundError:
        raise CheckpointNotFound(f'{path} does not exist', damaged=True) from None
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {describe(error)}', damaged=True) from error
    except ArchiveRefused as error:
        raise CheckpointError(f'{path} is refused: {error}', damaged=True) from None
    except Refused as error:
        raise CheckpointError(f'{path} is refused: {error}', damaged=error.damaged) from None

    restoration = plans[0]
    content, warnings = archive.content, list(restoration.warnings)
    undo: list[Callable[[], None]] = []
    for (name, title), taker in zip(HOOKS.items(), (replay, exploration, extra)):
        state = content.get(name)
        if state is None and taker is not None:
            warnings.append(f'the file holds no {title}: the present one is kept, and the resume '
                            'is not exact')
        elif state is not None and taker is None:
            warnings.append(f'the {title} in the file is not restored: nothing takes it')
        elif state is not None:
            try:
                undo.append(_hand_over(taker, state, warnings))
            except Exception as error:
                for step in reversed(undo):
                    step()
                raise CheckpointError(f'{path} is not loaded: the {title} cannot be restored: '
                                      f'{error}') from error
    restoration.apply()
    for line in restoration.log:
        logger.info('%s', line)
    for warning in warnings:
        logger.warning('%s: %s', path, warning)
    logger.info('Resumed at iteration: %d', agent.total_it)
    return Loaded(path, agent.total_it, archive.sha256, tuple(warnings),
                  *(content.get(name) for name in HOOKS))


def _hand_over(taker: Any, state: Any, warnings: list[str]) -> Callable[[], None]:
    """Give a saved state to who takes it, noting its complaints; return what undoes that."""
    if not hasattr(taker, 'load_state_dict'):
        taker(state)
        return lambda: None
    before = taker.state_dict() if hasattr(taker, 'state_dict') else None
    warnings.extend(getattr(taker.load_state_dict(state), 'reasons', ()))
    return (lambda: None) if before is None else (lambda: taker.load_state_dict(before))


def _on_processor(item: Any) -> Any:
    if isinstance(item, torch.Tensor):
        return item.cpu()
    if isinstance(item, Mapping):
        return {key: _on_processor(value) for key, value in item.items()}
    return [_on_processor(value) for value in item] if isinstance(item, list) else item


def portable(value: Any, where: str) -> Any:
    """Return ``value`` with arrays as tensors and everything else in plain types."""
    if isinstance(value, torch.Tensor):
        # A view that repeats numbers would be saved without the repetitions.
        return value.detach().contiguous()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {key if isinstance(key, int) else str(key): portable(item, f'{where}.{key}')
                for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(item, f'{where}[{index}]') for index, item in enumerate(value)]
    return plain(value, where)


def tensors(item: Any, where: str = '') -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor below ``item`` with its name."""
    if isinstance(item, torch.Tensor):
        yield where, item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            yield from tensors(value, f'{where}.{key}' if where else str(key))
    elif isinstance(item, (list, tuple)):
        for index, value in enumerate(item):
            yield from tensors(value, f'{where}[{index}]')


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether every number is finite, in one pass without a copy, off the GIL."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype == torch.bfloat16 or tensor.device.type != 'cpu':
        return bool(torch.isfinite(tensor).all())
    array = tensor.detach().numpy()
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def describe(error: OSError) -> str:
    """Name an operating system's error: ``ENOSPC (No space left on device)``."""
    if error.errno is None:
        return str(error)
    return f'{errno.errorcode.get(error.errno, error.errno)} ({os.strerror(error.errno)})'


@functools.lru_cache
def _version() -> str:
    try:
        return version('av_td3_ros')
    except PackageNotFoundError:
        return 'source'
