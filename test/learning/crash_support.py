# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Filesystems that fail, kill and record, and the states that a crash can leave behind."""

import itertools
import os
from pathlib import Path
import signal

from agents import fingerprint, flat_agent

from av_td3_ros.learning.checkpoint_folder import CheckpointFolder, RetentionSettings
from av_td3_ros.learning.durable import Filesystem

RETENTION = RetentionSettings(keep_last=1, keep_best=0, keep_every=0)
KINDS = ('create', 'write', 'fsync', 'rename', 'symlink', 'unlink')


class Intercepting(Filesystem):
    """Calls :meth:`before` with the kind of each call; subclasses do something there."""

    def before(self, kind):
        raise NotImplementedError

    def create(self, path):
        self.before('create')
        return super().create(path)

    def write(self, descriptor, data):
        self.before('write')
        # Small pieces, so that a save has many writes to fail in.
        return super().write(descriptor, data[:8192])

    def fsync(self, descriptor):
        self.before('fsync')
        super().fsync(descriptor)

    def rename(self, source, target):
        self.before('rename')
        super().rename(source, target)

    def symlink(self, target, path):
        self.before('symlink')
        super().symlink(target, path)

    def unlink(self, path):
        self.before('unlink')
        super().unlink(path)


class Failing(Intercepting):
    """The ``number``-th call of a kind (from 1) fails; ``forever`` has all later ones fail too."""

    def __init__(self, kind=None, number=0, errno=0, forever=False):
        self.kind, self.number, self.errno, self.forever = kind, number, errno, forever
        self.calls = dict.fromkeys(KINDS, 0)
        self.failed = 0

    def before(self, kind):
        self.calls[kind] += 1
        if kind == self.kind and (self.calls[kind] == self.number
                                  or self.forever and self.calls[kind] > self.number):
            self.failed += 1
            raise OSError(self.errno, os.strerror(self.errno))


class Killing(Intercepting):
    """The ``number``-th call, of whatever kind, is this process's last."""

    def __init__(self, number):
        self.left = number

    def before(self, kind):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Recording(Filesystem):
    """Does everything and keeps the trace that crash states are made from."""

    def __init__(self, fsyncs=True):
        self.trace, self._names, self._offsets = [], {}, {}
        self._fsyncs = fsyncs

    def create(self, path):
        descriptor = super().create(path)
        self._names[descriptor], self._offsets[descriptor] = path.name, 0
        self.trace.append(('create', path.name))
        return descriptor

    def write(self, descriptor, data):
        written = super().write(descriptor, data[:8192])
        self.trace.append(('write', self._names[descriptor], self._offsets[descriptor],
                           bytes(data[:written])))
        self._offsets[descriptor] += written
        return written

    def fsync(self, descriptor):
        if self._fsyncs:
            self.trace.append(('fsync', self._names[descriptor]))

    def rename(self, source, target):
        super().rename(source, target)
        self.trace.append(('rename', source.name, target.name))

    def symlink(self, target, path):
        super().symlink(target, path)
        self.trace.append(('symlink', str(target), path.name))

    def unlink(self, path):
        super().unlink(path)
        self.trace.append(('unlink', path.name))

    def fsync_folder(self, path):
        if self._fsyncs:
            self.trace.append(('fsync_folder',))


def crash_states(trace):
    """
    Yield the states that a crash may leave, as lists of operations to apply to the old folder.

    After each prefix of the trace: names changed since the folder's last fsync may be there or
    not, each on its own; data written since a file's last fsync may be there, missing, torn in
    the middle, or there only in its second half.
    """
    for length in range(len(trace) + 1):
        prefix = trace[:length]
        synced = {op[1]: index for index, op in enumerate(prefix) if op[0] == 'fsync'}
        folder = max((index for index, op in enumerate(prefix) if op[0] == 'fsync_folder'),
                     default=-1)
        names = [index for index, op in enumerate(prefix)
                 if op[0] in ('create', 'rename', 'symlink', 'unlink') and index > folder]
        data = [index for index, op in enumerate(prefix)
                if op[0] == 'write' and index > synced.get(op[1], -1)]
        for lost_names in itertools.chain.from_iterable(
                itertools.combinations(names, count) for count in range(len(names) + 1)):
            for fate in ('kept', 'lost', 'torn', 'holed') if data else ('kept',):
                yield length, apply_fate(prefix, set(lost_names), set(data), fate)


def apply_fate(prefix, lost_names, data, fate):
    operations = []
    for index, op in enumerate(prefix):
        if index in lost_names:
            continue
        if index in data and fate == 'lost':
            # The length may reach the disk without the data.
            op = (*op[:3], bytes(len(op[3])))
        elif index in data and fate == 'torn' and index == max(data):
            op = (*op[:3], op[3][:len(op[3]) // 2])
        elif index in data and fate == 'holed':
            half = len(op[3]) // 2
            op = (*op[:3], bytes(half) + op[3][half:])
        operations.append(op)
    return operations


def materialise(operations, folder):
    """Apply operations to a folder. Files live by inode, so data follow a renamed name."""
    files = {}
    for op in operations:
        if op[0] == 'create':
            (folder / op[1]).touch()
            files[op[1]] = folder / op[1]
        elif op[0] == 'write' and op[1] in files:
            with open(files[op[1]], 'r+b') as file:
                file.seek(op[2])
                file.write(op[3])
        elif op[0] == 'rename' and os.path.lexists(folder / op[1]):
            os.replace(folder / op[1], folder / op[2])
        elif op[0] == 'symlink' and not os.path.lexists(folder / op[2]):
            os.symlink(op[1], folder / op[2])
        elif op[0] == 'unlink' and os.path.lexists(folder / op[1]):
            os.unlink(folder / op[1])


def save_stamped(folder, agent):
    """Save with the agent's own fingerprint inside, so that a load can be checked for it."""
    return folder.save(agent, extra={'fingerprint': fingerprint(agent)})


def load_stamped(path, files=None):
    """Open the folder as a restart does; return the iteration that is whole, or raise."""
    folder = CheckpointFolder(path, RETENTION)
    left = [name for name in os.listdir(path) if name.endswith('.tmp')]
    assert not left, f'temporary files are left after a restart: {left}'
    agent = flat_agent(seed=99)
    taken = {}
    loaded = folder.load(agent, extra=taken.update)
    assert fingerprint(agent) == taken['fingerprint'], 'the loaded agent is not the saved one'
    return loaded.total_it


def small_folder(path: Path, files=None):
    return CheckpointFolder(path, RETENTION, *([files] if files else []))
