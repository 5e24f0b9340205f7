# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Saving while learning goes on."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
import threading
from typing import Any, Mapping

from av_td3_ros.learning.checkpoint import CheckpointError, commit
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, Saved
from av_td3_ros.learning.snapshot import Snapshot
from av_td3_ros.learning.td3 import TD3Agent

MOST_WAITING = 2


class BackgroundSaver:
    """
    Saves an agent into a folder from a thread of its own.

    :meth:`save` is called by the thread that learns and returns at once; up to two saves may be
    under way, one being written and one waiting. Use as a context manager, or :meth:`close` it.
    """

    def __init__(self, folder: CheckpointFolder) -> None:
        self.folder = folder
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix='checkpoint')
        self._free = [Snapshot() for _ in range(MOST_WAITING)]
        self._lock = threading.Lock()
        self._pending: set[Future[Saved]] = set()

    def save(self, agent: TD3Agent, name: str = '', *, evaluation: float | None = None,
             **state: Any) -> Future[Saved]:
        """
        Snapshot the agent now and save it behind; the future tells when it is durable.

        Arguments as for :meth:`.CheckpointFolder.save`; a replay memory is committed by the
        saving thread. The future's result comes after ``latest`` has moved; its exception is a
        :class:`CheckpointError`. Raises that here where two saves are under way already or the
        name is none.
        """
        if name:
            self.folder.path(name)
        with self._lock:
            if not self._free:
                raise CheckpointError(f'{MOST_WAITING} saves are under way already')
            # The one used last has its memory already.
            snapshot = self._free.pop()
        try:
            content = snapshot.take(agent, **state)
            future = self._executor.submit(self._write, snapshot, content, name, evaluation,
                                           state.get('replay'))
        except BaseException:
            snapshot.complete()
            self._release(snapshot)
            raise
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    @property
    def busy(self) -> bool:
        """Whether a save is under way."""
        return bool(self._pending)

    def close(self) -> None:
        """Wait for the saves under way and end the thread."""
        self._executor.shutdown(wait=True)

    def __enter__(self) -> BackgroundSaver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, snapshot: Snapshot, content: Mapping[str, Any], name: str,
               evaluation: float | None, replay: Any) -> Saved:
        try:
            snapshot.complete()
            commit(replay, self.folder.root)
            return self.folder.write(content, name, evaluation)
        finally:
            self._release(snapshot)

    def _release(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._free.append(snapshot)
