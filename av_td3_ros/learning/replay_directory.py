# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A replay memory's rows in a directory, committed incrementally, read through memory maps.

The files, all integers little endian:

``replay.json``
    The format's name and version and the layout; written once, last of all at creation.
``frames.bin``, ``records.bin``
    The ring's slots, one frame and one record each (``replay_store`` has a record's layout);
    row ``r`` lies in slot ``r % slots``. The frames are sparse until they fill up. No frames
    file where observations have no image.
``commits.bin``
    Two commit records at bytes 0 and 4096, written in turn: ``AVTD3RPL``, then uint64 number,
    tail, head (rows ``tail <= r < head`` are committed), uint32 chain (of row head - 1), uint32
    session, uint64 added, abandoned, lost (the counters), and the CRC-32 of all that. The valid
    one with the higher number counts.
``lock``
    Locked (flock) by the one process that has the directory open, whose number it holds.

A commit makes the rows durable first and writes its record after, and a slot that the last
durable record counts as live is never written to. So whatever moment a process or a machine
dies at, each row of the last commit is whole, and what came after it is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
from pathlib import Path

import numpy as np

from .durable import (
    make_folder, read_regular, REAL, remove_leftovers, write_bytes_durably)
from .replay_pages import LargePages
from .replay_store import Commit, Layout, MemoryStore, ReplayError

_FORMAT = 'av_td3_ros.replay'
_VERSION = 1
# A disk writes a sector whole or not at all; two records never share a page.
_COMMIT_STRIDE = 4096
_NOTHING = 1 << 63

# What sizes and times of files changed besides their data need not be durable.
_sync = getattr(os, 'fdatasync', os.fsync)


class DirectoryStore(MemoryStore):
    """
    Rows in the directory ``path``, made where it does not exist (unless ``create`` is false).

    Rows are written with pwrite, so that a full disk is an OSError rather than a signal, and
    read through maps of the files. Raises :class:`ReplayError` where another process has the
    directory open, where it holds a memory of another layout or format, or is damaged.
    """

    def __init__(self, layout: Layout, path: str | os.PathLike, *, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not (self.path / 'replay.json').is_file():
            raise FileNotFoundError(f'{self.path} holds no replay memory')
        self._dirty = _NOTHING
        self._resources = contextlib.ExitStack()
        try:
            self._open(layout)
        except BaseException:
            self._resources.close()
            raise

    def _open(self, layout: Layout) -> None:
        make_folder(self.path)
        self._lock()
        remove_leftovers(self.path)
        header = self.path / 'replay.json'
        if not header.exists():
            self._create(layout, header)
        self._check(layout, header)
        self._commits = self._file('commits.bin', 2 * _COMMIT_STRIDE)
        valid = [commit for commit in self._read_commits() if commit is not None]
        if not valid:
            raise ReplayError(f'{self.path}/commits.bin is damaged: neither record verifies')
        self.last = max(valid)
        self._records_fd = self._file('records.bin', layout.slots * layout.record.itemsize)
        self._records_pages = self._large_pages(self._records_fd)
        records = np.frombuffer(self._map(self._records_fd), layout.record)
        frames = None
        if layout.frame_bytes:
            self._frames_fd = self._file('frames.bin', layout.slots * layout.frame_bytes)
            self._frames_pages = self._large_pages(self._frames_fd)
            frames = np.frombuffer(self._map(self._frames_fd), np.uint8) \
                .reshape(layout.slots, layout.frame_bytes)
        self._adopt(layout, records, frames)

    def _lock(self) -> None:
        lock = os.open(self.path / 'lock', os.O_RDWR | os.O_CREAT, 0o666)
        self._resources.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode(errors='replace').strip()
            raise ReplayError(f'{self.path} is in use by process {owner or "unknown"}') from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f'{os.getpid()}\n'.encode(), 0)

    def _create(self, layout: Layout, header: Path) -> None:
        """Make the files; the header comes last, so that with it everything is there."""
        with contextlib.suppress(FileNotFoundError):
            data = read_regular(self.path / 'commits.bin')
            if (Commit.unpack(data) or Commit()).head:
                raise ReplayError(f'{self.path} holds committed rows, but replay.json is missing')
        sizes = {'commits.bin': 2 * _COMMIT_STRIDE,
                 'records.bin': layout.slots * layout.record.itemsize}
        if layout.frame_bytes:
            sizes['frames.bin'] = layout.slots * layout.frame_bytes
        for name, size in sizes.items():
            file = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                           | os.O_CLOEXEC, 0o666)
            try:
                os.ftruncate(file, size)
                if name == 'records.bin':
                    # All of it is read when the directory is opened. In a file system that lies
                    # in memory to read what has no room is a fatal signal.
                    os.posix_fallocate(file, 0, size)
                if name == 'commits.bin':
                    _write(file, memoryview(Commit().pack()), 0)
                os.fsync(file)
            finally:
                os.close(file)
        # Or a crash could leave the header's name and not theirs.
        REAL.fsync_folder(self.path)
        write_bytes_durably(header, json.dumps(
            {'format': _FORMAT, 'version': _VERSION, **_describe(layout)}, indent=1).encode())

    def _check(self, layout: Layout, header: Path) -> None:
        try:
            found = json.loads(read_regular(header))
            kind, version = found.pop('format'), found.pop('version')
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ReplayError(f'{header} is not the header of a replay memory: {error!r}') \
                from None
        if (kind, version) != (_FORMAT, _VERSION):
            raise ReplayError(f'{header} is of format {kind!r} version {version!r}, '
                              f'not {_FORMAT!r} version {_VERSION}')
        wanted = _describe(layout)
        different = [f'{key} is {found.get(key)!r} there and {wanted.get(key)!r} here'
                     for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        if different:
            raise ReplayError(f'{self.path} holds a replay memory of another layout: '
                              + ', '.join(different))

    def _file(self, name: str, size: int) -> int:
        path = self.path / name
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            raise ReplayError(f'{path} is missing') from None
        self._resources.callback(os.close, file)
        if os.fstat(file).st_size != size:
            raise ReplayError(f'{path} is damaged: it has {os.fstat(file).st_size} bytes '
                              f'instead of {size}')
        return file

    def _large_pages(self, file: int) -> LargePages:
        pages = LargePages(file, os.fstat(file).st_size)
        self._resources.callback(pages.close)
        return pages

    @staticmethod
    def _map(file: int) -> mmap.mmap:
        return mmap.mmap(file, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)

    def _read_commits(self) -> list[Commit | None]:
        return [Commit.unpack(os.pread(self._commits, _COMMIT_STRIDE, i * _COMMIT_STRIDE))
                for i in range(2)]

    def write(self, row: int, record: np.ndarray, frame: np.ndarray | None) -> None:
        """Store a row: a record, (1,), and a contiguous uint8 frame; not durable yet."""
        slot = row % self.slots
        self._dirty = min(self._dirty, row)
        if frame is not None:
            self._frames_pages.before_write(slot * frame.nbytes, frame.nbytes)
            _write(self._frames_fd, memoryview(frame).cast('B'), slot * frame.nbytes)
        data = memoryview(record.view(np.uint8))
        self._records_pages.before_write(slot * len(data), len(data))
        _write(self._records_fd, data, slot * len(data))

    def blocked(self, head: int, session: int) -> bool:
        """Return whether a commit must come before row ``head`` is written in ``session``."""
        # What a rewound memory writes lies on rows that the last commit counts as live.
        return session != self.last.session or head >= self.last.tail + self.slots

    def take_dirty(self) -> int:
        """Return the first row written since the last call; no row may be written meanwhile."""
        dirty, self._dirty = self._dirty, _NOTHING
        return dirty

    def commit(self, commit: Commit, dirty: int) -> None:
        """
        Make the rows of ``commit`` durable, then the record itself; one thread at a time.

        ``dirty`` is what :meth:`take_dirty` gave. Rows may be written meanwhile. Raises OSError
        where the disk refuses: then the last commit stands, and the next makes up for this one.
        """
        if not self._failed and commit._replace(number=self.last.number) == self.last:
            return
        commit = commit._replace(number=self.last.number + 1)
        try:
            if self._failed:
                self._write_again(min(dirty, self._failed_from), commit.head)
            if self.frames is not None:
                _sync(self._frames_fd)
            _sync(self._records_fd)
            _write(self._commits, memoryview(commit.pack()),
                   commit.number % 2 * _COMMIT_STRIDE)
            _sync(self._commits)
        except BaseException:
            self._failed, self._failed_from = True, min(dirty, self._failed_from)
            raise
        self._failed, self._failed_from = False, _NOTHING
        self.last = commit

    _failed = False
    _failed_from = _NOTHING

    def _write_again(self, first: int, head: int) -> None:
        """
        Write rows again after a failed sync.

        The system marks pages as clean that it failed to write, and would not try them again.
        """
        for row in range(first, head):
            slot = row % self.slots
            record = self.records[slot:slot + 1].copy()
            if record['row'][0] != row or record['crc'][0] != self.row_crc(row):
                raise ReplayError(f'row {row} of {self.path} was lost when the disk failed')
            self.write(row, record, None if self.frames is None else self.frames[slot].copy())

    def uncommitted(self) -> int:
        """Count the transitions that an earlier process wrote after its last commit."""
        records, last = self.records, self.last
        slots = np.arange(self.slots, dtype=np.uint64)
        row = records['row']
        return int(np.count_nonzero(
            (row >= last.head) & (row % np.uint64(self.slots) == slots)
            & (records['session'] == last.session & 0xFFFF) & (records['back'] > 0)))

    def close(self) -> None:
        """Close the files and let another process open the directory. Maps stay readable."""
        # Never a number that another file may have by then.
        self._records_fd = self._frames_fd = self._commits = -1
        self._resources.close()


def _describe(layout: Layout) -> dict[str, object]:
    return {'capacity': layout.capacity,
            'image_shape': list(layout.image_shape) if layout.image_shape else None,
            'vector_dim': layout.vector_dim, 'action_dim': layout.action_dim,
            'spare': layout.spare, 'slots': layout.slots, 'frame_bytes': layout.frame_bytes,
            'record_bytes': layout.record.itemsize}


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
