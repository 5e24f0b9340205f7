# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of checkpoints: names, ``latest``, which to keep, and what to load instead."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
from pathlib import Path
import re
import stat
from typing import Any, Mapping, NamedTuple

from av_td3_ros.learning import checkpoint
from av_td3_ros.learning.checkpoint import CheckpointError, CheckpointNotFound, describe, Loaded
from av_td3_ros.learning.durable import (
    Filesystem, link_durably, make_folder, read_regular, REAL, remove_leftovers,
    write_bytes_durably)
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.learning.torch_archive import ArchiveRefused, verify_archive
from av_td3_ros.settings import setting

logger = logging.getLogger(__name__)

LATEST = 'latest'
SUFFIX = '.pth'
_EVALUATIONS = 'evaluations.json'
_ATTEMPTS = 5
# What numbered() makes, and no name that somebody might give, such as td3_10000.
_NUMBERED = re.compile(r'td3_(\d{9}|[1-9]\d{9,17})\.pth')


@dataclasses.dataclass(frozen=True)
class RetentionSettings:
    """Which numbered checkpoints stay; those saved under a name of their own always do."""

    keep_last: int = setting(5, 'Newest numbered checkpoints that stay', ge=1)
    keep_best: int = setting(
        1, 'Numbered checkpoints with the best evaluations that stay: by the mean return of the '
        '20 episodes before each', ge=0)
    keep_every: int = setting(
        0, 'The first numbered checkpoint in each so many updates stays; 0 for none', ge=0)


class Saved(NamedTuple):
    """A durable checkpoint."""

    path: Path
    total_it: int
    sha256: str


class CheckpointFolder:
    """
    Checkpoints below one folder, ``root``; no name leads out of it.

    Making one makes the folder and removes the temporary files of writers that died.
    ``latest`` is a symbolic link to the newest durable checkpoint. Raises
    :class:`CheckpointError` where the folder cannot be made.
    """

    def __init__(self, root: str | Path, retention: RetentionSettings = RetentionSettings(),
                 files: Filesystem = REAL) -> None:
        self.root, self.retention, self._files = Path(root), retention, files
        try:
            make_folder(self.root, files)
        except OSError as error:
            raise CheckpointError(f'{self.root} cannot be made: {describe(error)}') from error
        except ValueError as error:
            raise CheckpointError(f'{str(root)!r} is no folder: {error}') from None
        for name in remove_leftovers(self.root, files):
            logger.info('Removed what an interrupted save left: %s', name)

    def path(self, name: str) -> Path:
        """
        Return the path of the checkpoint called ``name``, with ``.pth`` added where it has none.

        Raises :class:`CheckpointError` for a name that leads out of the folder, also by a
        symbolic link, and for names that files of the folder's own have.
        """
        given = Path(name)
        if not name or '\0' in name or given.is_absolute() or any(
                part.startswith('.') for part in given.parts):
            raise CheckpointError(f'{name!r} is no name of a checkpoint in {self.root}')
        path = self.root / (name if name == LATEST or given.suffix == SUFFIX else name + SUFFIX)
        try:
            inside = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f'{name!r} cannot be resolved: {error}') from None
        if not inside:
            raise CheckpointError(f'{name!r} leads out of {self.root}')
        return path

    def numbered(self, total_it: int) -> str:
        """Return the name of a checkpoint that has none of its own."""
        return f'td3_{total_it:09d}{SUFFIX}'

    def save(self, agent: TD3Agent, name: str = '', *, evaluation: float | None = None,
             **state: Any) -> Saved:
        """
        Save the agent durably, move ``latest`` to it, and remove what retention does not keep.

        An empty ``name`` numbers the file by iteration. ``evaluation`` is the agent's mean return,
        more is better. ``state`` is replay, exploration and extra of :func:`.checkpoint.save`.
        Raises :class:`CheckpointError`; what was there before is still there then.
        """
        content = checkpoint.contents(agent, **state)
        checkpoint.commit(state.get('replay'), self.root)
        return self.write(content, name, evaluation)

    def write(self, content: Mapping[str, Any], name: str = '',
              evaluation: float | None = None) -> Saved:
        """Save :func:`.checkpoint.contents` as :meth:`save` does."""
        path = self.path(name or self.numbered(content['total_it']))
        if name and _NUMBERED.fullmatch(path.name):
            raise CheckpointError(f'{name!r} is a name as the folder gives them itself, which '
                                  'retention may remove; choose another')
        if path.name == LATEST or os.path.islink(path):
            raise CheckpointError(f'{name!r} is the name of a link; choose another')
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise CheckpointError(f'{name!r} is the name of something that is no file')
        except FileNotFoundError:
            pass
        except OSError as error:
            raise CheckpointError(f'{path} cannot be saved: {describe(error)}') from error
        saved = Saved(path, content['total_it'], checkpoint.write(path, content, self._files))
        try:
            if path.parent == self.root:
                self._make_newest(path)
        except OSError as error:
            logger.warning('%s cannot be dated: %s', path, describe(error))
        try:
            if evaluation is not None:
                # Before latest moves: who is killed in between goes back, and saves it anew.
                self.record_evaluation(path.name, evaluation)
        except (OSError, CheckpointError) as error:
            logger.warning('%s may not stay as one of the best: %s', path, error)
        try:
            link_durably(self.root / LATEST, os.path.relpath(path, self.root), self._files)
        except OSError as error:
            raise CheckpointError(f'{path} is saved, but {LATEST} cannot be moved to it: '
                                  f'{describe(error)}') from error
        try:
            self.prune()
        except OSError as error:
            logger.warning('Old checkpoints in %s stay: %s', self.root, describe(error))
        return saved

    def load(self, agent: TD3Agent, name: str = LATEST, **options: Any) -> Loaded:
        """
        Load a checkpoint into the agent; see :func:`.checkpoint.load` for ``options``.

        Where the file that ``latest`` means is damaged or gone, the newest one that is whole is
        loaded instead, and a warning says so. Raises :class:`CheckpointError` and changes nothing
        where no file can be loaded.
        """
        path = self.path(name or LATEST)
        if path.name != LATEST:
            return checkpoint.load(agent, path, **options)
        for _ in range(_ATTEMPTS):
            refusals: list[str] = [] if path.is_symlink() else [
                f'{path} is no link' if os.path.lexists(path) else f'{path} does not exist']
            gone = True
            for candidate in self._candidates(path):
                try:
                    loaded = checkpoint.load(agent, candidate, **options)
                except CheckpointError as error:
                    refusals.append(str(error))
                    gone = gone and isinstance(error, CheckpointNotFound)
                    if not error.damaged:
                        raise CheckpointError('; '.join(refusals)) from error
                    continue
                if refusals:
                    warning = '; '.join(refusals) + f'; {candidate.name} is loaded instead'
                    logger.warning('%s', warning)
                    loaded = dataclasses.replace(loaded, warnings=(warning, *loaded.warnings))
                return loaded
            if not gone or not self.newest_first():
                break
            # Another process has put newer ones in the place of all of them meanwhile.
        raise CheckpointError('no checkpoint can be loaded: ' + '; '.join(refusals))

    def _candidates(self, latest: Path) -> list[Path]:
        candidates = [latest.resolve()] if latest.is_symlink() else []
        candidates += [other for other in self.newest_first() if other.resolve() not in candidates]
        if not candidates:
            raise CheckpointNotFound(f'there is no checkpoint in {self.root}')
        return candidates

    def newest_first(self) -> list[Path]:
        """Return the checkpoints in the folder, the newest first."""
        found = []
        for path in self.root.glob(f'*{SUFFIX}'):
            with contextlib.suppress(FileNotFoundError):  # Removed by another process meanwhile.
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and not path.name.startswith('.'):
                    found.append((status.st_mtime_ns, path.name, path))
        return [path for _, _, path in sorted(found, reverse=True)]

    def _make_newest(self, path: Path) -> None:
        """Date a file after all others, where the clock was put back since they were written."""
        others = [other.stat().st_mtime_ns for other in self.newest_first() if other != path]
        status = path.stat()
        if others and status.st_mtime_ns <= max(others):
            os.utime(path, ns=(status.st_atime_ns, max(others) + 1000))

    def record_evaluation(self, name: str, value: float) -> None:
        """Remember the mean return of a checkpoint, which decides whether it is of the best."""
        if not math.isfinite(value):
            raise CheckpointError(f'the evaluation of {name} is {value}')
        known = {**self.evaluations(), name: float(value)}
        present = {path.name for path in self.newest_first()} | {name}
        known = {key: item for key, item in known.items() if key in present}
        write_bytes_durably(self.root / _EVALUATIONS,
                            json.dumps(known, indent=1, sort_keys=True).encode(), self._files)

    def evaluations(self) -> dict[str, float]:
        """Return the mean returns that were recorded, by file name."""
        try:
            found = json.loads(read_regular(self.root / _EVALUATIONS))
            return {str(name): float(value) for name, value in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            logger.warning('%s cannot be read: %s', self.root / _EVALUATIONS, error)
            return {}

    def prune(self) -> list[str]:
        """
        Remove the numbered checkpoints that need not stay; return their names.

        Nothing is removed unless the newest checkpoint has just been read and verified.
        """
        newest_first = self.newest_first()
        numbered = [path for path in newest_first if _NUMBERED.fullmatch(path.name)]
        stay = {path.name for path in numbered[:self.retention.keep_last]}
        stay.add((self.root / LATEST).resolve().name)
        evaluations = self.evaluations()
        best = sorted((path.name for path in numbered if path.name in evaluations),
                      key=lambda name: evaluations[name], reverse=True)
        stay.update(best[:self.retention.keep_best])
        stay.update(self._milestones(numbered))
        surplus = [path for path in numbered if path.name not in stay]
        if not surplus:
            return []
        try:
            whole = verify_archive((self.root / LATEST).resolve())
        except (ArchiveRefused, OSError) as error:
            logger.error('%s does not verify, so no older checkpoint is removed: %s',
                         self.root / LATEST, error)
            return []
        if not whole:
            return []
        for path in surplus:
            self._files.unlink(path)
        self._files.fsync_folder(self.root)
        return [path.name for path in surplus]

    def _milestones(self, numbered: list[Path]) -> set[str]:
        every = self.retention.keep_every
        if not every:
            return set()
        first: dict[int, tuple[int, str]] = {}
        for path in numbered:
            iteration = int(_NUMBERED.fullmatch(path.name).group(1))
            entry = (iteration, path.name)
            first[iteration // every] = min(entry, first.get(iteration // every, entry))
        return {name for _, name in first.values()}
