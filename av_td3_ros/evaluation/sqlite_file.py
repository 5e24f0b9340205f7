# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One sqlite3 file of rosbag2, read so that a damaged page costs the messages on it."""

from __future__ import annotations

from pathlib import Path
import shutil
import sqlite3
from typing import Any
from urllib.parse import quote

from av_td3_ros.evaluation.storage import Damaged, Entry, index_array, Topic, Unreadable

_LAST_ROW = 1 << 40


class SqliteFile:
    """
    Reads a file of rosbag2's sqlite3 storage; never writes to it nor beside it.

    ``losses`` says in sentences what cannot be read. ``folder`` is for a copy, made where a
    recording was killed and part of it is in a write-ahead log.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.losses: list[str] = []
        log = path.with_name(path.name + '-wal')
        options = 'mode=ro&immutable=1'
        if log.is_file() and log.stat().st_size:
            copy = folder / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(copy.name + '-wal'))
            self.losses.append(f'{path.name} was not closed: its write-ahead log is read too')
            path, options = copy, 'mode=rw'
        try:
            # Whoever opened it may hand it on to another thread.
            self._database = sqlite3.connect(f'file:{quote(str(path))}?{options}', uri=True,
                                             check_same_thread=False)
            # Without it SQLite refuses a file that is shorter than its header says.
            self._database.execute('PRAGMA writable_schema=ON')
            self._database.execute('PRAGMA cache_size=-4096')
            self.topics, self._numbers = self._read_topics()
            self._database.execute('SELECT id, topic_id, timestamp FROM messages LIMIT 0')
        except sqlite3.Error as error:
            self.close()
            raise Unreadable(f'{self.path.name} cannot be read as a bag: {error}') from None

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, '_database'):
            self._database.close()

    def scan(self) -> Any:
        """Return where every message is, in the file's order; see :data:`.storage.Entry`."""
        entries: list[Entry] = []
        last = -1

        def take(row: int, topic: int, time: int) -> None:
            nonlocal last
            if row <= last:
                raise sqlite3.DatabaseError('messages out of order')
            last = row
            if topic in self._numbers and isinstance(time, int):
                entries.append((time, self._numbers[topic], row, 0))
        while True:
            try:
                for row in self._database.execute(
                        'SELECT id, topic_id, timestamp FROM messages WHERE id > ? ORDER BY id',
                        (last,)):
                    take(*row)
                break
            except sqlite3.DatabaseError as error:
                before, after = last, self._readable_after(last)
                if after is None:
                    self.losses.append(f'{self.path.name} is damaged behind message {before} '
                                       f'({error})')
                    break
                # The module has stepped to the damage before it hands out the row ahead of it.
                take(*after)
                if last > before + 1:
                    self.losses.append(f'{self.path.name} is damaged from message {before + 1} '
                                       f'to {last - 1} ({error})')
        return index_array(entries)

    def read(self, time: int, topic: int, place: int, offset: int) -> memoryview:
        """Return a message's bytes; raise :class:`.Damaged` where they cannot be read."""
        try:
            row = self._database.execute(
                'SELECT data, timestamp FROM messages WHERE id = ?', (place,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise Damaged(f'its page is damaged ({error})') from None
        if row is None or row[1] != time or not isinstance(row[0], bytes):
            raise Damaged('its page is damaged')
        return memoryview(row[0])

    def _read_topics(self) -> tuple[list[Topic], dict[int, int]]:
        def columns(table: str) -> set[str]:
            return {row[1] for row in self._database.execute(f'PRAGMA table_info({table})')}
        definitions: dict[str, tuple[str, str]] = {}
        if 'encoded_message_definition' in columns('message_definitions'):
            for kind, form, text in self._database.execute(
                    'SELECT topic_type, encoding, encoded_message_definition '
                    'FROM message_definitions'):
                definitions[kind] = form, text
        topics: list[Topic] = []
        numbers: dict[int, int] = {}
        for number, name, kind, encoding in self._database.execute(
                'SELECT id, name, type, serialization_format FROM topics ORDER BY id'):
            topic = Topic(name, kind, encoding, *definitions.get(kind, ('', '')))
            if topic not in topics:
                topics.append(topic)
            numbers[number] = topics.index(topic)
        return topics, numbers

    def _readable_after(self, row: int) -> tuple[int, int, int] | None:
        """Return the first message behind damage that can be reached, None if there is none."""
        def reach(start: int) -> tuple[int, int, int] | None:
            found = self._database.execute(
                'SELECT id, topic_id, timestamp FROM messages WHERE id >= ? ORDER BY id LIMIT 1',
                (start,)).fetchone()
            # A damaged tree may lead back.
            if found is not None and found[0] < start:
                raise sqlite3.DatabaseError('out of order')
            return found
        step, low = 1, row
        while row + step < _LAST_ROW:
            try:
                found = reach(row + step)
                break
            except sqlite3.DatabaseError:
                low, step = row + step, 2 * step
        else:
            return None
        high = row + step
        while high - low > 1:
            middle = (low + high) // 2
            try:
                found, high = reach(middle), middle
            except sqlite3.DatabaseError:
                low = middle
        return found
