# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Child processes end with their parent: by a signal in order, and when it is killed."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from av_td3_ros.demo.processes import Child, ChildDied, Children, describe, wait_until

ROOT = Path(__file__).resolve().parents[2]

SLEEPER = 'import time; print("here", flush=True); time.sleep(600)'
# Notes the first signal, and stays.
STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, _: print("ignored", n, flush=True))
print("here", flush=True)
while True:
    time.sleep(0.05)
"""
PARENT = """
import os, sys, time
from pathlib import Path
from av_td3_ros.demo.processes import Children, wait_until
logs = Path(sys.argv[1])
with Children(os.environ, logs) as children:
    started = [children.start(str(i), [sys.executable, "-c", code])
               for i, code in enumerate(sys.argv[2:])]
    assert wait_until(lambda: all("here" in c.log.read_text() for c in started), 30.0)
    print(*(c.pid for c in started), flush=True)
    time.sleep(600)
"""


def start(children, name, code):
    """Start a Python child and wait until it runs its code."""
    child = children.start(name, [sys.executable, '-c', code])
    assert wait_until(lambda: 'here' in child.log.read_text(), 30.0)
    return child


def is_running(pid):
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


@pytest.fixture
def parent(tmp_path):
    """Start a parent of a willing and a stubborn child; return it and the children's pids."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, '-c', PARENT, str(tmp_path), SLEEPER, STUBBORN],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    yield process, [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()


def test_children_end_with_the_context(tmp_path):
    with Children(os.environ, tmp_path) as children:
        pids = [start(children, name, SLEEPER).pid for name in 'abc']
        assert all(is_running(pid) for pid in pids)
    assert not any(is_running(pid) for pid in pids)


def test_a_stubborn_child_is_killed_within_five_seconds(tmp_path):
    with Children(os.environ, tmp_path) as children:
        child = start(children, 'stubborn', STUBBORN)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5.0
    assert child.status == -signal.SIGKILL
    assert [f'ignored {int(n)}' in child.log.read_text()
            for n in (signal.SIGINT, signal.SIGTERM)] == [True, True]


def test_grandchildren_end_too(tmp_path):
    code = ('import subprocess, sys\n'
            f'print(subprocess.Popen([sys.executable, "-c", {STUBBORN!r}]).pid, flush=True)\n'
            f'{SLEEPER}')
    with Children(os.environ, tmp_path) as children:
        child = start(children, 'a', code)
        grandchild = int(next(
            line for line in child.log.read_text().splitlines() if line.isdigit()))
        assert is_running(grandchild)
    assert wait_until(lambda: not is_running(grandchild), 5.0)


def test_an_exception_ends_the_children(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with Children(os.environ, tmp_path) as children:
            child = start(children, 'a', SLEEPER)
            raise KeyboardInterrupt
    assert child.status is not None


def test_sigint_to_the_parent_leaves_no_child(parent):
    process, pids = parent
    assert len(pids) == 2 and all(is_running(pid) for pid in pids)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=8.0)
    assert wait_until(lambda: not any(is_running(pid) for pid in pids), 1.0)


def test_sigkill_of_the_parent_leaves_no_child(parent):
    process, pids = parent
    assert len(pids) == 2 and all(is_running(pid) for pid in pids)
    process.kill()
    assert wait_until(lambda: not any(is_running(pid) for pid in pids), 5.0)


def test_a_terminals_ctrl_c_does_not_reach_the_children(tmp_path):
    with Children(os.environ, tmp_path) as children:
        child = start(children, 'a', SLEEPER)
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        assert os.getsid(child.pid) != os.getsid(0)


def test_a_child_that_dies_is_reported_with_its_last_lines(tmp_path):
    with Children(os.environ, tmp_path) as children:
        children.check()
        children.start('node', [sys.executable, '-c',
                                'import sys; print("what went wrong"); sys.exit(3)'])
        assert wait_until(lambda: children['node'].status is not None, 30.0)
        with pytest.raises(ChildDied, match='(?s)node.*status 3.*what went wrong'):
            children.check()


def test_a_child_that_was_killed_on_purpose_is_not_missed(tmp_path):
    with Children(os.environ, tmp_path) as children:
        child = start(children, 'a', STUBBORN)
        children.kill('a')
        assert child.status == -signal.SIGKILL
        children.check()
        again = start(children, 'a', SLEEPER)
        assert again.pid != child.pid and again.status is None
    assert again.status is not None


def test_the_log_of_a_second_start_follows_the_first(tmp_path):
    for text in 'one', 'two':
        child = Child('a', [sys.executable, '-c', f'print("{text}")'], os.environ,
                      tmp_path / 'a.log')
        assert wait_until(lambda: child.status is not None, 30.0)
    assert child.last_lines(5) == 'one\ntwo'
    assert child.last_lines(1) == 'two'


def test_priority_is_lowered(tmp_path):
    code = 'import os; print(os.nice(0))'
    child = Child('a', [sys.executable, '-c', code], os.environ, tmp_path / 'log', nice=3)
    assert wait_until(lambda: child.status is not None, 30.0)
    assert int(child.last_lines()) == min(os.nice(0) + 3, 19)


def test_statuses_are_named():
    assert describe(2) == 'status 2'
    assert describe(-9) == 'SIGKILL'
