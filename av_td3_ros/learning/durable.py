# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Files that are there wholly or not at all, also after a crash.

A file is written under a temporary name, flushed, fsynced, renamed, and its folder fsynced, as
Pillai et al. (OSDI 2014) show is needed. The writer holds a lock on its temporary file, so
that what a dead writer left can be told from what a living one writes.

Every change goes through a :class:`Filesystem`, which tests replace to make calls fail.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
import re
import secrets
import stat
import time
from typing import Callable, Iterator

_PATIENCE = 2.0
_MEBIBYTE = 1 << 20
TEMPORARY_SUFFIX = '.tmp'
# A name that _temporary makes: a folder may hold temporary files of other programs too.
_OURS = re.compile(r'\..+\.[0-9a-f]{12}\.tmp', re.DOTALL)


class Filesystem:
    """The system calls that change files, as they are; they raise OSError."""

    def create(self, path: Path) -> int:
        """Make a new file and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of ``data``; return how many bytes."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Bring a file to the disk."""
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file over another, in one step."""
        os.replace(source, target)

    def symlink(self, target: str, path: Path) -> None:
        """Make a symbolic link at ``path``."""
        os.symlink(target, path)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)

    def fsync_folder(self, path: Path) -> None:
        """Bring a folder's names to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(descriptor)
        finally:
            os.close(descriptor)


REAL = Filesystem()


class Sink:
    """
    A file object for a writer that cannot bear errors, such as torch's.

    Collects small writes into large ones. After an error it takes the rest without writing;
    :meth:`finish` raises it. ``feed`` sees every byte that was written, in order.
    """

    def __init__(self, descriptor: int, files: Filesystem,
                 feed: Callable[[memoryview], object]) -> None:
        self._descriptor, self._files, self._feed = descriptor, files, feed
        self._waiting = bytearray()
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Take ``data``."""
        view = memoryview(data).cast('B')
        if self.error is None:
            if len(self._waiting) + len(view) > _MEBIBYTE:
                self._drain()
            if len(view) > _MEBIBYTE:
                self._put(view)
            else:
                self._waiting += view
        return len(view)

    def flush(self) -> None:
        """Do nothing: :meth:`finish` flushes."""

    def take_tail(self, size: int) -> bytes:
        """Take back the last ``size`` bytes, which have not been written yet."""
        tail = bytes(self._waiting[-size:])
        del self._waiting[-size:]
        return tail

    def finish(self) -> None:
        """Write what waits, and raise OSError if any write failed."""
        self._drain()
        if self.error is not None:
            raise self.error

    def _drain(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        self._put(memoryview(waiting))

    def _put(self, view: memoryview) -> None:
        start = 0
        while start < len(view) and self.error is None:
            piece = view[start:start + 8 * _MEBIBYTE]
            try:
                written = self._files.write(self._descriptor, piece)
                if written <= 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            except InterruptedError:
                continue
            except OSError as error:
                self.error = error
                return
            self._feed(piece[:written])
            start += written


def write_durably(path: Path, fill: Callable[[int, Filesystem], None],
                  files: Filesystem = REAL) -> None:
    """
    Make ``path`` what ``fill`` writes into the descriptor that it is given.

    When this returns, the file is on the disk under its name. When it raises, ``path`` is what it
    was, unless only the last fsync of the folder failed: then it may be either, whole.
    """
    temporary = _temporary(path)
    with _alone_in(path.parent):
        descriptor = files.create(temporary)
        with contextlib.suppress(OSError):  # Not every file system has locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        try:
            fill(descriptor, files)
            files.fsync(descriptor)
            files.rename(temporary, path)
        finally:
            os.close(descriptor)
    except BaseException:
        _forget(temporary, files)
        raise
    files.fsync_folder(path.parent)


def write_bytes_durably(path: Path, data: bytes, files: Filesystem = REAL) -> None:
    """Make ``path`` a file of ``data``, durably."""
    def fill(descriptor: int, files: Filesystem) -> None:
        sink = Sink(descriptor, files, lambda piece: None)
        sink.write(data)
        sink.finish()
    write_durably(path, fill, files)


def link_durably(path: Path, target: str, files: Filesystem = REAL) -> None:
    """Make ``path`` a symbolic link to ``target``, durably and in one step."""
    temporary = _temporary(path)
    with _alone_in(path.parent):
        files.symlink(target, temporary)
        try:
            files.rename(temporary, path)
        except BaseException:
            _forget(temporary, files)
            raise
    files.fsync_folder(path.parent)


def remove_leftovers(folder: Path, files: Filesystem = REAL) -> list[str]:
    """
    Remove this module's temporary files whose writers are gone from a folder; return their names.

    A checkpoint may be saved anywhere, also beside other programs' hidden files.
    """
    removed = []
    with _alone_in(folder) as alone:
        for path in sorted(folder.glob(f'.*{TEMPORARY_SUFFIX}')) if alone else ():
            if not _OURS.fullmatch(path.name) or not path.is_symlink() and _is_written(path):
                continue
            try:
                files.unlink(path)
            except OSError:
                continue
            removed.append(path.name)
    return removed


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """
    Hold a folder's lock, for the moment in which a temporary file has no lock of its own.

    Nobody holds it for longer than a few calls. Gives whether it came free in time; a writer
    goes on even so. Where there are no locks nobody waits for any.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        except OSError:
            return True
        else:
            return True


def read_regular(path: Path) -> bytes:
    """Read a file; raises OSError also where it is none, rather than wait for a pipe's writer."""
    with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, 'Not a regular file', str(path))
        return file.read()


def _temporary(path: Path) -> Path:
    return path.with_name(f'.{path.name}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}')


def _is_written(path: Path) -> bool:
    """Return whether a living writer holds the lock of this temporary file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _forget(path: Path, files: Filesystem) -> None:
    try:
        files.unlink(path)
    except OSError:
        pass  # A temporary file is left; the next start removes it.


def make_folder(path: Path, files: Filesystem = REAL) -> None:
    """Make a folder with its parents, durably; one that exists is left alone."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        files.fsync_folder(folder.parent)
