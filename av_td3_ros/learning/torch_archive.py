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
import math
import os
from pathlib import Path
import pickle
import stat
import struct
from typing import Any, Callable, Mapping, NamedTuple, Tuple
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
_MAX_ENTRIES = 100_000
# The longest line of the table; torch's are shorter than 100 bytes.
_MAX_LINE = 1 << 10
# Read at once for the checksum: what stays in the processor's cache, and divides by any type.
_PIECE = 1 << 20
_SMALL = 64 << 10
_ALIGNMENT = 64
# Where an entry's bytes begin, how many, and their CRC-32.
_Place = Tuple[int, int, int]
_MAX_FILE = (1 << 32) - (1 << 20)
_OTHERS = {'.format_version', '.storage_alignment', 'byteorder', 'version',
           '.data/serialization_id'}
_DTYPES = {'Float': torch.float32, 'Double': torch.float64, 'Half': torch.float16,
           'BFloat16': torch.bfloat16, 'Long': torch.int64, 'Int': torch.int32,
           'Short': torch.int16, 'Char': torch.int8, 'Byte': torch.uint8, 'Bool': torch.bool}


class ArchiveRefused(ValueError):
    """The file is damaged, unsafe or no torch file; the message says which."""


class Archive(NamedTuple):
    """
    What a file holds. ``sealed`` tells whether its checksum was there (and right).

    ``ranges`` has the lowest and highest number (NaN where one is) of each floating storage, by
    where it begins in memory; :meth:`extremes` looks it up.
    """

    content: Any
    sealed: bool
    sha256: str
    ranges: Mapping[int, tuple[float, float]]

    def extremes(self, tensor: torch.Tensor) -> tuple[float, float]:
        """Return the lowest and highest number in the storage of a floating tensor."""
        return self.ranges[tensor.untyped_storage().data_ptr()]


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


def require_readable(content: Any) -> None:
    """Raise :class:`ArchiveRefused` where :func:`read_archive` would refuse what was written."""
    try:
        read_pickle(pickle.dumps(_without_numbers(content, ''), protocol=2))
    except PickleRefused as error:
        raise ArchiveRefused(str(error)) from None


def _without_numbers(item: Any, where: str) -> Any:
    """Return containers, numbers and text as they are, with None for each tensor."""
    if isinstance(item, torch.Tensor):
        if item.dtype not in _DTYPES.values():
            raise ArchiveRefused(f'{where} is a tensor of {item.dtype}')
        return None
    if isinstance(item, Mapping):
        return {key: _without_numbers(value, f'{where}.{key}' if where else str(key))
                for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_without_numbers(value, f'{where}[{index}]') for index, value in enumerate(item)]
    return item


def verify_archive(path: Path) -> bool:
    """
    Read a file only to compare its checksum, piece by piece; return whether it has one.

    Raises :class:`ArchiveRefused` where the checksum is wrong, OSError where it cannot be read.
    """
    with _open(path) as file:
        return _survey(file, *_seal(file), {}, None)[0]


def read_archive(path: Path, look: Callable[[Archive], None] | None = None) -> Archive:
    """
    Return what a torch file holds: plain containers, numbers, text and tensors.

    ``look`` is called once everything is known to be sound, but before any memory is taken for
    the numbers of tensors of more than 64 KiB, which mean nothing then (``extremes`` does); what
    it raises is passed on. So to refuse a file costs hardly any memory, which on a machine that
    has not used it for a while takes longer than the checksum. Raises :class:`ArchiveRefused`
    with the reason, OSError where the file cannot be read.
    """
    with _open(path) as file:
        size, seal = _seal(file)
        entries = _entries(file, size, 0 if seal is None else _COMMENT)
        declared = _declared(file, entries)
        storages = {name[5:]: place for name, place in entries.items()
                    if name.startswith('data/')}
        loader = _Loader(storages)
        content = loader.tensors(declared, '')
        surplus = sorted(set(storages) - loader.used)
        if surplus:
            raise ArchiveRefused(f'the archive has {len(surplus)} surplus entries, first '
                                 f'data/{surplus[0]}, that nothing refers to')
        sealed, sha256 = _survey(file, size, seal, entries, loader)
        archive = Archive(content, sealed, sha256, loader.ranges)
        if look is not None:
            look(archive)
        for key, (start, length, crc) in storages.items():
            into = loader.memory[key]
            _read(file, into, start)
            # The file may have changed meanwhile.
            if zlib.crc32(into) != crc:
                raise ArchiveRefused(f'entry data/{key} changed while it was read')
    return archive


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


def _read(file: FileIO, into: memoryview, start: int) -> memoryview:
    """Fill ``into`` with what is in the file from ``start`` on, and return it."""
    filled = 0
    while filled < len(into):
        count = os.preadv(file.fileno(), [into[filled:]], start + filled)
        if not count:
            raise ArchiveRefused('the file became shorter while it was read')
        filled += count
    return into


def _part(file: FileIO, start: int, size: int) -> bytes:
    return bytes(_read(file, memoryview(bytearray(size)), start))


def _seal(file: FileIO) -> tuple[int, str | None]:
    """Return how many bytes a checksum is over, and the checksum; all and None without one."""
    size = os.fstat(file.fileno()).st_size
    comment = _part(file, max(0, size - _COMMENT), min(size, _COMMENT))
    if len(comment) == _COMMENT and comment.startswith(_LABEL):
        return size - _COMMENT, comment[len(_LABEL):].decode('ascii', 'replace')
    return size, None


def _survey(file: FileIO, size: int, seal: str | None, entries: Mapping[str, _Place],
            loader: _Loader | None) -> tuple[bool, str]:
    """
    Read the file once, piece by piece, and hold it against its checksums.

    Shows each piece of a storage to ``loader``. Returns whether there is a SHA-256, and it.
    """
    digest, piece = hashlib.sha256(), memoryview(bytearray(min(size, _PIECE)))
    at = 0
    end_of_file = ('', (size, 0, 0))
    for name, (start, length, crc) in [*entries.items(), end_of_file]:
        while at < start:
            gap = _read(file, piece[:min(start - at, _PIECE)], at)
            digest.update(gap)
            at += len(gap)
        found = 0
        while at < start + length:
            part = _read(file, piece[:min(start + length - at, _PIECE)], at)
            digest.update(part)
            if seal is None:
                found = zlib.crc32(part, found)
            if loader is not None and name.startswith('data/'):
                loader.see(name[5:], at - start, part)
            at += len(part)
        if found != crc and seal is None:
            raise ArchiveRefused(f'entry {name} is damaged: its CRC-32 differs')
    if seal is not None and seal != digest.hexdigest():
        raise ArchiveRefused('the file is damaged: its SHA-256 differs from its checksum')
    return seal is not None, digest.hexdigest()


def _declared(file: FileIO, entries: Mapping[str, _Place]) -> Any:
    """Return what the pickle declares."""
    start, size, _ = entries.get('data.pkl', (0, 0, 0))
    if not size:
        raise ArchiveRefused('the archive has no entry data.pkl')
    if size > _MAX_PICKLE:
        raise ArchiveRefused(f'entry data.pkl has {size} bytes, more than {_MAX_PICKLE}')
    order = entries.get('byteorder')
    if order is not None and _part(file, order[0], min(order[1], 8)) != b'little':
        raise ArchiveRefused('the file is not of little-endian numbers')
    try:
        return read_pickle(_part(file, start, size))
    except PickleRefused as error:
        raise ArchiveRefused(str(error)) from None


def _entries(file: FileIO, size: int, comment: int) -> dict[str, _Place]:
    """Return each entry's place by name (without the archive's folder), in the file's order."""
    end = size - _END.size
    if end < 0 or (tail := _part(file, end, _END.size))[:4] != b'PK\x05\x06':
        raise ArchiveRefused('the file is cut off, has bytes appended, or is no torch file: the '
                             'archive has no end')
    _, disk, start_disk, here, count, length, start, noted = _END.unpack(tail)
    if disk or start_disk or here != count or noted != comment or start + length > end:
        raise ArchiveRefused('the end of the archive is damaged')
    if count > _MAX_ENTRIES or not count * _CENTRAL.size <= length <= count * _MAX_LINE:
        raise ArchiveRefused("the archive's table of entries is damaged")
    table = _part(file, start, length)
    entries: dict[str, _Place] = {}
    at, occupied = 0, 0
    folder = None
    for _ in range(count):
        full, place, at, first = _entry(file, table, at, start)
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
    if at != len(table):
        raise ArchiveRefused("the archive's table of entries is damaged")
    return entries


def _entry(file: FileIO, table: bytes, at: int, limit: int) -> tuple[str, _Place, int, int]:
    """Read one line of the table: the full name, the place, the next line, the header's start."""
    if at + _CENTRAL.size > len(table) or table[at:at + 4] != b'PK\x01\x02':
        raise ArchiveRefused("the archive's table of entries is damaged")
    (_, _, _, _, method, _, _, crc, packed, size, name_size, extra, note, _, _, _,
     header) = _CENTRAL.unpack_from(table, at)
    raw = table[at + _CENTRAL.size:at + _CENTRAL.size + name_size]
    try:
        name = raw.decode('ascii')
    except UnicodeDecodeError:
        raise ArchiveRefused("the archive's table of entries is damaged (a name)") from None
    if method != 0 or packed != size:
        raise ArchiveRefused(f'entry {name[:80]} is compressed, which torch never does')
    if header + _LOCAL.size + name_size > limit or (local := _part(
            file, header, _LOCAL.size + name_size))[:4] != b'PK\x03\x04':
        raise ArchiveRefused(f'entry {name[:80]} is damaged: its header is missing')
    _, _, _, local_method, _, _, _, _, _, local_name, local_extra = _LOCAL.unpack_from(local)
    start = header + _LOCAL.size + local_name + local_extra
    if local_method != 0 or start + size > limit or local_name != name_size \
            or local[_LOCAL.size:] != raw:
        raise ArchiveRefused(f'entry {name[:80]} is damaged: its header contradicts the table')
    return name, (start, size, crc), at + _CENTRAL.size + name_size + extra + note, header


class _Loader:
    """
    Turns declared tensors into tensors.

    Their numbers lie in one buffer, which no memory is taken for until it is written to;
    ``memory`` is each storage's part of it.
    """

    def __init__(self, storages: Mapping[str, _Place]) -> None:
        self.memory: dict[str, memoryview] = {}
        self.ranges: dict[int, tuple[float, float]] = {}
        self.used: set[str] = set()
        self._made: dict[str, tuple[Storage, torch.Tensor]] = {}
        at, places = 0, {}
        # The small ones together: they are written first, and should not take all the pages.
        for key, (_, size, _) in sorted(storages.items(), key=lambda item: item[1][1]):
            places[key] = slice(at, at + size)
            at += -(-size // _ALIGNMENT) * _ALIGNMENT
        # numpy's memory comes in large pages, and is not cleared first.
        buffer = memoryview(np.empty(at, np.uint8))
        self.memory = {key: buffer[place] for key, place in places.items()}

    def see(self, key: str, offset: int, part: memoryview) -> None:
        """Take note of a part of a storage: of its range, and of all of it where it is small."""
        flat, into = self._made[key][1], self.memory[key]
        if len(into) <= _SMALL:
            into[offset:offset + len(part)] = part
        if not flat.is_floating_point():
            return
        low, high = torch.aminmax(torch.frombuffer(part, dtype=flat.dtype))
        numbers, place = [low.item(), high.item()], flat.data_ptr()
        numbers.extend(self.ranges.get(place, ()))
        # A NaN stays one: it is neither below nor above anything.
        odd = math.nan if any(map(math.isnan, numbers)) else 0.0
        self.ranges[place] = min(numbers) + odd, max(numbers) + odd

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
        memory = self.memory.get(storage.key)
        if memory is None:
            raise ArchiveRefused(f'{where[:120]} is missing: there is no entry '
                                 f'data/{storage.key[:20]}')
        dtype = _DTYPES[storage.kind]
        if storage.count * dtype.itemsize != len(memory):
            raise ArchiveRefused(
                f'{where[:120]} declares {storage.count} numbers of {dtype}, but its entry '
                f'data/{storage.key[:20]} has {len(memory)} bytes')
        flat = torch.frombuffer(memory, dtype=dtype) if storage.count \
            else torch.empty(0, dtype=dtype)
        self._made[storage.key] = storage, flat
        return flat
