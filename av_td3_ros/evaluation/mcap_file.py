# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One mcap file, read so that damage costs what it touches and nothing else.

The records are those of the MCAP specification (https://mcap.dev/spec). Nothing but the file's own
records is believed: its index is used where it is there, and every message is checked against it.
"""

from __future__ import annotations

import os
from pathlib import Path
import struct
from typing import Any, Iterator
import zlib

import lz4.frame
import zstandard

from av_td3_ros.evaluation.storage import (Damaged, Entry, index_array, LOST_CHUNK, Recent,
                                           Topic, Unreadable)

MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')
_MESSAGE = struct.Struct('<HIQQ')
_CHUNK = struct.Struct('<QQQII')
_SCHEMA, _CHANNEL, _MESSAGE_OP, _CHUNK_OP, _INDEX, _FOOTER = 3, 4, 5, 6, 7, 2
_CHUNK_INDEX, _DATA_END = 8, 0x0F
_FOOTER_SIZE = _HEAD.size + 20
# No writer makes larger ones by far, and one is held in memory whole.
_LARGEST_CHUNK = 200_000_000
_LOOSE = -1


class McapFile:
    """
    Reads an mcap file; never writes to it.

    ``topics`` grows while :meth:`scan` runs; ``losses`` says in sentences what cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topics: list[Topic] = []
        self.losses: list[str] = []
        self._file = os.open(path, os.O_RDONLY | getattr(os, 'O_CLOEXEC', 0))
        self._size = os.fstat(self._file).st_size
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, int] = {}
        self._chunks: list[int] = []
        self._cut: set[int] = set()
        self._loaded: Recent[memoryview] = Recent(2)
        self._bad: dict[int, str] = {}
        self._nameless = 0
        if self._at(0, len(MAGIC)) != MAGIC:
            self.close()
            raise Unreadable(f'{path.name} is not an mcap file')
        self._starts = self._read_summary()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def scan(self) -> Any:
        """Return where every message is, in the file's order; see :data:`.storage.Entry`."""
        entries: list[Entry] = []
        position, finished = len(MAGIC), False
        pending: int | None = None      # a chunk that no index followed yet
        indexed: list[Entry] = []
        for op, start, length in self._records(position):
            if op == _INDEX and pending is not None:
                indexed += self._read_index(start, length, pending)
                continue
            if pending is not None:
                entries += self._settle(pending, indexed)
                pending, indexed = None, []
            if op == _CHUNK_OP:
                self._chunks.append(start - _HEAD.size)
                pending = len(self._chunks) - 1
                if start + length > self._size:
                    self._cut.add(pending)
            elif op == _SCHEMA:
                self._take_schema(self._at(start, length))
            elif op == _CHANNEL:
                self._take_channel(self._at(start, length))
            elif op == _MESSAGE_OP and length >= _MESSAGE.size:
                channel, _, time, _ = _MESSAGE.unpack(self._at(start, _MESSAGE.size))
                if channel in self._channels:
                    entries.append((time, self._channels[channel], _LOOSE, start))
                else:
                    self._nameless += 1
            elif op in (_DATA_END, _FOOTER):
                finished = True
                break
        if pending is not None:
            entries += self._settle(pending, indexed)
        if self._nameless:
            self.losses.append(f'{self.path.name}: nobody knows the topic of {self._nameless} '
                               'messages, whose description is lost')
        if not finished:
            self.losses.append(f'{self.path.name} has no end: it was cut off or is still being '
                               'written; what is before is read')
        return index_array(entries)

    def read(self, time: int, topic: int, place: int, offset: int) -> memoryview:
        """Return a message's bytes; raise :class:`.Damaged` where they are not what they were."""
        if place == _LOOSE:
            head = self._at(offset - _HEAD.size, _HEAD.size)
            length = _HEAD.unpack(head)[1] if len(head) == _HEAD.size else 0
            data = memoryview(self._at(offset, min(length, self._size)))
            if len(data) != length:
                raise Damaged(LOST_CHUNK)
        else:
            data = self._record_in(self._load(place), offset)
        channel, _, found, _ = _MESSAGE.unpack_from(data)
        if found != time or self._channels.get(channel) != topic:
            raise Damaged('the index leads to another message')
        return data[_MESSAGE.size:]

    # Records

    def _at(self, position: int, length: int) -> bytes:
        if length < 0 or position > self._size:
            return b''
        return os.pread(self._file, min(length, self._size - position), position)

    def _records(self, position: int) -> Iterator[tuple[int, int, int]]:
        """Yield operation, start and length of the records; go on behind damage if possible."""
        while position + _HEAD.size <= self._size:
            op, length = _HEAD.unpack(self._at(position, _HEAD.size))
            start = position + _HEAD.size
            beyond = start + length > self._size
            if op == 0 or op > _DATA_END and op < 0x80 or (beyond and not self._is_chunk(
                    op, start)):
                resume = self._next_chunk(position)
                self.losses.append(
                    f'{self.path.name} is damaged at byte {position}' + (
                        '' if resume is None else f'; read on at byte {resume}'))
                if resume is None:
                    return
                position = resume
                continue
            if beyond:
                resume = self._next_chunk(position)
                yield op, start, length
                if resume is None:
                    return
                position = resume
                continue
            yield op, start, length
            position = start + length

    def _is_chunk(self, op: int, start: int) -> bool:
        """Whether what overruns the file is a chunk that was being written."""
        if op != _CHUNK_OP or start + _CHUNK.size > self._size:
            return False
        _, _, size, _, name = _CHUNK.unpack(self._at(start, _CHUNK.size))
        return size <= _LARGEST_CHUNK and name <= 16

    def _next_chunk(self, position: int) -> int | None:
        """Return where the summary at the file's end says that the next chunk starts."""
        return min((start for start in self._starts if position < start < self._size),
                   default=None)

    def _read_summary(self) -> list[int]:
        """
        Take topics from the summary at the file's end, and return where it says chunks start.

        Topics are described in the first chunk too, which may be the damaged one. A summary whose
        CRC is wrong is not believed.
        """
        end = self._size - len(MAGIC) - _FOOTER_SIZE
        tail = self._at(end, self._size - end) if end > 0 else b''
        if len(tail) != _FOOTER_SIZE + len(MAGIC) or tail[_FOOTER_SIZE:] != MAGIC \
                or tail[0] != _FOOTER:
            return []
        at, _, checksum = struct.unpack_from('<QQI', tail, _HEAD.size)
        if not 0 < at < end or end - at > _LARGEST_CHUNK:
            return []
        summary = self._at(at, end - at)
        if checksum and zlib.crc32(tail[:_FOOTER_SIZE - 4], zlib.crc32(summary)) != checksum:
            self.losses.append(f'{self.path.name}: the CRC of its summary is wrong')
            return []
        starts, at = [], 0
        while at + _HEAD.size <= len(summary):
            op, length = _HEAD.unpack_from(summary, at)
            data = memoryview(summary)[at + _HEAD.size:at + _HEAD.size + length]
            if op == 0 or len(data) != length:
                break
            if op == _SCHEMA:
                self._take_schema(data)
            elif op == _CHANNEL:
                self._take_channel(data)
            elif op == _CHUNK_INDEX and length >= 24:
                starts.append(struct.unpack_from('<Q', data, 16)[0])
            at += _HEAD.size + length
        return starts

    def _take_schema(self, data: bytes | memoryview) -> None:
        try:
            number, = struct.unpack_from('<H', data)
            name, at = _string(data, 2)
            encoding, at = _string(data, at)
            length, = struct.unpack_from('<I', data, at)
            text = bytes(data[at + 4:at + 4 + length]).decode()
        except (struct.error, UnicodeDecodeError, ValueError):
            return
        self._schemas.setdefault(number, (name, encoding, text))

    def _take_channel(self, data: bytes | memoryview) -> None:
        try:
            number, schema = struct.unpack_from('<HH', data)
            name, at = _string(data, 4)
            encoding, _ = _string(data, at)
        except (struct.error, UnicodeDecodeError, ValueError):
            return
        if number in self._channels:
            return
        kind, form, text = self._schemas.get(schema, ('', '', ''))
        # A topic may have several channels, as after a publisher was gone.
        for known, topic in enumerate(self.topics):
            if (topic.name, topic.type) == (name, kind):
                self._channels[number] = known
                return
        self._channels[number] = len(self.topics)
        self.topics.append(Topic(name, kind, encoding, form, text))

    def _read_index(self, start: int, length: int, chunk: int) -> list[Entry]:
        data = self._at(start, length)
        if len(data) != length or length < 6:
            return []
        channel, size = struct.unpack_from('<HI', data)
        if 6 + size > length or size % 16:
            return []
        if channel not in self._channels:
            # Its definition is in the chunk.
            try:
                for _ in self._inside(self._load(chunk)):
                    pass
            except Damaged:
                pass
        topic = self._channels.get(channel)
        if topic is None:
            self._nameless += size // 16
            return []
        return [(time, topic, chunk, offset)
                for time, offset in struct.iter_unpack('<QQ', data[6:6 + size])]

    def _settle(self, chunk: int, indexed: list[Entry]) -> list[Entry]:
        """Return the messages of a chunk, from its index or else from the chunk itself."""
        if indexed and chunk not in self._cut:
            return sorted(indexed, key=lambda entry: entry[3])
        try:
            found = []
            for offset, channel, time in self._inside(self._load(chunk)):
                topic = self._channels.get(channel)
                if topic is not None:
                    found.append((time, topic, chunk, offset))
            return found
        except Damaged as error:
            self.losses.append(f'{self.path.name}, chunk {chunk}: {error}; nobody knows how many '
                               'messages it held')
            return indexed

    # Chunks

    def _load(self, chunk: int) -> memoryview:
        if chunk in self._bad:
            raise Damaged(self._bad[chunk])
        loaded = self._loaded.get(chunk)
        if loaded is None:
            try:
                loaded = memoryview(self._unpack(chunk))
            except Damaged as error:
                self._bad[chunk] = str(error)
                raise
            self._loaded.put(chunk, loaded)
        return loaded

    def _unpack(self, chunk: int) -> Any:
        position = self._chunks[chunk]
        _, length = _HEAD.unpack(self._at(position, _HEAD.size))
        start = position + _HEAD.size
        head = self._at(start, _CHUNK.size + 24)
        if len(head) < _CHUNK.size + 8 or length > 2 * _LARGEST_CHUNK:
            raise Damaged(LOST_CHUNK)
        _, _, size, checksum, name_length = _CHUNK.unpack_from(head)
        at = _CHUNK.size + name_length
        if size > _LARGEST_CHUNK or name_length > 8:
            raise Damaged(LOST_CHUNK)
        compression = head[_CHUNK.size:at].decode('ascii', 'replace')
        stored, = struct.unpack_from('<Q', head, at)
        data = self._at(start + at + 8, stored)
        cut = chunk in self._cut
        if len(data) != stored and not cut:
            raise Damaged(LOST_CHUNK)
        try:
            plain = _decompress(data, compression, size, cut)
        except (zstandard.ZstdError, RuntimeError, ValueError, EOFError, MemoryError) as error:
            raise Damaged(f'{LOST_CHUNK} ({" ".join(str(error).split())[:80]})') from None
        if not cut and len(plain) != size:
            raise Damaged(LOST_CHUNK)
        if checksum and not cut and zlib.crc32(plain) != checksum:
            raise Damaged('the CRC of its chunk is wrong')
        return plain

    def _inside(self, data: memoryview) -> Iterator[tuple[int, int, int]]:
        """Yield offset, channel and time of a chunk's messages; take schemas and channels."""
        at = 0
        while at + _HEAD.size <= len(data):
            op, length = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            if op == 0 or start + length > len(data):
                return
            if op == _SCHEMA:
                self._take_schema(data[start:start + length])
            elif op == _CHANNEL:
                self._take_channel(data[start:start + length])
            elif op == _MESSAGE_OP and length >= _MESSAGE.size:
                channel, _, time, _ = _MESSAGE.unpack_from(data, start)
                yield at, channel, time
            at = start + length

    @staticmethod
    def _record_in(data: memoryview, offset: int) -> memoryview:
        start = offset + _HEAD.size
        if start + _MESSAGE.size > len(data):
            raise Damaged(LOST_CHUNK)
        op, length = _HEAD.unpack_from(data, offset)
        if op != _MESSAGE_OP or start + length > len(data) or length < _MESSAGE.size:
            raise Damaged('the index leads to no message')
        return data[start:start + length]


def _string(data: bytes | memoryview, at: int) -> tuple[str, int]:
    length, = struct.unpack_from('<I', data, at)
    if at + 4 + length > len(data):
        raise ValueError('cut off')
    return bytes(data[at + 4:at + 4 + length]).decode(), at + 4 + length


def _decompress(data: bytes, compression: str, size: int, cut: bool) -> bytes:
    if not compression:
        return data
    if compression == 'zstd':
        # What the frame says goes before the limit given.
        if zstandard.frame_content_size(data) > size:
            raise ValueError('it is larger than it should be')
        if not cut:
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if compression == 'lz4':
        if not cut:
            return lz4.frame.decompress(data)
        return lz4.frame.LZ4FrameDecompressor().decompress(data)
    raise ValueError(f'compressed with {compression!r}, which is not known')
