# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Child processes that never outlive their parent, whatever ends it.

Each child leads a session of its own, so that Ctrl-C in a terminal reaches the parent alone,
which then ends its children in order. A parent that is killed cannot do that: for this case the
kernel kills each child's first process with it (``PR_SET_PDEATHSIG``, Linux).
"""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Callable, Mapping, Sequence

# Runs in the child before the program: asks the kernel for the signal, sees whether the parent
# is there still, lowers the priority, and becomes the program. A program of its own rather than a
# preexec_fn, which is not safe in a parent with threads.
_STARTER = """
import ctypes, os, sys
parent, nice, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(parent):
    os._exit(1)
os.nice(int(nice))
os.execv(command[0], command)
"""

# Seconds after which a child that a signal did not end gets the next one.
_ESCALATION = ((signal.SIGINT, 2.5), (signal.SIGTERM, 0.7), (signal.SIGKILL, 0.8))

_TAIL_LINES = 12


class ChildDied(RuntimeError):
    """A child ended by itself; the message holds its name, its status and its last lines."""


class Child:
    """
    One child process, whose output goes to the file ``log``.

    It must be started in the parent's main thread: the kernel's signal comes when the thread that
    started it ends. ``nice`` is how far its priority is lowered.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str],
                 log: Path, nice: int = 0) -> None:
        self.name, self.log = name, log
        with log.open('ab') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-S', '-E', '-c', _STARTER, str(os.getpid()), str(nice),
                 *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=dict(environment), start_new_session=True)
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send a signal to the child and to what it started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """End it at once, without a chance to save anything."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def last_lines(self, count: int = _TAIL_LINES) -> str:
        """Return the last lines of its output."""
        try:
            lines = self.log.read_text(errors='replace').splitlines()
        except OSError as error:
            return str(error)
        return '\n'.join(lines[-count:])


class Children:
    """Several children, by name, that are ended together; for use in a ``with``."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment, self._logs = dict(environment), logs
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def start(self, name: str, command: Sequence[str], nice: int = 0) -> Child:
        """Start a child, or one of that name anew after the old one ended."""
        child = Child(name, command, self._environment, self._logs / f'{name}.log', nice)
        self._children[name] = child
        return child

    def kill(self, name: str) -> None:
        """Kill a child; that it is gone then counts as wanted."""
        self._children.pop(name).kill()

    def check(self) -> None:
        """Raise :class:`ChildDied` where one has ended by itself."""
        for child in self._children.values():
            status = child.status
            if status is not None:
                raise ChildDied(f'{child.name} ended unexpectedly with {describe(status)}; the '
                                f'end of {child.log}:\n{child.last_lines()}')

    def end(self) -> None:
        """End all of them, by ever harder signals, within some four seconds."""
        for number, patience in _ESCALATION:
            # Also where the leader is gone: something that it started may not be.
            for child in self._children.values():
                child.send(number)
            if wait_until(lambda: all(child.status is not None
                                      for child in self._children.values()), patience):
                break
        for child in self._children.values():
            child.send(signal.SIGKILL)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition; return whether it came true within ``timeout`` seconds."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def describe(status: int) -> str:
    """Say what an exit status means."""
    if status >= 0:
        return f'status {status}'
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f'signal {-status}'
