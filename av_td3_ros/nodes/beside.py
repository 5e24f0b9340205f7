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
    callback of the node, in the order of the jobs. Of jobs that wait, only the newest is done.
    """

    def __init__(self, node: Node, name: str, work: Callable[[Any], Any],
                 taken: Callable[[Any], None]) -> None:
        self._node, self._work, self._taken = node, work, taken
        self._waiting: list[Any] = []
        self._results: deque[Any] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._ready = node.create_guard_condition(self._deliver)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> None:
        """Have a job done, instead of one that waits."""
        with self._change:
            self._waiting = [job]
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
                job = self._waiting.pop()
            self._results.append(self._work(job))
            with self._change:
                if self._closed:
                    return
                self._ready.trigger()

    def _deliver(self) -> None:
        while self._results and not self._closed:
            self._taken(self._results.popleft())
