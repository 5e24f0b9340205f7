# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Large pages are asked for once in each new part of a file, and never instead of its data."""

import os

import numpy as np
import pytest
import replay_child

from av_td3_ros.learning.replay_pages import LargePages

MIB = 1 << 20


@pytest.fixture
def file(tmp_path):
    file = os.open(tmp_path / 'file', os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 7 * MIB)
    yield file
    os.close(file)


class Touched:
    """Notes which pages of a map are populated."""

    def __init__(self, inner):
        self.inner, self.at = inner, []

    def madvise(self, advice, start, size):
        self.at.append(start)
        self.inner.madvise(advice, start, size)

    def close(self):
        self.inner.close()


def touched_by(pages, writes):
    if pages._map is None:
        pytest.skip('this kernel takes no advice on large pages')
    pages._map = Touched(pages._map)
    for start, size in writes:
        pages.before_write(start, size)
    found = pages._map.at
    pages.close()
    return found


def test_each_new_part_once(file):
    writes = [(start, 7000) for start in range(0, 7 * MIB - 7000, 7000)]
    # The last part is no whole large page.
    assert touched_by(LargePages(file, 7 * MIB), writes) == [0, 2 * MIB, 4 * MIB]


def test_written_parts_are_not_read(file):
    os.pwrite(file, b'x', 3 * MIB)
    writes = [(0, 10), (2 * MIB - 5, 10), (3 * MIB, 10), (4 * MIB, 10), (4 * MIB + 50, 10)]
    assert touched_by(LargePages(file, 7 * MIB), writes) == [0, 4 * MIB]


def test_without_advice_nothing_is_different(file, monkeypatch):
    import mmap
    monkeypatch.delattr(mmap, 'MADV_HUGEPAGE')
    pages = LargePages(file, 7 * MIB)
    pages.before_write(0, 10)
    pages.close()
    small = LargePages(file, MIB)
    small.before_write(0, 10)
    assert pages._map is None and small._map is None


def test_rows_are_the_same_in_large_pages(tmp_path):
    """Written through files of several large pages, over the ring's edge, and read back."""
    with replay_child.open_memory(tmp_path, 3000) as memory:
        for _ in replay_child.fill(memory, 4000, 500):
            pass
        assert memory._store.frames.nbytes > 4 * MIB
        assert memory.verify() == []
        assert np.array_equal(np.fromfile(tmp_path / 'frames.bin', np.uint8),
                              memory._store.frames.reshape(-1))
