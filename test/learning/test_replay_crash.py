# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A replay directory after a crash of the machine: states replayed from a trace of its writes.

Every state opens with what one commit made durable, none older than the last that returned, each
row whole and itself, and what was written after it counted as lost and never mixed in.
"""

import os
import random
import shutil
import warnings

import pytest
import replay_child
from replay_crash import crash_states, materialise, Trace

from av_td3_ros.learning import replay_directory
from av_td3_ros.learning.replay import ReplayMemory, ReplayWarning

CAPACITY = 20


def write_on(memory, trace, rows):
    """Write rows, and note which is written next."""
    for _ in range(rows):
        trace.note('row', memory._chains.head + 1)
        for _ in replay_child.fill(memory, 1, 1 << 60):
            pass


def commit(memory, trace):
    trace.note('committing', memory._chains.tail, memory._chains.head)
    memory.commit()
    trace.note('committed', memory._chains.head)


def trace_of(memory, trace):
    """Commit three times amid writing, the first time beyond the ring's edge."""
    for rows in (9, 5, 20):
        write_on(memory, trace, rows)
        commit(memory, trace)
    write_on(memory, trace, 3)
    return trace.operations


def check_state(folder, operations, length, commits):
    """Open what a crash left, and hold it against what was promised by then."""
    acknowledged = max([op[1] for op in operations[:length] if op[0] == 'committed'],
                       default=commits[0][1])
    written = max([op[1] for op in operations[:length] if op[0] == 'row'], default=acknowledged)
    begun = commits + [op[1:] for op in operations[:length] if op[0] == 'committing']
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always', ReplayWarning)
        memory = ReplayMemory(CAPACITY, image_shape=replay_child.IMAGE_SHAPE, vector_dim=3,
                              n_step=3, directory=folder)
    with memory:
        replay_child.check(memory, acknowledged)
        chains, lost = memory._chains, memory.counters['lost']
        assert (chains.tail, chains.head) in begun, 'these rows were never committed together'
        assert 0 <= lost <= written - chains.head
        assert bool(lost) == any('never committed' in str(one.message) for one in said)
        head = chains.head
        for _ in replay_child.fill(memory, 5, 1 << 60):
            pass
        memory.commit()
        replay_child.check(memory, head + 5)
    return lost, written - head


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch):
    """Save time: a trace notes them all the same, and its states need none."""
    monkeypatch.setattr(os, 'fsync', lambda file: None)
    monkeypatch.setattr(replay_directory, '_sync', lambda file: None)


def replay_crashes(tmp_path, monkeypatch, syncs=True):
    """Return the states there were, those that failed, and how many transitions were lost."""
    live, old, state = (tmp_path / name for name in ('live', 'old', 'state'))
    with replay_child.open_memory(live, CAPACITY) as memory:
        for _ in replay_child.fill(memory, 130, 1 << 60):
            pass
    memory = replay_child.open_memory(live, CAPACITY)
    shutil.copytree(live, old)
    commits = [memory._store.last[1:3]]
    with monkeypatch.context() as patch:
        operations = trace_of(memory, Trace(live, patch))
    memory.close()
    states, failures, losses = 0, [], []
    for length, reached in crash_states(operations, random.Random(0), syncs=syncs,
                                        most_random=3):
        if length and operations[length - 1][0] in ('row', 'committing'):
            continue
        shutil.copytree(old, state)
        materialise([op for op in reached if op[0] not in ('row', 'committing', 'committed')],
                    state)
        states += 1
        try:
            losses.append(check_state(state, operations, length, commits))
        except Exception as error:
            failures.append((length, repr(error)[:200]))
            if not syncs:
                break
        shutil.rmtree(state)
    return states, failures, losses


@pytest.mark.timeout(300)
def test_every_crash_state_is_a_commit(tmp_path, monkeypatch):
    states, failures, losses = replay_crashes(tmp_path, monkeypatch)
    assert not failures, failures[:5]
    assert states > 400
    # What is lost is counted, all of it where all of it had reached the disk.
    assert any(lost == most > 3 for lost, most in losses)
    assert any(lost < most for lost, most in losses)


def test_crash_states_would_show_a_missing_sync(tmp_path, monkeypatch):
    """The check can fail: were syncs to do nothing, some state would mix rows or lose a commit."""
    assert replay_crashes(tmp_path, monkeypatch, syncs=False)[1]


def test_every_crash_state_of_a_creation_opens(tmp_path, monkeypatch):
    live, state = tmp_path / 'live', tmp_path / 'state'
    live.mkdir()
    with monkeypatch.context() as patch:
        trace = Trace(live, patch)
        memory = replay_child.open_memory(live, CAPACITY)
        trace.note('committing', 0, 0)
        write_on(memory, trace, 3)
        commit(memory, trace)
    memory.close()
    operations, states = trace.operations, 0
    names = {op[1] for op in operations if op[0] == 'create'}
    assert {'commits.bin', 'records.bin', 'frames.bin'} < names
    for length, reached in crash_states(operations, random.Random(0), most_random=8):
        state.mkdir()
        materialise([op for op in reached if op[0] not in ('row', 'committing', 'committed')],
                    state)
        check_state(state, operations, length, [(0, 0)])
        assert not [path for path in state.iterdir() if path.suffix == '.tmp']
        shutil.rmtree(state)
        states += 1
    assert states > 100
