# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executor's threads are there from the start, and gone at the end."""

import threading
import time

from rclpy.context import Context

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
