# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that learns: experience and requests come in through one queue, in order."""

from __future__ import annotations

from concurrent.futures import Future
import logging
import queue
import threading
from typing import Any, Callable

from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.td3 import LearningStopped

logger = logging.getLogger(__name__)

Job = Callable[[Learner], Any]

_IDLE = 0.2
_MOST_OWED = 1000.0


class LearnerWorker:
    """
    Runs a learner in a thread of its own.

    Everything that touches the learner is a job for this thread, done between two updates:
    urgent ones (a save) before the next update, the others in the order of :meth:`submit`. In
    lockstep every update that an experience makes due is
    done before the job's future is, so that what follows sees the weights that belong to it;
    otherwise updates go on whenever the ratio allows, and what a slow machine cannot make up is
    forgiven and counted in :attr:`skipped`.

    ``on_update`` is called in the thread after each update with its report. A loss that is not
    finite, or any other error in an update, stops learning but not the thread: :attr:`failure`
    says what happened, jobs go on.
    """

    def __init__(self, learner: Learner, *, lockstep: bool,
                 on_update: Callable[[Learner, dict[str, float]], None]) -> None:
        self._learner, self._lockstep, self._on_update = learner, lockstep, on_update
        self._jobs: queue.SimpleQueue[tuple[Job, Future] | None] = queue.SimpleQueue()
        self._urgent: queue.SimpleQueue[tuple[Job, Future]] = queue.SimpleQueue()
        self._closed = False
        self.failure: str | None = None
        self.skipped = 0
        self._thread = threading.Thread(target=self._run, name='learner', daemon=True)
        self._thread.start()

    def submit(self, job: Job, urgent: bool = False) -> Future:
        """Have ``job(learner)`` done; the future holds its result or exception."""
        future: Future = Future()
        if self._closed:
            future.set_exception(RuntimeError('the learner has ended'))
        elif urgent:
            self._urgent.put((job, future))
            self._jobs.put((_nothing, Future()))  # wakes the thread
        else:
            self._jobs.put((job, future))
        return future

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return self._jobs.qsize()

    def close(self, last: Job | None = None, timeout: float = 5.0) -> bool:
        """Do what is queued, then ``last``, and end; return whether that was done in time."""
        if last is not None:
            self.submit(last)
        self._closed = True
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def forget_failure(self) -> None:
        """Learn on, after a checkpoint has replaced what failed; for the learner's thread."""
        self.failure = None

    def _run(self) -> None:
        while True:
            try:
                entry = self._jobs.get(timeout=0.0 if self._due else _IDLE)
            except queue.Empty:
                self._update_once()
                continue
            if entry is None:
                self._do_urgent()
                return
            self._do(*entry)

    def _do(self, job: Job, future: Future) -> None:
        self._do_urgent()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = job(self._learner)
            while self._lockstep and self._due:
                self._update_once()
        except Exception as error:  # the caller gets it; learning goes on
            future.set_exception(error)
        else:
            future.set_result(result)

    def _do_urgent(self) -> None:
        while not self._urgent.empty():
            job, future = self._urgent.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job(self._learner))
                except Exception as error:  # the caller gets it; learning goes on
                    future.set_exception(error)

    @property
    def _due(self) -> bool:
        return self.failure is None and self._learner.due > 0 and not (
            self._closed and not self._lockstep)

    def _update_once(self) -> None:
        self._do_urgent()
        if not self._due:
            return
        try:
            report = self._learner.update()
            self._on_update(self._learner, report)
        except Exception as error:  # jobs go on: a save above all
            self.failure = str(error) if isinstance(error, LearningStopped) \
                else f'{type(error).__name__}: {error}'
            logger.error('Learning has stopped: %s', self.failure)
            return
        if not self._lockstep:
            self.skipped += self._learner.forgive(_MOST_OWED)


def _nothing(learner: Learner) -> None:
    """Do nothing."""
