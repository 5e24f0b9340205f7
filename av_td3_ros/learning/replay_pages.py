# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Large pages for a file that is read through a map.

To read rows at random from a file that the system keeps in pages of 4 KiB takes some percent
longer than from an array in memory, which has pages of 2 MiB: the processor looks up more
addresses. Linux can keep files in large pages too (ext4 and xfs, from about 6.16 on), but does not
where a file grows by a few kilobytes at a time. Where the kernel cannot, nothing is different.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os

_EXTENT = 2 << 20
# Linux 5.14; Python has no name for it yet.
_POPULATE_READ = 22


class LargePages:
    """
    Has the system keep the new parts of a sparse file in large pages.

    ``file`` is a descriptor, which must be readable, of a file of ``size`` bytes. Parts that have
    been written before are left as they are: to have them in large pages, they would be read.
    """

    def __init__(self, file: int, size: int) -> None:
        self._file, self._size, self._last = file, size, -1
        self._map: mmap.mmap | None = None
        if size < _EXTENT or not hasattr(mmap, 'MADV_HUGEPAGE'):
            return
        with contextlib.suppress(OSError):
            pages = mmap.mmap(file, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
            pages.madvise(mmap.MADV_HUGEPAGE)
            self._map = pages

    def before_write(self, start: int, size: int) -> None:
        """Prepare for a write at ``start``: one page fault for each 2 MiB of new file."""
        last = (start + size - 1) // _EXTENT
        if last == self._last or self._map is None:
            return
        for extent in {start // _EXTENT, last} - {self._last}:
            if (extent + 1) * _EXTENT <= self._size and self._is_hole(extent):
                # Unlike a read, this is no fatal signal where there is no memory for the page, or
                # no room, as in a file system that lies in memory.
                with contextlib.suppress(OSError):
                    self._map.madvise(_POPULATE_READ, extent * _EXTENT, mmap.PAGESIZE)
        self._last = last

    def _is_hole(self, extent: int) -> bool:
        try:
            return os.lseek(self._file, extent * _EXTENT, os.SEEK_DATA) >= (extent + 1) * _EXTENT
        except OSError as error:
            # There is no data from here on; or the file system cannot tell.
            return error.errno == errno.ENXIO

    def close(self) -> None:
        """Give the map back."""
        if self._map is not None:
            self._map.close()
            self._map = None
