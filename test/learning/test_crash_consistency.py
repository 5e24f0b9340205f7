# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Saves that fail, are killed, or are cut off by a crash leave the old checkpoint or the new one.

The long form is ``benchmarks/checkpoint_crash.py``.
"""

import errno
import json
from pathlib import Path
import shutil
import subprocess
import sys

from agents import fingerprint, flat_agent, learn
from crash_support import (
    crash_states, Failing, KINDS, load_stamped, materialise, Recording, save_stamped, small_folder)
import pytest
import torch

from av_td3_ros.learning.checkpoint import CheckpointError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def count_calls(path):
    files = Failing()
    agent = flat_agent()
    learn(agent, 1)
    save_stamped(small_folder(path / 'count'), agent)
    learn(agent, 1)
    save_stamped(small_folder(path / 'count', files), agent)
    return files.calls


@pytest.mark.timeout(300)
@pytest.mark.parametrize('error', [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize('forever', [False, True])
def test_every_failing_call(tmp_path, error, forever):
    """Whichever call fails: an error that names the errno, or a save that is durable."""
    calls = count_calls(tmp_path)
    assert all(calls[kind] for kind in KINDS), f'not every kind of call is made: {calls}'
    for kind, count in calls.items():
        for number in range(1, count + 1):
            path = tmp_path / f'{kind}{number}'
            agent = flat_agent()
            learn(agent, 1)
            save_stamped(small_folder(path), agent)
            learn(agent, 1)
            files = Failing(kind, number, error, forever)
            before = fingerprint(agent)
            try:
                save_stamped(small_folder(path, files), agent)
                acknowledged = True
            except CheckpointError as failure:
                assert errno.errorcode[error] in str(failure)
                acknowledged = False
            assert files.failed
            assert fingerprint(agent) == before
            # Only removing what retention does not keep may fail without failing the save.
            assert acknowledged == (kind == 'unlink'
                                    or (kind == 'fsync' and number == calls[kind]))
            assert load_stamped(path) in ((2,) if acknowledged else (1, 2))
            # Learning goes on, and the next save works.
            learn(agent, 1)
            save_stamped(small_folder(path), agent)
            assert load_stamped(path) == 3


def replay_crashes(tmp_path, fsyncs=True):
    """Return the iterations that load from every crash state, and how many states there were."""
    path = tmp_path / 'live'
    agent = flat_agent()
    learn(agent, 1)
    save_stamped(small_folder(path), agent)
    old = tmp_path / 'old'
    shutil.copytree(path, old, symlinks=True)
    learn(agent, 1)
    files = Recording(fsyncs)
    save_stamped(small_folder(path, files), agent)
    found, failures = set(), []
    for number, (length, operations) in enumerate(crash_states(files.trace)):
        state = tmp_path / 'state'
        shutil.copytree(old, state, symlinks=True)
        materialise(operations, state)
        try:
            iteration = load_stamped(state)
            if length == len(files.trace) and iteration != 2:
                raise CheckpointError('an acknowledged save is lost')
            found.add(iteration)
        except (CheckpointError, AssertionError) as error:
            failures.append((length, str(error)))
            if not fsyncs:
                break
        shutil.rmtree(state)
    return found, failures, number + 1


def test_every_crash_state_loads_old_or_new(tmp_path):
    found, failures, states = replay_crashes(tmp_path)
    assert not failures and found == {1, 2} and states > 40


def test_crash_states_would_show_a_missing_fsync(tmp_path):
    """The check can fail: without fsyncs some state loses both checkpoints."""
    assert replay_crashes(tmp_path, fsyncs=False)[1]


@pytest.mark.timeout(300)
def test_kills_short_form(tmp_path):
    """Kill at each call of a save, and at random moments of continuous saving."""
    done = subprocess.run(
        [sys.executable, ROOT / 'benchmarks' / 'checkpoint_crash.py', '--kills', '15',
         '--no-strace', '--folder', tmp_path], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result['kills']['rounds'] == 15 and result['kills']['acknowledged'] > 0
    assert result['killed_at_each_call']['rounds'] > 10
