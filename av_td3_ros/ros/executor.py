# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An executor that keeps the order of what came in, while services may wait."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
import threading
import time
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (ConditionReachedException, Executor, ShutdownException,
                             TimeoutException)

_RARE = 0.2         # s between two looks for what is rare


class OrderedExecutor(Executor):
    """
    Runs callbacks one after the other in the thread that spins, reentrant ones in ``threads``.

    Of what is ready together, rclpy yields subscriptions in the order in which they were made. A
    MultiThreadedExecutor hands these to a pool that may start them in another order; a
    SingleThreadedExecutor is held up by a service that waits for another node. Here, a run that
    waits for its messages in step sees them in the same order every time, and only callbacks
    in a ReentrantCallbackGroup, which must not touch what the others do, run beside them.

    What is of the types ``rare`` is looked for every 0.2 s, where some callback is due as often,
    and after a wait that ended with nothing to do.
    Events of endpoints (a profile that does not fit) are meant: a node has two or more for each
    endpoint, and to wait for all of them in every turn takes more of the processor than most
    callbacks do.
    """

    def __init__(self, threads: int, context: Context | None = None,
                 rare: tuple[type, ...] = ()) -> None:
        super().__init__(context=context)
        self._rare, self._next_rare, self._waits_for_rare = rare, 0.0, False
        self._until: Any = None
        self._asked = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix='service')
        # All of them now: a pool starts each of its threads when the others happen to be busy, for
        # the first time after hours perhaps, and then a node seems to leak.
        started = threading.Barrier(threads)
        for _ in range(threads):
            self._pool.submit(started.wait)
        self._running: list[Future] = []

    def can_execute(self, entity: Any) -> bool:
        """Tell whether an entity is to be waited for in this turn."""
        if isinstance(entity, self._rare):
            if time.monotonic() < self._next_rare:
                return False
            self._waits_for_rare = True
        return super().can_execute(entity)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, or start a reentrant one; wait for it for up to ``timeout_sec``."""
        self._until = None
        self._once(timeout_sec)

    def spin_once_until_future_complete(self, future: Any, timeout_sec: Any = None) -> None:
        """As :meth:`spin_once`; return also when ``future`` is done and somebody wakes this."""
        # rclpy's own executors add a callback to the future here, in every turn, and it stays.
        self._until = future
        self._once(timeout_sec)

    def _is_over(self) -> bool:
        # Asked before each wait, and once more where the last callback of a wait has run: for the
        # third time only after a wait that ended with nothing to do. An event ends one too, even
        # if it was not waited for, and would end the next ones.
        self._asked += 1
        if self._asked > 2:
            self._next_rare = 0.0
        return self._until is not None and self._until.done()

    def _once(self, timeout_sec: Any) -> None:
        handler: Any
        entity: Any
        self._asked = 0
        try:
            # The same condition each time: with another one rclpy begins to wait anew, and forgets
            # what else is ready. A timer that is always due would be all that ever runs.
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec, None, self._is_over)
        except (ShutdownException, TimeoutException, ConditionReachedException):
            return
        finally:
            if self._waits_for_rare:
                self._next_rare = time.monotonic() + _RARE
                self._waits_for_rare = False
        if isinstance(getattr(entity, 'callback_group', None), ReentrantCallbackGroup):
            self._running.append(self._pool.submit(_run_beside, handler))
        else:
            _run(handler)
        for done in [future for future in self._running if future.done()]:
            self._running.remove(done)
            done.result()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop, as :meth:`rclpy.executors.Executor.shutdown`."""
        ended = super().shutdown(timeout_sec)
        self._pool.shutdown(wait=False)
        return ended


def _run_beside(handler: Any) -> None:
    try:
        _run(handler)
    except InvalidHandle:
        pass  # the service was taken away while it answered


def _run(handler: Any) -> None:
    handler()
    # A task that waits for another is taken up again by the executor.
    if handler.done():
        handler.result()
