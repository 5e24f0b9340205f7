# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work beside a node's callbacks: done in a thread, its result taken up among them."""

from __future__ import annotations

from collections import deque
import threading
from typing import Any, Callable

from rclpy.node import Node


class Beside:
    """
    Does what takes longer than a tick may, in a thread of its own.

    ``work(job)`` runs in that thread and must not raise; ``taken(result)`` is then called as a
    callback of the node, in the order of the results. Of jobs that wait, the newest is done, and
    unless ``good(result)`` the one before it too; others, and those before a good one, are not.
    """

    def __init__(self, node: Node, name: str, work: Callable[[Any], Any],
                 taken: Callable[[Any], None], good: Callable[[Any], bool]) -> None:
        self._node, self._work, self._taken, self._good = node, work, taken, good
        self._waiting: list[tuple[int, Any]] = []   # two at most, with their numbers
        self._submitted = 0
        self._results: deque[Any] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._ready = node.create_guard_condition(self._deliver)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> None:
        """Have a job done, before those that wait."""
        with self._change:
            self._submitted += 1
            self._waiting = [*self._waiting[-1:], (self._submitted, job)]
            self._change.notify()

    def destroy(self) -> None:
        """End after the job that is being done; its result is not taken any more."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._node.destroy_guard_condition(self._ready)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                number, job = self._waiting.pop()
            result = self._work(job)
            self._results.append(result)
            with self._change:
                if self._closed:
                    return
                if self._good(result):
                    self._waiting = [later for later in self._waiting if later[0] > number]
                self._ready.trigger()

    def _deliver(self) -> None:
        while self._results and not self._closed:
            self._taken(self._results.popleft())
