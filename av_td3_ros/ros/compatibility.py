# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What differs between the ROS 2 distributions that are supported: Humble, Jazzy and Kilted.

Every such difference is settled here, by looking at what the installed packages have rather
than at their version, so that the rest of the code has no branches for it.
"""

from __future__ import annotations

import importlib.util
import os
import time
from typing import Any, Callable, MutableMapping

from rclpy.context import Context
from rclpy.node import Node
from rclpy.subscription import Subscription

from av_td3_ros.ros.executor import OrderedExecutor


def keep_on_this_host(environment: MutableMapping[str, str] | None = None) -> None:
    """
    Restrict DDS discovery to this host, before a context is made.

    ``ROS_AUTOMATIC_DISCOVERY_RANGE`` came with Iron; Humble knows ``ROS_LOCALHOST_ONLY`` only,
    which later distributions still obey but warn about, so it is set only where needed.
    """
    environment = os.environ if environment is None else environment
    if has_discovery_ranges():
        environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    else:
        environment['ROS_LOCALHOST_ONLY'] = '1'


def has_discovery_ranges() -> bool:
    """Return whether this distribution knows ``ROS_AUTOMATIC_DISCOVERY_RANGE``."""
    return importlib.util.find_spec('rclpy.type_hash') is not None


def make_executor(context: Context | None = None, *, threads: int = 1,
                  events: bool = False) -> Any:
    """
    Return an executor: single-threaded, but that reentrant callbacks have ``threads`` beside it.

    Events of endpoints are looked for now and then alone, see :class:`.OrderedExecutor`.

    With ``events``, the events executor where rclpy has it (Kilted, and late patch releases of
    Jazzy). It calls back without building a wait set for every event, but it is experimental: it
    has no guard conditions, and in rclpy 7.1 its waiting holds the interpreter's lock, so that
    no other thread runs. It is for trying out only.
    """
    if events:
        try:
            from rclpy.experimental import EventsExecutor
        except ImportError:
            pass
        else:
            return EventsExecutor(context=context)
    try:
        from rclpy.event_handler import EventHandler
    except ImportError:
        from rclpy.qos_event import QoSEventHandler as EventHandler
    return OrderedExecutor(threads, context, rare=(EventHandler,))


def timed(callback: Callable[[Any, float, float], None]) -> Callable[..., None]:
    """
    Return a subscription's callback that gets the message and when it was sent and received.

    Both in s of the wall clock, as the middleware noted them. Humble's rclpy keeps them to itself:
    there both are the time of the call.
    """
    def with_info(message: Any, info: Any) -> None:
        callback(message, info['source_timestamp'] * 1e-9, info['received_timestamp'] * 1e-9)

    def without(message: Any) -> None:
        now = time.time()
        callback(message, now, now)
    return with_info if hasattr(Subscription, 'CallbackType') else without


def event_callbacks() -> tuple[type, type]:
    """
    Return publishers' and subscriptions' containers of event callbacks; Iron moved them.

    Where the middleware does not know an event, endpoints are made without any: Humble's raise.
    """
    try:
        from rclpy.event_handler import (PublisherEventCallbacks, SubscriptionEventCallbacks,
                                         UnsupportedEventTypeError)
    except ImportError:
        from rclpy.qos_event import (PublisherEventCallbacks, SubscriptionEventCallbacks,
                                     UnsupportedEventTypeError)
    return (_tolerant(PublisherEventCallbacks, UnsupportedEventTypeError),
            _tolerant(SubscriptionEventCallbacks, UnsupportedEventTypeError))


def _tolerant(container: Any, unsupported: type[Exception]) -> type:
    class Tolerant(container):

        def create_event_handlers(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().create_event_handlers(*arguments, **options)
            except unsupported:
                return []
    return Tolerant


def after_parameters_set(node: Node, callback: Callable[[list[Any]], None]) -> bool:
    """
    Have ``callback`` called with the parameters that were just set; False where impossible.

    Humble has no callback for after the fact; the caller then applies changes while validating.
    """
    add = getattr(node, 'add_post_set_parameters_callback', None)
    if add is None:
        return False
    add(callback)
    return True


def refuse_wrong_transitions(node: Any) -> None:
    """
    Have a managed node answer success=false to a transition that its state does not have.

    rclpy raises in the service's callback, which ends the node: anyone could end it by asking to
    activate what is active.
    """
    service = getattr(node, '_service_change_state', None)
    if service is None:
        return
    change = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except RuntimeError as error:
            node.get_logger().warning(
                f'transition {request.transition.label or request.transition.id} refused: '
                + str(error).split(',')[0])
            response.success = False
            return response
    service.callback = answer
