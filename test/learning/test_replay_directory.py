# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A replay memory in a directory: what is durable, what a crash leaves, what is refused."""

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import replay_child

from av_td3_ros.learning import replay_directory
from av_td3_ros.learning.replay import ReplayError, ReplayMemory, ReplayWarning


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch):
    """Save time: a crash of the process, or a copy of the files, is the same without them."""
    monkeypatch.setattr(replay_directory, '_sync', lambda file: None)
    monkeypatch.setattr(replay_directory.os, 'fsync', lambda file: None)


class Children:
    """Processes that fill a memory, one at a time, to be killed."""

    def __init__(self, path, capacity, commit_every):
        self.parent = subprocess.Popen(
            [sys.executable, replay_child.__file__, str(path), str(capacity), str(commit_every)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def start(self):
        """Start one; return its number once it has opened the memory."""
        self.parent.stdin.write('\n')
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())

    def kill(self, child):
        """Kill it; return the head of the last commit that it spoke of, 0 for none."""
        os.kill(child, signal.SIGKILL)
        lines = list(iter(self.parent.stdout.readline, 'dead\n'))
        return int(lines[-1]) if lines else 0

    def __exit__(self, *exception):
        self.parent.kill()
        self.parent.wait()
        self.parent.stdin.close()
        self.parent.stdout.close()


def grow(memory, rows, commit_every=1 << 60):
    for _ in replay_child.fill(memory, rows, commit_every):
        pass


def image_of(path, to):
    """Copy the directory as a crash at this moment would leave it."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(path, to)
    return to


def test_what_is_committed_is_there_again(tmp_path):
    with replay_child.open_memory(tmp_path, 200) as memory:
        grow(memory, 500)
        rows = len(memory), memory._chains.tail
    with replay_child.open_memory(tmp_path, 200) as memory:
        replay_child.check(memory, 500)
        assert (len(memory), memory._chains.tail) == rows
        assert memory.counters == {'added': 486, 'abandoned': 0, 'lost': 0, 'open': 0,
                                   'uncommitted': 0}


def test_uncommitted_tail_is_dropped_and_counted(tmp_path):
    path = tmp_path / 'replay'
    memory = replay_child.open_memory(path, 200)
    grow(memory, 100, commit_every=50)
    grow(memory, 20)
    assert memory.counters['uncommitted'] == 20
    crashed = image_of(path, tmp_path / 'crashed')
    memory.close()
    with pytest.warns(ReplayWarning, match='19 transitions were never committed'):
        memory = ReplayMemory(200, image_shape=replay_child.IMAGE_SHAPE, vector_dim=3,
                              directory=crashed)
    assert memory.counters['lost'] == 19 and memory._chains.head == 100
    memory.close()
    # Counted once: neither the old rows nor those written over them are counted again.
    with replay_child.open_memory(crashed, 200) as memory:
        grow(memory, 10)
    with replay_child.open_memory(crashed, 200) as memory:
        assert memory.counters['lost'] == 19
        replay_child.check(memory, 110)


@pytest.mark.parametrize('commit_every', [3, 1 << 60])
def test_crash_after_any_row_leaves_whole_rows(tmp_path, commit_every):
    # In a full ring, where each row is written over another one.
    memory = replay_child.open_memory(tmp_path / 'replay', 20)
    grow(memory, 150)
    memory.commit()
    commits = set()
    for _ in range(memory.layout.slots):
        grow(memory, 1, commit_every)
        last = memory._store.last
        commits.add(last.head)
        crashed = image_of(tmp_path / 'replay', tmp_path / 'crashed')
        with replay_child.open_memory(crashed, 20) as after:
            replay_child.check(after, last.head)
            assert (after._chains.tail, after._chains.head) == (last.tail, last.head)
    # Without any commit asked for, they came when the spare rows were used up.
    assert len(commits) > 1
    memory.close()


@pytest.mark.parametrize('damage', ['zeroed', 'flipped', 'torn'])
def test_torn_commit_record_falls_back_to_the_one_before(tmp_path, damage):
    with replay_child.open_memory(tmp_path, 200) as memory:
        grow(memory, 50)
        memory.commit()
        grow(memory, 50)
        memory.commit()
        offset = memory._store.last.number % 2 * 4096
    with open(tmp_path / 'commits.bin', 'r+b') as file:
        file.seek(offset)
        data = bytearray(file.read(80))
        for at in {'zeroed': range(80), 'flipped': [20], 'torn': range(40, 80)}[damage]:
            data[at] = data[at] ^ 1 if damage == 'flipped' else 0
        file.seek(offset)
        file.write(data)
    with replay_child.open_memory(tmp_path, 200) as memory:
        replay_child.check(memory, 50)
        assert memory._chains.head == 50


def test_bit_rot_is_found(tmp_path):
    with replay_child.open_memory(tmp_path, 200) as memory:
        grow(memory, 100)
        memory.commit()
        with open(tmp_path / 'frames.bin', 'r+b') as file:
            file.seek(1600 * 40 + 7)
            file.write(b'\xff')
        assert memory.verify() == [40]
    with open(tmp_path / 'records.bin', 'r+b') as file:
        size = memory.layout.record.itemsize
        file.seek(size * 30)
        file.write(bytes(size))
    with pytest.warns(ReplayWarning, match='31 rows are damaged or older'):
        memory = ReplayMemory(200, image_shape=replay_child.IMAGE_SHAPE, vector_dim=3,
                              directory=tmp_path)
    assert memory._chains.tail == 31
    memory.close()


def test_another_process_is_refused(tmp_path):
    with Children(tmp_path, 100, 10) as children:
        child = children.start()
        with pytest.raises(ReplayError, match=f'in use by process {child}$'):
            replay_child.open_memory(tmp_path, 100)
        children.kill(child)
    with replay_child.open_memory(tmp_path, 100) as memory:
        with pytest.raises(ReplayError, match=f'in use by process {os.getpid()}$'):
            replay_child.open_memory(tmp_path, 100)
        assert memory.verify() == []


def kill_loop(path, kills, capacity, commit_every, seed, longest=0.25):
    """Kill a process that fills the memory again and again; return the rows that are left."""
    chance = random.Random(seed)
    with Children(path, capacity, commit_every) as children:
        for _ in range(kills):
            child = children.start()
            time.sleep(chance.uniform(0, longest))
            acknowledged = children.kill(child)
            with replay_child.open_memory(path, capacity) as memory:
                replay_child.check(memory, acknowledged)
                head = memory._chains.head
    return head


def test_killed_at_any_moment(tmp_path):
    assert kill_loop(tmp_path, 12, 150, 11, seed=1) > 200


@pytest.mark.parametrize('change,message', [
    ({'capacity': 50}, 'capacity is 100 there and 50 here'),
    ({'image_shape': None}, r'image_shape is \[40, 40\] there and None here'),
    ({'vector_dim': 4}, 'vector_dim is 3 there and 4 here'),
    ({'action_dim': 3}, 'action_dim is 2 there and 3 here')])
def test_other_layout_is_refused(tmp_path, change, message):
    with replay_child.open_memory(tmp_path, 100) as memory:
        grow(memory, 10)
    options = {'capacity': 100, 'image_shape': (40, 40), 'vector_dim': 3, 'action_dim': 2}
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != 'lock'}
    with pytest.raises(ReplayError, match=message):
        ReplayMemory(**{**options, **change}, directory=tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    with ReplayMemory(**options, directory=tmp_path) as memory:
        assert memory._chains.head == 10


def rewrite_header(path, **change):
    header = json.loads((path / 'replay.json').read_text())
    (path / 'replay.json').write_text(json.dumps({**header, **change}))


@pytest.mark.parametrize('damage,message', [
    (lambda path: rewrite_header(path, version=2), 'version 2, not'),
    (lambda path: rewrite_header(path, format='zip'), "format 'zip'"),
    (lambda path: (path / 'replay.json').write_text('{'), 'not the header'),
    (lambda path: (path / 'replay.json').write_text('[]'), 'not the header'),
    (lambda path: (path / 'replay.json').unlink(), 'replay.json is missing'),
    (lambda path: (path / 'frames.bin').unlink(), 'frames.bin is missing'),
    (lambda path: os.truncate(path / 'records.bin', 100), 'records.bin is damaged'),
    (lambda path: (path / 'commits.bin').write_bytes(bytes(8192)), 'neither record verifies')])
def test_damaged_directory_is_refused(tmp_path, damage, message):
    with replay_child.open_memory(tmp_path, 100) as memory:
        grow(memory, 10)
        memory.commit()
        grow(memory, 1)
    damage(tmp_path)
    with pytest.raises(ReplayError, match=message):
        replay_child.open_memory(tmp_path, 100)


def test_creation_that_was_interrupted_starts_again(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as patch:
        patch.setattr(replay_directory.os, 'replace', fail)
        with pytest.raises(OSError, match='No space left'):
            replay_child.open_memory(tmp_path, 100)
    with replay_child.open_memory(tmp_path, 100) as memory:
        grow(memory, 10)
        replay_child.check(memory, 0)


@pytest.mark.parametrize('call', ['pwrite', '_sync'])
@pytest.mark.parametrize('error', [errno.EIO, errno.ENOSPC])
def test_every_failing_call_leaves_a_sound_memory(tmp_path, monkeypatch, call, error):
    where = replay_directory.os if call == 'pwrite' else replay_directory
    real = getattr(where, call)
    with replay_child.open_memory(tmp_path / 'base', 30) as memory:
        grow(memory, 100)
    for nth in range(1, 100):
        path = image_of(tmp_path / 'base', tmp_path / 'replay')
        memory = replay_child.open_memory(path, 30)
        calls, failed = 0, False

        def fail(*arguments):
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(error, os.strerror(error))
            return real(*arguments)

        committed = memory._store.last.head
        with monkeypatch.context() as patch:
            patch.setattr(where, call, fail)
            try:
                grow(memory, 9)
                memory.commit()
            except OSError as raised:
                assert raised.errno == error
                failed = True
        # Where a row was refused, its episode ended; where a commit was, nothing has.
        assert bool(memory.open_episodes) == (memory._chains.head == committed + 9)
        crashed = image_of(path, tmp_path / 'crashed')
        with replay_child.open_memory(crashed, 30) as after:
            replay_child.check(after, committed if failed else committed + 9)
        grow(memory, 20)
        memory.commit()
        replay_child.check(memory, committed + 20)
        memory.close()
        with replay_child.open_memory(path, 30) as memory:
            replay_child.check(memory, committed + 20)
        if not failed:
            break
    assert not failed and nth > 3


def test_rows_are_written_again_after_a_failed_sync(tmp_path, monkeypatch):
    # After a failed fsync the system holds the pages for clean; they must be made dirty again.
    memory = replay_child.open_memory(tmp_path, 100)
    grow(memory, 10)
    with monkeypatch.context() as patch:
        def fail(file):
            raise OSError(errno.EIO, 'Input/output error')
        patch.setattr(replay_directory, '_sync', fail)
        with pytest.raises(OSError, match='Input/output'):
            memory.commit()
    real, rewritten = os.pwrite, set()

    def note(file, data, offset):
        rewritten.add((file, offset))
        return real(file, data, offset)
    monkeypatch.setattr(replay_directory.os, 'pwrite', note)
    memory.commit()
    assert {(memory._store._frames_fd, row * 1600) for row in range(10)} < rewritten
    assert memory._store.last.head == 10
    memory.close()


def test_full_disk(tmp_path):
    # A limit on the size of files stands in for a disk that is full.
    memory = replay_child.open_memory(tmp_path, 100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 1600, limits[1]))
    try:
        with pytest.raises(OSError, match='too large') as raised:
            grow(memory, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert memory._chains.head == 50 and not memory.open_episodes
    grow(memory, 10)
    memory.close()
    with replay_child.open_memory(tmp_path, 100) as memory:
        replay_child.check(memory, 60)


def test_commits_while_another_thread_adds(tmp_path):
    memory = replay_child.open_memory(tmp_path / 'replay', 60)
    stop = threading.Event()

    def commit():
        while not stop.is_set():
            memory.commit()

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        for _ in range(15):
            grow(memory, 40)
            # Files are copied one after the other here, the commit records first: a later
            # state of the ring must still hold what an earlier record promises only as long
            # as nothing is committed between, so pause the commits.
            with memory._commit_lock:
                crashed = image_of(tmp_path / 'replay', tmp_path / 'crashed')
                head = memory._store.last.head
            with replay_child.open_memory(crashed, 60) as after:
                replay_child.check(after, head)
    finally:
        stop.set()
        thread.join(30)
    memory.close()
    with replay_child.open_memory(tmp_path / 'replay', 60) as memory:
        replay_child.check(memory, 600)


def test_closed_memory_writes_nothing(tmp_path):
    memory = replay_child.open_memory(tmp_path, 100)
    grow(memory, 10)
    memory.close()
    memory.close()
    with pytest.raises(OSError):
        grow(memory, 1)
    assert np.array_equal(memory.verify(), [])
