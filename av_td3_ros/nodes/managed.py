# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every managed node must do alike: clean up whatever was made, and say what went wrong."""

from __future__ import annotations

import functools
import gc
import traceback
from typing import Any, Callable

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from av_td3_ros.ros.compatibility import refuse_wrong_transitions
from av_td3_ros.ros.endpoints import Endpoints
from av_td3_ros.settings import SettingsError


class ManagedNode(Endpoints, LifecycleNode):
    """
    A life cycle node whose endpoints live from configuration to cleanup, shutdown or error.

    Whoever makes an endpoint adds to :attr:`made` what takes it away again; :meth:`listen` does
    so by itself. :meth:`leave` is called before they go, wherever they go.
    """

    def __init__(self, name: str, *, namespace: str) -> None:
        self.made: list[Callable[[], Any]] = []
        self._failure = ''      # why the last transition failed, in a sentence
        for transition in ('configure', 'activate', 'deactivate', 'cleanup', 'shutdown'):
            method = f'on_{transition}'
            setattr(self, method, self._logged(transition, getattr(self, method)))
        super().__init__(name, namespace=namespace)
        refuse_wrong_transitions(self)

    def leave(self) -> None:
        """Bring what the node controls to a safe state; called also where it is in one."""

    def listen(self, *arguments: Any) -> None:
        """Make a subscription that goes with the node's other endpoints."""
        subscription = self.create_subscription(*arguments)
        self.made.append(lambda: self.destroy_subscription(subscription))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take every endpoint away again."""
        self._take_away()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave safely, and go back to where nothing is configured."""
        self._take_away()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave safely, and end."""
        self._take_away()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Leave safely before the publishers are gone."""
        self.leave()
        super().destroy_node()

    def _take_away(self) -> None:
        """Take away what there is, also after a configuration that broke off halfway."""
        try:
            self.leave()
        finally:
            made, self.made = self.made, []
            for destroy in reversed(made):
                destroy()
            # What was made refers to the node and back, weights of tens of MB among it; Python
            # collects by the number of objects, and would let many of these pile up.
            made.clear()
            gc.collect()

    def _logged(self, transition: str, method: Callable[..., TransitionCallbackReturn]
                ) -> Callable[[LifecycleState], TransitionCallbackReturn]:
        """Have an exception in a transition logged, which rclpy turns into error processing."""
        @functools.wraps(method)
        def call(state: LifecycleState) -> TransitionCallbackReturn:
            try:
                return method(state)
            except SettingsError as error:
                # A parameter that only shows itself to be wrong when the endpoints are made.
                self._failure = str(error)
                self.get_logger().error(self._failure)
                self._take_away()
                return TransitionCallbackReturn.FAILURE
            except Exception as error:  # noqa: B902
                self.get_logger().error(
                    f'transition {transition} failed: {type(error).__name__}: {error}\n'
                    + traceback.format_exc())
                raise
        return call
