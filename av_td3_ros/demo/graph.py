# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The graph that runs: four nodes as processes, and an observer that waits for what they do."""

from __future__ import annotations

from pathlib import Path
import sys
import time
from typing import Any, Callable

from lifecycle_msgs.msg import Transition
import rclpy
from rclpy.signals import SignalHandlerOptions

from av_td3_ros.demo.observer import Observer
from av_td3_ros.demo.parameters import ROLE
from av_td3_ros.demo.processes import Children
from av_td3_ros.demo.report import LiveLine
from av_td3_ros.ros.compatibility import make_executor

# Seconds within which a node must be up: most of them for a renderer that is compiled for the
# first time, or a machine that is busy with other things.
START_SECONDS = 180.0
# A driver that keeps up is worth more than a few updates.
_TRAINER_NICENESS = 5


class DemoFailed(RuntimeError):
    """The demonstration did not do what it should show; one sentence says why."""


class Graph:
    """
    The processes and the observer.

    :meth:`wait` is where all the time is spent: it takes in messages, shows the live line
    (``describe``), and sees that every process lives.
    """

    def __init__(self, children: Children, parameters: Path, line: LiveLine) -> None:
        self._children, self._parameters, self._line = children, parameters, line
        self.observer: Observer | None = None
        self.describe: Callable[[], str] = lambda: 'starting'

    def start(self, name: str, **overrides: Any) -> None:
        """Start a node of the package, with parameters on top of those of the file."""
        command = [sys.executable, '-m', f'av_td3_ros.nodes.{name}', '--ros-args',
                   '--params-file', str(self._parameters)]
        if name in ('policy', 'guard'):
            command += ['-r', f'__ns:=/carla/{ROLE}']
        for key, value in overrides.items():
            command += ['-p', f'{key}:={value}']
        self._children.start(f'{name}_node', command,
                             nice=_TRAINER_NICENESS if name == 'training' else 0)

    def kill(self, name: str) -> None:
        """Kill a node with SIGKILL."""
        self._children.kill(f'{name}_node')

    def watch(self, make_observer: Callable[[], Observer]) -> Observer:
        """Open this process's own context and make the observer in it."""
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._executor = make_executor()
        self.observer = make_observer()
        self._executor.add_node(self.observer)
        return self.observer

    def wait(self, condition: Callable[[], Any], what: str, timeout: float) -> None:
        """Take in messages until ``condition()``; DemoFailed after ``timeout`` s without it."""
        observer, now = self.observer, time.monotonic()
        assert observer is not None
        until, look = now + timeout, now
        while not condition():
            self._executor.spin_once(timeout_sec=0.05)
            observer.keep_up()
            now = time.monotonic()
            if now > until:
                raise DemoFailed(f'{timeout:.0f} s passed without {what}')
            if now > look:
                look = now + 0.1
                self._children.check()
                self._line.show(self.describe())

    def settle(self, seconds: float) -> None:
        """Take in messages for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, 'time passing', seconds + 10.0)

    def answer(self, future: Any, what: str, timeout: float = 15.0) -> Any:
        """Wait for a service's answer and return it."""
        self.wait(future.done, f'an answer to {what}', timeout)
        return future.result()

    def bring_up(self) -> None:
        """Wait until simulator, learner and policy node are there, then let the car drive."""
        observer = self.observer
        assert observer is not None
        self.wait(lambda: observer.learned.progress is not None, 'a sign of the training node',
                  START_SECONDS)
        self.wait(lambda: observer.ticks, 'a tick of the simulator', START_SECONDS)
        for transition, what in ((Transition.TRANSITION_CONFIGURE, 'configured'),
                                 (Transition.TRANSITION_ACTIVATE, 'activated')):
            if what == 'activated':
                # Its first experience is lost unless the two have found each other.
                self.wait(lambda: observer.weights_in_use[0] > 0,
                          'weights arriving at the policy node', 60.0)
            done = self.answer(observer.change_state(transition), 'a life-cycle transition', 60.0)
            if not done.success:
                raise DemoFailed(f'the policy node could not be {what}; see its log')

    def close(self) -> None:
        """Close the observer and its context."""
        if self.observer is not None:
            self._executor.shutdown()
            self.observer.destroy_node()
        rclpy.try_shutdown()
