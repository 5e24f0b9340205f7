# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Real nodes in tests: processes of their own, in a ROS domain of their own, on this host.

A test takes the fixture ``ros`` (:class:`Graph`), starts nodes with it, and talks to them over
DDS through a node of its own. It never sleeps for something to happen: it waits for a condition
with a deadline, and a missed deadline fails with what the processes said.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, Mapping, Sequence

from domain import Domain
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from av_td3_ros.ros import qos
from av_td3_ros.ros.compatibility import keep_on_this_host
from av_td3_ros.ros.middleware import profiles_for_images

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A node of the package as a process, the leader of a process group of its own."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str],
                 log: Path) -> None:
        self.name, self.log = name, log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment),
                stdin=subprocess.DEVNULL, start_new_session=True, cwd=log.parent)
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors='replace')

    @property
    def shared_memory(self) -> int:
        """Bytes of the largest piece of Fast DDS's shared memory that it has, 0 without any."""
        sizes = [0]
        for line in Path(f'/proc/{self.pid}/maps').read_text().splitlines():
            # Fast DDS 3 has another name for its files.
            if re.search(r'/dev/shm/fast(rtps|dds)_', line):
                begin, end = (int(place, 16) for place in line.split()[0].split('-'))
                sizes.append(end - begin)
        return max(sizes)

    def send(self, number: int) -> None:
        """Send a signal to its group."""
        if self.code is None:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def stop(self, timeout: float = 10.0, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit status."""
        self.send(number)
        return self.gone(timeout, number)

    def gone(self, timeout: float = 10.0, number: int = signal.SIGTERM) -> int:
        """Wait for its end by a signal that it was sent; end it by force where that fails."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'{self.name} was not gone {timeout:g} s after signal {number}:'
                                 f'\n{self.output}') from None

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for its end, and return its exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f'{self.name} runs on after {timeout:g} s:\n{self.output}') from None


class Graph:
    """Nodes under test and one node of the test's own (``node``) in one domain."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._domain = Domain()
        self.environment = dict(os.environ)
        self.environment.update(
            ROS_DOMAIN_ID=str(self._domain.number), PYTHONUNBUFFERED='1',
            PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
            ROS_LOG_DIR=str(folder / 'log'), OMP_NUM_THREADS='1',
            **profiles_for_images({}))
        keep_on_this_host(self.environment)
        os.environ.update({
            key: self.environment[key] for key in self.environment
            if key.startswith(('ROS_', 'FASTDDS_', 'FASTRTPS_', 'CYCLONEDDS_'))
            and key != 'ROS_DOMAIN_ID'})
        self.processes: list[Process] = []
        self.context = Context()
        rclpy.init(context=self.context, domain_id=self._domain.number)
        self.node: Node = rclpy.create_node('test', context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def start(self, executable: str, parameters: Mapping[str, Any] | None = None, *,
              arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) \
            -> Process:
        """Start a node of the package, such as ``simulator``, or a script (.py) of the tests."""
        command = [sys.executable, *(
            [str(Path(__file__).parent / executable)] if executable.endswith('.py')
            else ['-m', f'av_td3_ros.nodes.{executable}']), '--ros-args']
        for name, value in (parameters or {}).items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ['-p', f'{name}:={text}']
        process = Process(
            executable, [*command, *arguments], {**self.environment, **(environment or {})},
            self._folder / f'{len(self.processes)}_{executable}.log')
        self.processes.append(process)
        return process

    def spin(self, seconds: float) -> None:
        """Take in messages for a while: for what must *not* happen."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 15.0) -> Any:
        """Take in messages until ``condition()`` is true, and return it."""
        end = time.monotonic() + timeout
        while not (value := condition()):
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f'{timeout:g} s passed without {what}\n{self.logs()}')
            for process in self.processes:
                if process.code not in (None, 0, -signal.SIGKILL, -signal.SIGTERM):
                    raise AssertionError(f'{process.name} ended with {process.code} while '
                                         f'waiting for {what}\n{self.logs()}')
            self._executor.spin_once(timeout_sec=min(left, 0.02))
        return value

    def subscribe(self, message: type, topic: str, profile: Any = qos.EXPERIENCE) -> list[Any]:
        """
        Return a list that grows by every message on a topic.

        As deep as none of the nodes' own: on a busy machine more than ten come between two looks.
        """
        received: list[Any] = []
        self.node.create_subscription(message, topic, received.append, profile)
        return received

    def next_of(self, received: list[Any], what: str = 'a message', timeout: float = 15.0) -> Any:
        """Wait for one more message in a list of :meth:`subscribe`, and return the newest."""
        count = len(received)
        self.wait_for(lambda: len(received) > count, what, timeout)
        return received[-1]

    def publisher(self, message: type, topic: str, profile: Any = qos.STREAM, *,
                  readers: int = 1, timeout: float = 15.0) -> Callable[[Any], None]:
        """Return a publish function, once ``readers`` subscriptions are matched."""
        publisher = self.node.create_publisher(message, topic, profile)
        self.wait_for(lambda: publisher.get_subscription_count() >= readers,
                      f'{readers} readers of {topic}', timeout)
        return publisher.publish

    def logs(self) -> str:
        """Return what every process said."""
        return '\n'.join(f'--- {p.name} (pid {p.pid}, status {p.code})\n{p.output[-6000:]}'
                         for p in self.processes)

    def close(self) -> None:
        """End every process, by force where a signal does not do within seconds."""
        for process in self.processes:
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)
        try:
            for process in self.processes:
                process.gone()
        finally:
            for process in self.processes:
                process.kill()
            self._executor.shutdown()
            self.node.destroy_node()
            rclpy.try_shutdown(context=self.context)
            self._domain.release()
            # pytest shows it with a failed test.
            print(self.logs())


def make_graph(folder: Path) -> Iterator[Graph]:
    """Give a fixture its graph."""
    graph = Graph(folder)
    try:
        yield graph
    finally:
        graph.close()
