# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag of rosbag2: one or more files of either storage, plain or compressed, whole or broken."""

from __future__ import annotations

from pathlib import Path
import re
import tempfile
from typing import Any, Iterable, Iterator, NamedTuple, Union

import numpy as np
import yaml
import zstandard

from av_td3_ros.evaluation.mcap_file import MAGIC as MCAP_MAGIC, McapFile
from av_td3_ros.evaluation.sqlite_file import SqliteFile
from av_td3_ros.evaluation.storage import (BagError, Damaged, INDEX, Topic, Unreadable)

_ZSTD = b'\x28\xb5\x2f\xfd'
_SQLITE = b'SQLite format 3\x00'
_STEP = 1 << 20
_LARGEST_MESSAGE = 256_000_000


class Message(NamedTuple):
    """One message of a bag as it was received; ``data`` is None where it is lost, with why."""

    time: int
    topic: int
    data: Any
    lost: str = ''


class Bag:
    """
    An opened bag; a context manager that closes it and removes what was unpacked.

    path: a folder with or without ``metadata.yaml``, or one file of either storage. ``topics`` are
    those of all files, ``index`` is where each message is (:data:`.storage.INDEX`, in the order of
    the files), ``losses`` are sentences. Nothing is ever written to the bag. Raises
    :class:`.BagError` where nothing at all can be read.
    """

    def __init__(self, path: str | Path, folder: str | Path | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.losses: list[str] = []
        self.topics: list[Topic] = []
        self._files: list[Union[McapFile, SqliteFile]] = []
        self._temporary = tempfile.TemporaryDirectory(prefix='evaluate_bag_', dir=folder)
        self._decompressor = zstandard.ZstdDecompressor()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'Bag':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._temporary.cleanup()

    def order(self, topics: Iterable[int], rank: Any = None) -> Any:
        """
        Return the index's entries of some topics in the order in which they were received.

        What was received at one time is ordered by ``rank`` (a number for each topic of the bag),
        then by topic and by place, so that it does not depend on the storage.
        """
        chosen = self.index[np.isin(self.index['topic'], list(topics))]
        ranks = np.zeros(len(self.topics), int) if rank is None else np.asarray(rank)
        names = np.argsort(np.argsort([topic.name for topic in self.topics]))
        return chosen[np.lexsort((names[chosen['topic']], ranks[chosen['topic']],
                                  chosen['time']))]

    def messages(self, entries: Any) -> Iterator[Message]:
        """Yield the messages of some entries; one after the other, so that memory stays small."""
        for entry in entries:
            yield self.read(entry)

    def read(self, entry: Any) -> Message:
        """Return one message."""
        time, topic, number, place, offset = entry.item()
        file = self._files[number]
        try:
            local = self._local[number][topic]
            data = self._plain(file.read(time, local, place, offset))
        except Damaged as error:
            return Message(time, topic, None, str(error))
        return Message(time, topic, data)

    def _plain(self, data: memoryview) -> Any:
        """Return a message without the compression that rosbag2 put on it alone."""
        if data[:4] != _ZSTD:
            return data
        try:
            # What the frame says goes before the limit given.
            if zstandard.frame_content_size(data) > _LARGEST_MESSAGE:
                raise Damaged('it says that it is larger than any message')
            return memoryview(self._decompressor.decompress(
                data, max_output_size=_LARGEST_MESSAGE))
        except zstandard.ZstdError as error:
            raise Damaged(f'it cannot be decompressed ({error})') from None

    def _open(self) -> None:
        if not self.path.exists():
            raise BagError(f'{self.path} does not exist')
        metadata = self._metadata() if self.path.is_dir() else None
        problems = []
        parts = []
        self._local: list[dict[int, int]] = []
        for path in self._paths(metadata):
            try:
                file = self._file(path)
                index = file.scan()
            except (Unreadable, OSError, zstandard.ZstdError) as error:
                problems.append(str(error) if isinstance(error, Unreadable)
                                else f'{path.name} cannot be read: {error}')
                continue
            self.losses += file.losses
            mapping = [self._topic(topic) for topic in file.topics]
            index['file'] = len(self._files)
            if len(index):
                index['topic'] = np.array(mapping, np.int32)[index['topic']]
            self._local.append({shared: local for local, shared in enumerate(mapping)})
            self._files.append(file)
            parts.append(index)
        self.index = np.concatenate(parts) if parts else np.zeros(0, INDEX)
        if not len(self.index):
            raise BagError(f'{self.path} has no messages that can be read' + (
                f': {"; ".join(problems)}' if problems else ''))
        self.losses += problems
        self._compare(metadata)

    def _topic(self, topic: Topic) -> int:
        for number, known in enumerate(self.topics):
            if (known.name, known.type) == (topic.name, topic.type):
                return number
        self.topics.append(topic)
        return len(self.topics) - 1

    def _metadata(self) -> dict[str, Any] | None:
        path = self.path / 'metadata.yaml'
        try:
            document = yaml.safe_load(path.read_text(encoding='utf-8'))
            found = document['rosbag2_bagfile_information']
            found['relative_file_paths'] = [str(name) for name in found['relative_file_paths']]
            return found
        except FileNotFoundError:
            self.losses.append('there is no metadata.yaml: the files are taken as they are')
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            self.losses.append('metadata.yaml cannot be read: the files are taken as they are')
        return None

    def _paths(self, metadata: dict[str, Any] | None) -> list[Path]:
        if self.path.is_file():
            if self.path.name != 'metadata.yaml':
                return [self.path]
            self.path = self.path.parent
            return self._paths(self._metadata())
        found = sorted(
            (path for path in self.path.iterdir()
             if path.is_file() and path.name.removesuffix('.zstd').endswith(('.mcap', '.db3'))),
            key=lambda path: [int(part) if part.isdigit() else part
                              for part in re.split(r'(\d+)', path.name)])
        if metadata is None:
            return found
        listed = []
        for name in metadata['relative_file_paths']:
            # Old bags have the folder in it.
            near = [path for path in found if path.name.removesuffix('.zstd')
                    == Path(name).name.removesuffix('.zstd')]
            if near:
                listed.append(near[0])
            else:
                self.losses.append(f'the file {name} of metadata.yaml is missing')
        for path in found:
            if path not in listed:
                self.losses.append(f'{path.name} is not in metadata.yaml; it is read too')
                listed.append(path)
        return listed

    def _file(self, path: Path) -> McapFile | SqliteFile:
        with path.open('rb') as stream:
            head = stream.read(16)
            if head[:4] == _ZSTD:
                path, head = self._unpacked(path, stream)
        if head.startswith(MCAP_MAGIC):
            return McapFile(path)
        if head == _SQLITE:
            return SqliteFile(path, Path(self._temporary.name))
        if not head.strip(b'\0'):
            raise Unreadable(f'{path.name} is empty')
        raise Unreadable(f'{path.name} is neither mcap nor sqlite3')

    def _unpacked(self, path: Path, stream: Any) -> tuple[Path, bytes]:
        """Return a file unpacked into the temporary folder, as far as it goes."""
        target = Path(self._temporary.name) / f'{len(self._files)}_{path.name}'.removesuffix(
            '.zstd')
        stream.seek(0)
        worker = self._decompressor.decompressobj()
        with target.open('wb') as output:
            try:
                while piece := stream.read(_STEP):
                    output.write(worker.decompress(piece))
                if not worker.eof:
                    self.losses.append(f'{path.name} is cut off; what is before is read')
            except zstandard.ZstdError as error:
                self.losses.append(f'{path.name} is damaged ({error}); what is before is read')
        with target.open('rb') as unpacked:
            return target, unpacked.read(16)

    def _compare(self, metadata: dict[str, Any] | None) -> None:
        """State what metadata.yaml counts and the files do not have."""
        counts = np.bincount(self.index['topic'], minlength=len(self.topics))
        found = {topic.name: int(count) for topic, count in zip(self.topics, counts)}
        try:
            for part in (metadata or {}).get('topics_with_message_count') or []:
                name, count = part['topic_metadata']['name'], part['message_count']
                if found.get(name, 0) != count:
                    self.losses.append(f'metadata.yaml counts {count} messages on {name}, found '
                                       f'are {found.get(name, 0)}')
        except (KeyError, TypeError):
            self.losses.append('the counts in metadata.yaml cannot be read')
