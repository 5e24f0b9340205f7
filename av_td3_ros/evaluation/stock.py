# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether stock rosbag2 (``ros2 bag info``, ``play``) can read a bag, and where not, why.

More is read here than there: bags without metadata, cut off, with damaged parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_METADATA = 'metadata.yaml'
_NEWEST = 9
# From here on the offered QoS are a list, which older releases do not read (ros2/rosbag2 #1476).
_LISTED_QOS = 9
_STORAGES = {'mcap': b'\x89MCAP0\r\n', 'sqlite3': b'SQLite format 3\x00'}
_ZSTD = b'\x28\xb5\x2f\xfd'


def complaints(path: str | Path) -> list[str]:
    """Return a sentence for each thing that keeps stock rosbag2 from reading a bag."""
    path = Path(path)
    if path.is_file():
        return [] if path.name == _METADATA else _of_file(path, '')
    try:
        text = (path / _METADATA).read_text(encoding='utf-8')
        found = yaml.safe_load(text)['rosbag2_bagfile_information']
        names = [str(name) for name in found['relative_file_paths']]
        version = int(found['version'])
        storage = str(found['storage_identifier'])
    except FileNotFoundError:
        return [f'{path.name} has no {_METADATA} (ros2 bag reindex writes one)']
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return [f'{_METADATA} of {path.name} cannot be read (ros2 bag reindex writes one anew)']
    wrong = []
    if version > _NEWEST:
        wrong.append(f'{_METADATA} is of version {version}, newer than any known one')
    elif version >= _LISTED_QOS:
        wrong.append(f'{_METADATA} is of version {version}, which rosbag2 before Jazzy does not '
                     'read')
    if storage not in _STORAGES:
        wrong.append(f'there is no stock plugin for the storage {storage!r}')
    compression = str(found.get('compression_format') or '')
    if compression not in ('', 'zstd'):
        wrong.append(f'there is no stock plugin for the compression {compression!r}')
    for name in names:
        file = path / name
        if not file.is_file():
            wrong.append(f'the file {name} of {_METADATA} is missing')
        else:
            wrong += _of_file(file, storage)
    return wrong + _of_topics(found)


def _of_file(path: Path, storage: str) -> list[str]:
    with path.open('rb') as file:
        head = file.read(16)
        if head.startswith(_ZSTD):
            return []
        if not any(head.startswith(magic) for name, magic in _STORAGES.items()
                   if name == (storage or name)):
            return [f'{path.name} is no {storage or "mcap or sqlite3"} file']
        magic = _STORAGES['mcap']
        if head.startswith(magic):
            file.seek(-min(len(magic), path.stat().st_size), 2)
            if file.read() != magic or path.stat().st_size < 2 * len(magic):
                return [f'{path.name} has no end: it was cut off or is still being written']
    return []


def _of_topics(found: dict[str, Any]) -> list[str]:
    try:
        others = [str(part['topic_metadata']['name'])
                  for part in found.get('topics_with_message_count') or []
                  if part['topic_metadata']['serialization_format'] != 'cdr']
    except (KeyError, TypeError):
        return [f'the topics in {_METADATA} cannot be read']
    return [f'the messages on {name} are not in CDR' for name in others]
