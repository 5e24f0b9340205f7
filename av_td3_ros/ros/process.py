# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A node as a process: start, spin, end.

:func:`run` is the ``main`` of every node of the package. Nodes end by SIGINT and SIGTERM within
seconds and in order: the executor stops, then ``destroy_node`` of the node runs while its
publishers still work (a last brake command, a checkpoint), then the context is shut down.
rclpy's own signal handlers shut the context down first, which takes the publishers away; they
are not installed.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import re
import signal
import socket
import sys
import threading
from typing import Any, Callable, NoReturn, Sequence

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from av_td3_ros.ros import compatibility
from av_td3_ros.settings import SettingsError

EXIT_SETTINGS = 2
EXIT_STUCK = 70


def run(make_node: Callable[[], Node], *, args: Sequence[str] | None = None,
        threads: int = 1, deadline: float = 4.0) -> NoReturn:
    """
    Run the node that ``make_node`` returns until a signal, and end the process.

    Callbacks run one after the other; those that block (services that wait for another node) are
    in a ReentrantCallbackGroup, which has ``threads`` of its own.

    A :class:`SettingsError`, on the command line or from the node, is one sentence on stderr and
    status 2. A node that is not gone ``deadline`` seconds after the signal, or at a second
    signal, is ended hard with status 70. One that is stuck in native code, so that no Python runs
    any more, is ended half a second later with status 1, and says where each thread stood.

    After all that, exit handlers are run and the interpreter is left as it is: taking apart what
    torch, numba and CARLA have loaded costs seconds, and brings nothing.
    """
    status = _run(make_node, args, threads, deadline)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(make_node: Callable[[], Node], args: Sequence[str] | None, threads: int,
         deadline: float) -> int:
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises several unrelated types for bad arguments
        print(_sentence(error), file=sys.stderr)
        return EXIT_SETTINGS
    with _Stop(deadline) as stop:
        try:
            node = make_node()
            try:
                _spin(node, stop, threads)
            finally:
                node.destroy_node()
        except (SettingsError, ParameterException, NameValidationException) as error:
            print(_sentence(error), file=sys.stderr)
            return EXIT_SETTINGS
        finally:
            rclpy.try_shutdown()
    return 0


def _spin(node: Node, stop: _Stop, threads: int) -> None:
    executor = compatibility.make_executor(threads=threads)
    executor.add_node(node)
    try:
        stop.on_signal(executor.wake)
        executor.spin_until_future_complete(stop.future)
    finally:
        executor.remove_node(node)
        executor.shutdown()


def _sentence(error: BaseException) -> str:
    """Return an error's message on one line, without rcl's source locations."""
    text = re.sub(r',? at \S+:\d+', '', ' '.join(str(error).split()))
    return text or type(error).__name__


class _Stop:
    """
    Turns SIGINT and SIGTERM into a future that ends a spin at once.

    Python runs signal handlers only between the main thread's bytecodes, and that thread sits
    in rcl's wait; so the interpreter's wakeup descriptor tells a small thread instead.
    """

    def __init__(self, deadline: float) -> None:
        self.future: Any = rclpy.Future()
        self._deadline = deadline
        self._wake: Callable[[], None] = lambda: None
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name='signals', daemon=True)

    def on_signal(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` after the future is done; at once where a signal came already."""
        self._wake = wake
        if self.future.done():
            wake()

    def __enter__(self) -> _Stop:
        self._handlers = {number: signal.signal(number, lambda *_: None)
                          for number in (signal.SIGINT, signal.SIGTERM)}
        self._old = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        # From here on until the interpreter ends, a further signal must not cut the end short.
        signal.set_wakeup_fd(self._old)
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        self._write.close()
        self._thread.join()
        self._read.close()

    def _watch(self) -> None:
        if not self._next_signal():
            return
        # A thread of its own that needs no interpreter lock.
        faulthandler.dump_traceback_later(self._deadline + 0.5, exit=True, file=sys.__stderr__)
        self.future.set_result(None)
        self._wake()
        self._read.settimeout(self._deadline)
        try:
            again = self._next_signal()
        except socket.timeout:
            again = True
        if again:
            os._exit(EXIT_STUCK)

    def _next_signal(self) -> bool:
        """Wait for one of our signals; False when the other end was closed."""
        while number := self._read.recv(1):
            # Handlers that other code installs write to the same descriptor.
            if number[0] in self._handlers:
                return True
        return False
