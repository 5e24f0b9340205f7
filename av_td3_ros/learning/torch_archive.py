# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The torch file as an archive: written with a checksum, read without trust.

``torch.save`` writes a ZIP archive of stored (never deflated) entries. The checksum, SHA-256 of
every byte before it, stands in the archive's comment, where ``torch.load`` does not look and
from where a copy of the file cannot lose it.
"""

from __future__ import annotations

import hashlib
from io import FileIO
import os
from pathlib import Path
import stat
import struct
from typing import Any, NamedTuple
import zlib

import numpy as np
import torch

from av_td3_ros.learning.durable import Filesystem, REAL, Sink, write_durably
from av_td3_ros.learning.torch_pickle import PickleRefused, read_pickle, Storage, Tensor

_LABEL = b'av_td3_ros sha256 '
_COMMENT = len(_LABEL) + 64
_END = struct.Struct('<4sHHHHIIH')
_CENTRAL = struct.Struct('<4sHHHHHHIIIHHHHHII')
_LOCAL = struct.Struct('<4sHHHHHIIIHH')
_MAX_PICKLE = 16 << 20
# Read at once for the checksum: what stays in the processor's cache.
_PIECE = 1 << 20
_MAX_FILE = (1 << 32) - (1 << 20)
_OTHERS = {'.format_version', '.storage_alignment', 'byteorder', 'version',
           '.data/serialization_id'}
_DTYPES = {'Float': torch.float32, 'Double': torch.float64, 'Half': torch.float16,
           'BFloat16': torch.bfloat16, 'Long': torch.int64, 'Int': torch.int32,
           'Short': torch.int16, 'Char': torch.int8, 'Byte': torch.uint8, 'Bool': torch.bool}


class ArchiveRefused(ValueError):
    """The file is damaged, unsafe or no torch file; the message says which."""


class Archive(NamedTuple):
    """What a file holds. ``sealed`` tells whether its checksum was there (and right)."""

    content: Any
    sealed: bool
    sha256: str


def write_archive(path: Path, content: Any, files: Filesystem = REAL) -> str:
    """Save ``content`` as ``torch.save`` does, sealed and durable; return the SHA-256."""
    digest = hashlib.sha256()

    def fill(descriptor: int, files: Filesystem) -> None:
        sink = Sink(descriptor, files, digest.update)
        torch.save(content, sink)
        end = sink.take_tail(_END.size)
        sink.write(end[:-2] + struct.pack('<H', _COMMENT))
        sink.finish()
        seal = Sink(descriptor, files, lambda piece: None)
        seal.write(_LABEL + digest.hexdigest().encode())
        seal.finish()

    write_durably(path, fill, files)
    return digest.hexdigest()


def verify_archive(path: Path) -> bool:
    """
    Read a file only to compare its checksum, piece by piece; return whether it has one.

    Raises :class:`ArchiveRefused` where the checksum is wrong, OSError where it cannot be read.
    """
    with _open(path) as file:
        return _check_seal(file)[0]


def read_archive(path: Path) -> Archive:
    """
    Return what a torch file holds: plain containers, numbers, text and tensors.

    Every structure is checked before it is used; the tensors are views of one buffer that holds
    the file. Raises :class:`ArchiveRefused` with the reason, OSError where it cannot be read.
    """
    with _open(path) as file:
        # A damaged file is refused before any memory is taken for it: memory that a machine has
        # not used for a while can cost more than the checksum.
        sealed, sha256, comment = _check_seal(file)
        data = _read(file)
    entries = _entries(data, comment)
    # Also where the checksum was right: the file may have changed since it was computed.
    for name, (start, size, crc) in entries.items():
        if zlib.crc32(data[start:start + size]) != crc:
            raise ArchiveRefused(f'entry {name} is damaged: its CRC-32 differs')
    program = entries.pop('data.pkl', None)
    if program is None:
        raise ArchiveRefused('the archive has no entry data.pkl')
    if program[1] > _MAX_PICKLE:
        raise ArchiveRefused(f'entry data.pkl has {program[1]} bytes, more than {_MAX_PICKLE}')
    order = entries.get('byteorder')
    if order is not None and data[order[0]:order[0] + order[1]] != b'little':
        raise ArchiveRefused('the file is not of little-endian numbers')
    try:
        declared = read_pickle(bytes(data[program[0]:program[0] + program[1]]))
    except PickleRefused as error:
        raise ArchiveRefused(str(error)) from None
    storages = {name[5:]: place for name, place in entries.items() if name.startswith('data/')}
    loader = _Loader(data, storages)
    content = loader.tensors(declared, '')
    surplus = sorted(set(storages) - loader.used)
    if surplus:
        raise ArchiveRefused(f'the archive has {len(surplus)} surplus entries, first '
                             f'data/{surplus[0]}, that nothing refers to')
    return Archive(content, sealed, sha256)


def _open(path: Path) -> FileIO:
    # A named pipe, opened in the usual way, would wait for its other end.
    file = open(path, 'rb', buffering=0,
                opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    try:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ArchiveRefused('it is no regular file')
        if found.st_size > _MAX_FILE:
            raise ArchiveRefused(f'the file has {found.st_size} bytes, more than {_MAX_FILE}')
        if not found.st_size:
            raise ArchiveRefused('the file is empty')
    except BaseException:
        file.close()
        raise
    return file


def _read(file: FileIO) -> memoryview:
    """Return the whole file. numpy's memory comes in large pages, and is not cleared first."""
    data = memoryview(np.empty(os.fstat(file.fileno()).st_size, np.uint8))
    file.seek(0)
    filled = 0
    while filled < len(data):
        count = file.readinto(data[filled:filled + (64 << 20)])
        if not count:
            raise ArchiveRefused('the file became shorter while it was read')
        filled += count
    return data


def _check_seal(file: FileIO) -> tuple[bool, str, int]:
    """Return whether there is a checksum, the SHA-256, and the length of the comment."""
    size = os.fstat(file.fileno()).st_size
    comment = os.pread(file.fileno(), _COMMENT, max(0, size - _COMMENT))
    sealed = comment.startswith(_LABEL) and len(comment) == _COMMENT
    digest, left = hashlib.sha256(), size - _COMMENT if sealed else size
    piece = memoryview(bytearray(min(left, _PIECE)))
    file.seek(0)
    while left:
        count = file.readinto(piece[:min(left, _PIECE)])
        if not count:
            raise ArchiveRefused('the file became shorter while it was read')
        digest.update(piece[:count])
        left -= count
    if sealed and comment[len(_LABEL):] != digest.hexdigest().encode():
        raise ArchiveRefused('the file is damaged: its SHA-256 differs from its checksum')
    return sealed, digest.hexdigest(), _COMMENT if sealed else 0


def _entries(data: memoryview, comment: int) -> dict[str, tuple[int, int, int]]:
    """Return each entry's start, size and CRC-32 by name (without the archive's folder)."""
    end = len(data) - comment - _END.size
    if end < 0 or data[end:end + 4] != b'PK\x05\x06':
        raise ArchiveRefused('the file is cut off, has bytes appended, or is no torch file: the '
                             'archive has no end')
    _, disk, start_disk, here, count, size, start, noted = _END.unpack_from(data, end)
    if disk or start_disk or here != count or noted != comment or start + size > end:
        raise ArchiveRefused('the end of the archive is damaged')
    if count > 100_000 or size < count * _CENTRAL.size:
        raise ArchiveRefused("the archive's table of entries is damaged")
    entries: dict[str, tuple[int, int, int]] = {}
    at, occupied = start, 0
    folder = None
    for _ in range(count):
        full, place, next_at, first = _entry(data, at, start)
        prefix, _, name = full.partition('/')
        if folder is None:
            folder = prefix
        if prefix != folder or (name not in _OTHERS and name != 'data.pkl'
                                and not (name.startswith('data/') and name[5:].isdigit())):
            raise ArchiveRefused(f'the archive has a surplus entry {full[:80]!r}')
        if name in entries:
            raise ArchiveRefused(f'the archive has entry {name!r} twice')
        if first < occupied:
            raise ArchiveRefused(f'entry {name} overlaps another')
        occupied = place[0] + place[1]
        entries[name] = place
        at = next_at
    if at != start + size:
        raise ArchiveRefused("the archive's table of entries is damaged")
    return entries


def _entry(data: memoryview, at: int,
           limit: int) -> tuple[str, tuple[int, int, int], int, int]:
    """Read one line of the table: the full name, the place, the next line, the header's start."""
    if at + _CENTRAL.size > len(data) or data[at:at + 4] != b'PK\x01\x02':
        raise ArchiveRefused("the archive's table of entries is damaged")
    (_, _, _, _, method, _, _, crc, packed, size, name_size, extra, note, _, _, _,
     header) = _CENTRAL.unpack_from(data, at)
    raw = bytes(data[at + _CENTRAL.size:at + _CENTRAL.size + name_size])
    try:
        name = raw.decode('ascii')
    except UnicodeDecodeError:
        raise ArchiveRefused("the archive's table of entries is damaged (a name)") from None
    if method != 0 or packed != size:
        raise ArchiveRefused(f'entry {name[:80]} is compressed, which torch never does')
    if header + _LOCAL.size > limit or data[header:header + 4] != b'PK\x03\x04':
        raise ArchiveRefused(f'entry {name[:80]} is damaged: its header is missing')
    _, _, _, local_method, _, _, _, _, _, local_name, local_extra = _LOCAL.unpack_from(
        data, header)
    start = header + _LOCAL.size + local_name + local_extra
    if local_method != 0 or start + size > limit \
            or data[header + _LOCAL.size:header + _LOCAL.size + local_name] != raw:
        raise ArchiveRefused(f'entry {name[:80]} is damaged: its header contradicts the table')
    return name, (start, size, crc), at + _CENTRAL.size + name_size + extra + note, header


class _Loader:
    """Turns declared tensors into tensors."""

    def __init__(self, data: memoryview, storages: dict[str, tuple[int, int, int]]) -> None:
        self._data, self._storages = data, storages
        self._made: dict[str, tuple[Storage, torch.Tensor]] = {}
        self.used: set[str] = set()

    def tensors(self, item: Any, where: str) -> Any:
        """Return ``item`` with every declared tensor made; ``where`` names it in errors."""
        if isinstance(item, Tensor):
            flat = self._storage(item.storage, where)
            return torch.as_strided(flat, item.shape, item.stride, item.offset)
        if isinstance(item, dict):
            return {key: self.tensors(value, f'{where}.{key}' if where else str(key))
                    for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return type(item)(self.tensors(value, f'{where}[{index}]')
                              for index, value in enumerate(item))
        return item

    def _storage(self, storage: Storage, where: str) -> torch.Tensor:
        self.used.add(storage.key)
        if storage.key in self._made:
            before, flat = self._made[storage.key]
            if before != storage:
                raise ArchiveRefused(f'{where[:120]} contradicts another tensor of its storage')
            return flat
        place = self._storages.get(storage.key)
        if place is None:
            raise ArchiveRefused(f'{where[:120]} is missing: there is no entry '
                                 f'data/{storage.key[:20]}')
        dtype = _DTYPES[storage.kind]
        start, size, _ = place
        if storage.count * dtype.itemsize != size:
            raise ArchiveRefused(
                f'{where[:120]} declares {storage.count} numbers of {dtype}, but its entry '
                f'data/{storage.key[:20]} has {size} bytes')
        if not size:
            flat = torch.empty(0, dtype=dtype)
        elif start % dtype.itemsize:
            flat = torch.frombuffer(bytearray(self._data[start:start + size]), dtype=dtype)
        else:
            flat = torch.frombuffer(self._data, dtype=dtype, count=storage.count, offset=start)
        self._made[storage.key] = storage, flat
        return flat
