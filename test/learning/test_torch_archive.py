# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Archives that change while they are read, that are no files, and what a check costs."""

import math
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from av_td3_ros.learning import torch_archive
from av_td3_ros.learning.torch_archive import (
    ArchiveRefused, read_archive, verify_archive, write_archive)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'file.pth'
    write_archive(path, {'weights': torch.arange(1 << 18, dtype=torch.float32)})
    return path


def test_what_is_written_comes_back(path):
    archive = read_archive(path)
    assert archive.sealed and verify_archive(path)
    assert torch.equal(archive.content['weights'], torch.arange(1 << 18, dtype=torch.float32))
    # A tensor of its own, not a view of the file: it can be written to, and the file stays.
    archive.content['weights'].zero_()
    assert verify_archive(path)
    assert torch.equal(torch.load(path, weights_only=True)['weights'],
                       torch.arange(1 << 18, dtype=torch.float32))


@pytest.mark.parametrize('change, reason', [
    (lambda file: os.pwrite(file, b'\xff', 500_000), 'entry data/0 changed while it was read'),
    (lambda file: os.ftruncate(file, 100_000), 'became shorter while it was read'),
    (lambda file: os.ftruncate(file, 0), 'became shorter while it was read')])
def test_file_that_changes_after_its_checksum_was_right(path, change, reason):
    def look(archive):
        with open(path, 'r+b') as other:
            change(other.fileno())
    with pytest.raises(ArchiveRefused, match=reason):
        read_archive(path, look)


def test_file_that_becomes_shorter_before_its_checksum(path, monkeypatch):
    sealed = torch_archive._seal

    def seal_and_truncate(file):
        found = sealed(file)
        os.truncate(path, 100_000)
        return found
    monkeypatch.setattr(torch_archive, '_seal', seal_and_truncate)
    for read in (verify_archive, read_archive):
        write_archive(path, {'weights': torch.zeros(1 << 18)})
        with pytest.raises(ArchiveRefused, match='became shorter'):
            read(path)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('odd', [None, float('nan'), float('inf'), -float('inf')])
def test_ranges_are_known_before_the_numbers(tmp_path, dtype, odd):
    """Where a NaN stands must not matter: in the first piece of a storage or in a later one."""
    numbers = torch.linspace(-3, 7, 800_000).to(dtype)
    for place in (0, 700_000):
        content = {'big': numbers.clone(), 'part': numbers[:10], 'whole': torch.arange(9)}
        if odd is not None:
            content['big'][place] = odd
        write_archive(tmp_path / 'file.pth', content)
        seen = []
        archive = read_archive(tmp_path / 'file.pth', lambda archive: seen.append(
            (*archive.extremes(archive.content['big']), archive.content['whole'].clone())))
        low, high, whole = seen[0]
        assert torch.equal(whole, content['whole'])
        expected = [bound.item() for bound in torch.aminmax(content['big'])]
        assert np.array_equal([low, high], expected, equal_nan=True)
        assert torch.equal(archive.content['big'], content['big']) or math.isnan(low)
        assert torch.equal(archive.content['part'], numbers[:10])


def test_what_look_raises_is_passed_on(path):
    def look(archive):
        assert archive.sealed
        raise KeyError('no')
    with pytest.raises(KeyError):
        read_archive(path, look)


@pytest.mark.parametrize('read', [read_archive, verify_archive])
def test_what_is_no_file(tmp_path, read):
    """Neither waits for anybody."""
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'empty').touch()
    (tmp_path / 'loop').symlink_to('loop')
    for name, reason in (('pipe', 'no regular file'), ('empty', 'empty')):
        with pytest.raises(ArchiveRefused, match=reason):
            read(tmp_path / name)
    for path in (tmp_path, tmp_path / 'loop', tmp_path / 'none'):
        with pytest.raises(OSError):
            read(path)
    with pytest.raises(ArchiveRefused, match='no regular file'):
        read('/dev/zero')


def test_a_damaged_file_costs_no_memory_of_its_size(tmp_path):
    """Its checksum is computed piece by piece; only a whole file is read into memory."""
    path = tmp_path / 'file.pth'
    write_archive(path, {'weights': torch.zeros(48 << 18)})
    with open(path, 'r+b') as file:
        file.seek(20_000_000)
        file.write(b'x')
    code = '\n'.join([
        'import resource', 'from av_td3_ros.learning.torch_archive import *',
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss',
        'try:', f'    read_archive({str(path)!r})',
        'except ArchiveRefused as refused:', "    assert 'SHA-256' in str(refused)",
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)'])
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 10


def test_reads_of_a_file_that_is_replaced_meanwhile_are_one_or_the_other(tmp_path):
    path, stop = tmp_path / 'file.pth', threading.Event()

    def content(number):
        return {'number': number, 'weights': torch.full((5000,), float(number))}

    write_archive(path, content(0))

    def replace():
        number = 0
        while not stop.is_set():
            number += 1
            write_archive(path, content(number))

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        seen = set()
        while len(seen) < 10:
            found = read_archive(path).content
            assert (found['weights'] == found['number']).all()
            seen.add(found['number'])
    finally:
        stop.set()
        thread.join(30)


def test_many_refusals_leave_no_open_file(tmp_path):
    (tmp_path / 'bad').write_bytes(b'PK' * 100)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) + 20, limits[1]))
    try:
        for _ in range(100):
            with pytest.raises(ArchiveRefused):
                read_archive(tmp_path / 'bad')
            with pytest.raises(ArchiveRefused):
                read_archive('/dev/zero')
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
