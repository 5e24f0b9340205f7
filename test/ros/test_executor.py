# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executor's threads are there from the start, and gone at the end."""

import threading
import time

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import Empty

from av_td3_ros.ros.compatibility import event_callbacks, make_executor
from av_td3_ros.ros.executor import OrderedExecutor


def service_threads():
    return sum(thread.name.startswith('service') for thread in threading.enumerate())


def test_threads_are_all_started_at_once():
    context = Context()
    context.init()
    before = service_threads()
    executor = OrderedExecutor(3, context)
    try:
        assert service_threads() == before + 3
        # Work makes no more of them.
        for done in [executor._pool.submit(time.monotonic) for _ in range(50)]:
            done.result(10.0)
        assert service_threads() == before + 3
    finally:
        executor.shutdown()
        context.try_shutdown()
    deadline = time.monotonic() + 10.0
    while service_threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service_threads() == before


def test_events_are_seen_although_few_turns_wait_for_them(ros_domain):
    context = Context()
    context.init(domain_id=ros_domain)
    executor, seen, turns = make_executor(context), [], [0, 0]
    try:
        node = Node('node', context=context)
        _, kind = event_callbacks()
        for _ in range(5):
            node.create_subscription(
                Empty, 'topic', lambda _: None, QoSProfile(
                    depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL),
                event_callbacks=kind(incompatible_qos=seen.append))

        def count():
            turns[0] += 1
            turns[1] += any(executor.can_execute(entity) for entity in node.waitables)
        node.create_timer(0.01, count)
        executor.add_node(node)
        publisher = node.create_publisher(Empty, 'topic', QoSProfile(depth=1))
        deadline = time.monotonic() + 30.0
        while (len(seen) < 5 or turns[0] < 50) and time.monotonic() < deadline:
            executor.spin_once(0.1)
        assert len(seen) == 5 and publisher.get_subscription_count() == 0
        assert turns[0] >= 50 and turns[1] < turns[0] / 2
    finally:
        executor.shutdown()
        context.try_shutdown()
