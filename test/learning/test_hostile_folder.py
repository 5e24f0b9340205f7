# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that others write to as well, that hold odd things, or that are full."""

import errno
import os
import subprocess
import sys
import threading
import time

from agents import fingerprint, flat_agent, learn
import pytest
import replay_child

from av_td3_ros.learning import durable
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, RetentionSettings
from av_td3_ros.learning.durable import Filesystem, remove_leftovers, write_bytes_durably
from av_td3_ros.learning.replay import ReplayError, ReplayMemory

SAVER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from agents import flat_agent
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, RetentionSettings
torch.set_num_threads(1)
agent, other = flat_agent(), flat_agent()
folder = CheckpointFolder(sys.argv[2], RetentionSettings(keep_last=2))
print('ready', flush=True)
sys.stdin.readline()
for number in range(60):
    agent.total_it = 2 * number + int(sys.argv[3])
    folder.save(agent, evaluation=float(number))
    if number % 10 == 0:
        folder.load(other)
"""


@pytest.mark.timeout(120)
def test_two_processes_save_into_one_folder(tmp_path):
    """Neither takes the other's temporary files for leftovers, nor fails for what it prunes."""
    folder = tmp_path / 'checkpoints'
    savers = [subprocess.Popen(
        [sys.executable, '-c', SAVER, os.path.dirname(__file__), str(folder), str(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(2)]
    for saver in savers:
        assert saver.stdout.readline() == 'ready\n'
    for saver in savers:
        saver.stdin.write('\n')
        saver.stdin.flush()
    for saver in savers:
        _, said = saver.communicate(timeout=100)
        assert saver.returncode == 0, said
    assert not [name for name in os.listdir(folder) if name.endswith('.tmp')]
    assert CheckpointFolder(folder).load(flat_agent()).total_it >= 118


def test_a_file_without_its_lock_yet_is_no_leftover(tmp_path, monkeypatch):
    removed = []

    class Meddled(Filesystem):

        def create(self, path):
            descriptor = super().create(path)
            meddle()
            return descriptor

        def symlink(self, target, path):
            super().symlink(target, path)
            meddle()

    def meddle():
        thread = threading.Thread(target=lambda: removed.append(remove_leftovers(tmp_path)))
        thread.start()
        thread.join(30)

    monkeypatch.setattr(durable, '_PATIENCE', 0.05)
    write_bytes_durably(tmp_path / 'file', b'1', Meddled())
    durable.link_durably(tmp_path / 'link', 'file', Meddled())
    assert removed == [[], []] and (tmp_path / 'link').read_bytes() == b'1'


@pytest.mark.timeout(60)
def test_pipes_links_and_folders_in_the_way(tmp_path, caplog):
    """Nothing waits for a pipe's other end, follows a link out, or takes a folder for a file."""
    os.mkfifo(tmp_path / '.td3_1.pth.0a0a0a0a0a0a.tmp')
    os.mkfifo(tmp_path / 'evaluations.json')
    os.mkfifo(tmp_path / 'td3_000000007.pth')
    (tmp_path / '.folder.0a0a0a0a0a0a.tmp').mkdir()
    (tmp_path / 'td3_000000008.pth').mkdir()
    (tmp_path / 'mine.pth').mkdir()
    outside = tmp_path.with_name('outside.pth')
    outside.write_bytes(b'not to be touched')
    (tmp_path / 'td3_000000009.pth').symlink_to(outside)
    folder, agent = CheckpointFolder(tmp_path), flat_agent()
    assert not (tmp_path / '.td3_1.pth.0a0a0a0a0a0a.tmp').exists()
    with pytest.raises(CheckpointError, match='there is no checkpoint'):
        folder.load(agent)
    (tmp_path / 'latest').symlink_to(outside)
    with pytest.raises(CheckpointError, match='leads out'):
        folder.load(agent)
    for name in ('td3_000000009', 'latest'):
        with pytest.raises(CheckpointError):
            folder.save(agent, name)
    with pytest.raises(CheckpointError, match='no file'):
        folder.save(agent, 'mine')
    assert outside.read_bytes() == b'not to be touched'
    (tmp_path / 'latest').unlink()
    folder.save(agent, evaluation=1.0)
    assert folder.evaluations() == {'td3_000000000.pth': 1.0}
    assert folder.load(flat_agent()).total_it == 0


def test_a_clock_that_is_put_back(tmp_path):
    """What was saved last is the newest, whatever the files' dates say."""
    folder, agent = CheckpointFolder(tmp_path, RetentionSettings(keep_last=3)), flat_agent()
    ahead = time.time() + 1e6
    for number in range(5):
        learn(agent, 1)
        saved = folder.save(agent).path
        if number < 2:
            # Saved while the clock was wrong.
            os.utime(saved, (ahead, ahead))
        assert folder.newest_first()[0] == saved
    assert [path.name for path in folder.newest_first()] == [
        f'td3_{number:09d}.pth' for number in (5, 4, 3)]
    saved.write_bytes(b'damaged')
    before = fingerprint(agent)
    other = flat_agent()
    loaded = folder.load(other)
    assert loaded.total_it == 4 and 'td3_000000004.pth is loaded instead' in loaded.warnings[0]
    assert fingerprint(agent) == before


def mount(folder, options):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'none', folder],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'no file system can be mounted here: {done.stderr.strip()}')


def test_replay_memory_on_a_disk_that_fills_up(tmp_path):
    """Rows are refused with the errno, not with a signal, and go on when there is room."""
    place = tmp_path / 'small'
    mount(place, 'size=3300k')
    try:
        with replay_child.open_memory(place / 'replay', 4000) as memory:
            ballast = place / 'ballast'
            ballast.write_bytes(bytes(800_000))
            with pytest.raises(OSError) as raised:
                for _ in replay_child.fill(memory, 4000, 10):
                    pass
            assert raised.value.errno == errno.ENOSPC
            head = memory._chains.head
            assert 10 <= head < 4000 and memory.verify() == []
            with pytest.raises(OSError):
                for _ in replay_child.fill(memory, 50, 10):
                    pass
            head = memory._chains.head
            ballast.unlink()
            for _ in replay_child.fill(memory, 12, 10):
                pass
            memory.commit()
            replay_child.check(memory, head + 12)
        with replay_child.open_memory(place / 'replay', 4000) as memory:
            replay_child.check(memory, head + 12)
    finally:
        subprocess.run(['umount', '--lazy', place], check=False)


def test_replay_memory_that_has_no_room_from_the_start(tmp_path):
    place = tmp_path / 'small'
    mount(place, 'size=100k')
    try:
        for _ in range(2):
            with pytest.raises(OSError) as raised:
                replay_child.open_memory(place / 'replay', 4000)
            assert raised.value.errno == errno.ENOSPC
        subprocess.run(['mount', '-o', 'remount,size=2m', place], check=True)
        with replay_child.open_memory(place / 'replay', 4000) as memory:
            for _ in replay_child.fill(memory, 100, 10):
                pass
            replay_child.check(memory, 100)
    finally:
        subprocess.run(['umount', '--lazy', place], check=False)


def test_replay_directory_that_can_only_be_read(tmp_path):
    place = tmp_path / 'small'
    mount(place, 'size=4m')
    try:
        with replay_child.open_memory(place / 'replay', 100) as memory:
            for _ in replay_child.fill(memory, 30, 10):
                pass
        del memory  # And its maps.
        subprocess.run(['mount', '-o', 'remount,ro', place], check=True)
        with pytest.raises(OSError) as raised:
            replay_child.open_memory(place / 'replay', 100)
        assert raised.value.errno == errno.EROFS
        with pytest.raises(CheckpointError, match='EROFS'):
            CheckpointFolder(place / 'new')
        with pytest.raises(CheckpointError, match='EROFS'):
            CheckpointFolder(place).save(flat_agent())
    finally:
        subprocess.run(['umount', '--lazy', place], check=False)


@pytest.mark.timeout(60)
@pytest.mark.parametrize('name', ['replay.json', 'commits.bin', 'records.bin', 'frames.bin'])
def test_replay_directory_with_a_pipe_or_a_link_in_it(tmp_path, name):
    with replay_child.open_memory(tmp_path / 'replay', 100) as memory:
        for _ in replay_child.fill(memory, 30, 10):
            pass
    path = tmp_path / 'replay' / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises((OSError, ReplayError)):
        replay_child.open_memory(tmp_path / 'replay', 100)
    # A new memory does not write through a link that stands where its file should be.
    fresh, outside = tmp_path / 'fresh', tmp_path / 'outside'
    fresh.mkdir()
    outside.write_bytes(b'not to be touched')
    (fresh / name).symlink_to(outside)
    with pytest.raises((OSError, ReplayError)):
        ReplayMemory(100, image_shape=(40, 40), vector_dim=3, directory=fresh)
    assert outside.read_bytes() == b'not to be touched'
