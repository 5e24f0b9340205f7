# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Passing a Trigger service on to another node, with an answer in time whatever happens there."""

from __future__ import annotations

import threading
import time
from typing import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from std_srvs.srv import Trigger

_POLL = 0.05
_DISCOVERY = 10.0    # s after the start of a node in which others may not have been found yet


class TriggerRelay:
    """
    Serves ``~/<name>`` by calling ``<target>/<name>`` and passing its answer on.

    Calls block a thread of the node's executor, which therefore has several for them. Where the
    target is not there, dies during the call, or does not answer within ``timeout`` seconds, or
    the node is cleaned up meanwhile, the answer is success=false with the reason. ``around`` makes
    the call and may check what must hold before its answer is given.
    """

    def __init__(self, node: Node, name: str, target: str, timeout: float, *,
                 around: Callable[[Callable[[], Trigger.Response]], Trigger.Response]
                 = lambda call: call()) -> None:
        self._node, self._target, self._timeout = node, target, timeout
        self._around = around
        self._made = time.monotonic()
        # The answer must get in while callers wait: it has a group of its own.
        self._client = node.create_client(Trigger, f'{target}/{name}',
                                          callback_group=MutuallyExclusiveCallbackGroup())
        self._service = node.create_service(Trigger, f'~/{name}', self._serve,
                                            callback_group=ReentrantCallbackGroup())

    def call(self) -> Trigger.Response:
        """Call the target and return its answer, or one that says why there is none."""
        try:
            return self._call()
        except InvalidHandle:
            return Trigger.Response(success=False, message='this node was cleaned up during the '
                                    'call, and does not know how it ended')

    def _call(self) -> Trigger.Response:
        until = time.monotonic() + self._timeout
        # Discovery may not be through yet: right after the start it takes seconds on a busy
        # machine, later a second tells whether anybody is there.
        patience = min(until, max(time.monotonic() + 1.0, self._made + _DISCOVERY))
        while not self._client.service_is_ready():
            if time.monotonic() > patience:
                return Trigger.Response(
                    success=False, message=f'no training node answers at {self._target}: start '
                    'it, or set the parameter trainer to its name')
            time.sleep(_POLL)
        future = self._client.call_async(Trigger.Request())
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_POLL):
            if not self._client.service_is_ready():
                reason = 'the training node went away during the call'
            elif time.monotonic() > until:
                reason = f'the training node did not answer within {self._timeout:g} s'
            else:
                continue
            self._client.remove_pending_request(future)
            return Trigger.Response(success=False, message=reason)
        if future.exception() is not None:
            return Trigger.Response(success=False, message=str(future.exception()))
        return future.result()

    def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._around(self.call)

    def destroy(self) -> None:
        """Take service and client away."""
        self._node.destroy_service(self._service)
        self._node.destroy_client(self._client)
