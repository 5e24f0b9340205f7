# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the tests share: a ROS domain for each test, and a sign of life during long ones.

Tests that start nodes take the fixture ``ros_domain``. It hands out a domain that no other test
on this host has, in this process's environment too, so that child processes inherit it.
"""

import os
import signal
import sys
import threading
import time

from domain import Domain
import pytest

HEARTBEAT = 5.0

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore it, and all that they start, which tests interrupt, would.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ros_domain(monkeypatch):
    """Return the number of a ROS domain that is this test's alone."""
    domain = Domain()
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain.number))
    yield domain.number
    domain.release()


class _SignOfLife:
    """Prints a line when the run has said nothing for some seconds."""

    def __init__(self):
        self._last = self._start = time.monotonic()
        self._finished = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def pytest_sessionstart(self):
        self._thread.start()

    def pytest_runtest_logreport(self, report):
        self._last = time.monotonic()
        self._finished += report.when == 'teardown'

    def pytest_sessionfinish(self):
        self._done.set()

    def _watch(self):
        while not self._done.wait(0.5):
            now = time.monotonic()
            if now - self._last > HEARTBEAT:
                self._last = now
                print(f'\n[{now - self._start:.0f} s, {self._finished} tests done]',
                      file=sys.__stderr__, flush=True)


def pytest_configure(config):
    """Show signs of life where several processes run the tests and one collects."""
    if hasattr(config, 'workerinput') or not getattr(config.option, 'numprocesses', None):
        return
    config.pluginmanager.register(_SignOfLife(), 'av_td3_sign_of_life')
