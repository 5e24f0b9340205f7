# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executor's threads are there from the start, and gone at the end."""

import threading
import time

import pytest
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


@pytest.fixture
def node(ros_domain):
    context = Context()
    context.init(domain_id=ros_domain)
    yield Node('node', context=context)
    context.try_shutdown()


def spun(executor, condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        executor.spin_once(0.1)
    return condition()


def test_events_are_seen_although_few_turns_wait_for_them(node):
    executor, seen, turns = make_executor(node.context), [], [0, 0]
    _, kind = event_callbacks()
    for _ in range(8):
        node.create_subscription(
            Empty, 'topic', lambda _: None, QoSProfile(
                depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL),
            event_callbacks=kind(incompatible_qos=seen.append))

    def count():
        turns[0] += 1
        turns[1] += any(executor.can_execute(entity) for entity in node.waitables)
    timer = node.create_timer(0.01, count)
    executor.add_node(node)
    try:
        assert spun(executor, lambda: turns[0] >= 50)
        assert turns[1] < turns[0] / 2
        timer.cancel()
        publisher = node.create_publisher(Empty, 'topic', QoSProfile(depth=1))
        used = time.thread_time()
        assert spun(executor, lambda: len(seen) == 8)
        assert publisher.get_subscription_count() == 0
        # An event that is not waited for ends each wait all the same: no busy waiting for it.
        assert time.thread_time() - used < 0.15
    finally:
        executor.shutdown()


def test_a_timer_that_is_always_due_leaves_room_for_messages(node):
    executor, seen = make_executor(node.context), []
    node.create_timer(0.001, lambda: time.sleep(0.003))
    node.create_subscription(Empty, 'topic', seen.append, 50)
    publisher = node.create_publisher(Empty, 'topic', 50)
    executor.add_node(node)
    try:
        assert spun(executor, lambda: publisher.get_subscription_count() == 1)
        for _ in range(20):
            publisher.publish(Empty())
        assert spun(executor, lambda: len(seen) == 20)
    finally:
        executor.shutdown()
