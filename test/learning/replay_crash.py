# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a crash of the machine can leave of a replay directory: traces, and their states."""

import os
from pathlib import Path

from av_td3_ros.learning import replay_directory


class Trace:
    """
    Notes every call that changes files below a folder, and makes it.

    ``operations``: ('create', name), ('size', name, bytes), ('write', name, offset, data),
    ('sync', name), ('rename', old, new), ('unlink', name), ('sync folder',); and what
    :meth:`note` adds.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.operations = Path(folder), []
        for name in ('open', 'ftruncate', 'pwrite', 'write', 'fsync', 'replace', 'unlink'):
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name), f'_{name}'))
        # Bound when the module was imported.
        monkeypatch.setattr(replay_directory, '_sync', os.fsync)

    def note(self, *operation):
        self.operations.append(operation)

    def _wrapped(self, call, name):
        def wrapped(*arguments, **more):
            result = call(*arguments, **more)
            getattr(self, name)(result, *arguments)
            return result
        return wrapped

    def _name(self, file):
        path = Path(os.readlink(f'/proc/self/fd/{file}'))
        if path == self.folder:
            return '.'
        return path.name if path.parent == self.folder and path.name != 'lock' else None

    def _open(self, file, path, flags, *mode):
        if flags & (os.O_CREAT | os.O_TRUNC) and (name := self._name(file)):
            self.note('create', name)

    def _ftruncate(self, _, file, size):
        if name := self._name(file):
            self.note('size', name, size)

    def _pwrite(self, written, file, data, offset):
        if name := self._name(file):
            self.note('write', name, offset, bytes(data[:written]))

    def _write(self, written, file, data):
        if name := self._name(file):
            offset = os.lseek(file, 0, os.SEEK_CUR) - written
            self.note('write', name, offset, bytes(data[:written]))

    def _fsync(self, _, file):
        if name := self._name(file):
            self.note('sync folder') if name == '.' else self.note('sync', name)

    def _replace(self, _, source, target):
        self.note('rename', Path(source).name, Path(target).name)

    def _unlink(self, _, path):
        self.note('unlink', Path(path).name)


def crash_states(operations, draw, *, syncs=True, most_random=4):
    """
    Yield (number of operations before the crash, what reached the disk) for many crashes.

    After each operation: of what was written and not synced since, all, nothing, all but one
    file's, one file's alone, and random choices in which each write is there, missing, or torn:
    only sectors of 512 bytes before or after some place are there. Of names that were changed
    since the folder was synced the same. What is missing leaves what was there before. With
    ``syncs`` false they are held to do nothing.
    """
    for length in range(len(operations) + 1):
        before = operations[:length]
        synced = {op[1]: at for at, op in enumerate(before) if op[0] == 'sync' and syncs}
        folder = max((at for at, op in enumerate(before) if op[0] == 'sync folder' and syncs),
                     default=-1)
        loose = {at: op for at, op in enumerate(before)
                 if op[0] in ('write', 'size') and at > synced.get(op[1], -1)
                 or op[0] in ('create', 'rename', 'unlink') and at > folder}
        names = {(op[0] in ('write', 'size'), op[1]) for op in loose.values()}
        choices = [set(), set(loose)]
        for data, name in sorted(names):
            own = {at for at, op in loose.items()
                   if (op[0] in ('write', 'size'), op[1]) == (data, name)}
            choices += [own, set(loose) - own]
        for lost in {frozenset(choice): choice for choice in choices}.values():
            yield length, [op for at, op in enumerate(before) if at not in lost]
        for _ in range(most_random if loose else 0):
            yield length, [part for at, op in enumerate(before)
                           for part in ([op] if at not in loose else _fate(op, draw))]


def _fate(op, draw):
    chance = draw.random()
    if chance < 0.35:
        return [op]
    if chance < 0.7 or op[0] != 'write':
        return []
    _, name, offset, data = op
    # A sector of the file, not of the write.
    first, last = offset // 512 + 1, (offset + len(data) - 1) // 512
    cut = draw.randint(first, last) * 512 - offset if last >= first else 0
    return [('write', name, offset, data[:cut]) if chance < 0.85
            else ('write', name, offset + cut, data[cut:])]


def materialise(operations, folder):
    """Apply what reached the disk to a folder. Data follow their file when it is renamed."""
    files = {}
    for op in operations:
        path = folder / op[1] if len(op) > 1 else None
        if op[0] == 'create':
            path.write_bytes(b'')
            files[op[1]] = path
        elif op[0] in ('write', 'size') and (op[1] in files or path.exists()):
            with open(files.get(op[1], path), 'r+b') as file:
                if op[0] == 'size':
                    file.truncate(op[2])
                else:
                    file.seek(op[2])
                    file.write(op[3])
        elif op[0] == 'rename' and path.exists():
            path.replace(folder / op[2])
        elif op[0] == 'unlink':
            path.unlink(missing_ok=True)
