# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The state of a replay memory that a checkpoint holds, and the way back to it.

A checkpoint holds no rows. It names the live ones by number and the chain of the newest, which
depends on every byte before it: where the chains are equal, so are the rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping

import numpy as np

from .replay_directory import DirectoryStore
from .replay_store import Commit, Layout, MemoryStore, ReplayError

VERSION = 1


class ReplayWarning(UserWarning):
    """A replay memory came back otherwise than it was; the message says how."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """
    What :meth:`ReplayMemory.load_state_dict` achieved.

    ``exact``: what is sampled next is what would have been sampled then. Otherwise ``reasons``
    says why not, and ``lost`` how many of the checkpoint's transitions are gone.
    """

    exact: bool
    lost: int = 0
    reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
    """The content of a state dictionary, checked; ``plain`` and ``read`` convert it."""

    layout: Layout
    stack: int
    n_step: int
    discount: float
    rng: dict[str, int]
    tail: int
    head: int
    chain: int
    transitions: int
    open_episodes: dict[int, int]
    counters: dict[str, int]
    directory: str | None

    def plain(self) -> dict[str, Any]:
        """Return plain types only, which ``torch.load(weights_only=True)`` reads."""
        state = dataclasses.asdict(self)
        shape = self.layout.image_shape
        state['layout']['image_shape'] = list(shape) if shape else None
        # The generator's integers have 128 bits.
        state['rng'] = {key: hex(value) for key, value in self.rng.items()}
        state['version'] = VERSION
        return state

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> State:
        """Check a state dictionary; raises ValueError, naming the key that is wrong."""
        if not isinstance(state, Mapping):
            raise ValueError(f'a replay state must be a dictionary, not {type(state).__name__}')
        values = dict(state)
        if values.pop('version', None) != VERSION:
            raise ValueError(f'replay state: version is {state.get("version")!r}, not {VERSION}')
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise ValueError('replay state: missing or surplus keys '
                             f'{sorted(map(str, names ^ set(values)))}')
        try:
            key = 'layout'
            layout = dict(values['layout'])
            shape = layout.pop('image_shape')
            sizes = {name: _count(layout.pop(name), 1)
                     for name in ('capacity', 'vector_dim', 'action_dim', 'spare')}
            _require(not layout)
            values[key] = Layout(
                image_shape=None if shape is None else tuple(_count(n, 1) for n in shape), **sizes)
            for key in ('stack', 'n_step'):
                _count(values[key], 1)
            for key in ('tail', 'head', 'transitions', 'chain'):
                _count(values[key])
            _require(values['chain'] <= 0xFFFFFFFF)
            key = 'tail'
            _require(0 <= values['head'] - values['tail'] <= values['layout'].live)
            key = 'discount'
            _require(isinstance(values[key], float) and 0 <= values[key] <= 1)
            key = 'rng'
            values[key] = {name: int(value, 16) for name, value in values[key].items()}
            _require(set(values[key]) == {'state', 'inc', 'has_uint32', 'uinteger'})
            _require(all(0 <= value < 1 << 128 for value in values[key].values()))
            key = 'open_episodes'
            values[key] = {int(k): _count(v) for k, v in values[key].items()}
            _require(all(row < values['head'] for row in values[key].values()))
            key = 'counters'
            values[key] = {name: _count(values[key][name])
                           for name in ('added', 'abandoned', 'lost')}
            key = 'directory'
            _require(values[key] is None or isinstance(values[key], str))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(f'replay state: {key} is {state.get(key)!r}') from None
        return cls(**values)


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _count(value: Any, least: int = 0) -> int:
    _require(isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 62)
    return value


def find_rows(store: MemoryStore, tail: int, head: int, chain: int, state: State
              ) -> tuple[int, int, int] | None:
    """
    Find the rows of ``state`` in a store whose live rows are ``tail <= r < head``.

    ``chain`` is that of row head - 1. Rows that are not live any more may still be in their
    slots; those are believed only where their CRC and chain are right. Returns tail, head and
    chain of what there is of the state's rows, or None where nothing is or it is not certain.
    """
    if state.head <= head:
        if state.head < head and state.head and not store.holds(state.head - 1):
            return None
        found = chain if state.head == head else store.chain_at(state.head - 1)
        if state.head and found != state.chain:
            return None
        new_head, new_chain = state.head, state.chain
    else:
        new_head, new_chain = head, chain
        while new_head < state.head and store.follows(new_head, new_chain):
            new_chain = store.chain_at(new_head)
            new_head += 1
        if (new_head, new_chain) != (state.head, state.chain):
            new_head, new_chain = head, chain
    new_tail = max(state.tail, min(tail, new_head))
    while new_tail > state.tail and store.holds(new_tail - 1):
        new_tail -= 1
    if new_head < new_tail or (new_head == new_tail and state.head > state.tail):
        return None
    return new_tail, new_head, new_chain


def copy_rows(source: MemoryStore, target: DirectoryStore, commit: Commit) -> None:
    """
    Make ``target`` hold the rows of ``commit`` from ``source``, and commit them there.

    Only rows that it does not have are written. Raises :class:`ReplayError` where it has rows,
    and none of them is one of these.
    """
    last = target.last
    oldest = max(last.tail, commit.tail)
    slots = np.arange(oldest, min(last.head, commit.head), dtype=np.int64) % source.slots
    same = np.flatnonzero(source.records['chain'][slots] == target.records['chain'][slots])
    if last.head > last.tail and not len(same):
        raise ReplayError(f'{target.path} holds rows that are not of this replay memory, or '
                          'older than those it still has; save into a directory of its own')
    # Where the chains are equal, so is everything before.
    row = oldest + int(same[-1]) + 1 if len(same) else commit.tail
    oldest = last.tail if len(same) else row
    commit = commit._replace(session=last.session + 1)

    def commit_up_to(row: int, tail: int) -> None:
        target.commit(commit._replace(tail=tail, head=row, chain=source.chain_at(row - 1)),
                      target.take_dirty())

    def write(row: int) -> None:
        slot = row % source.slots
        target.write(row, source.records[slot:slot + 1],
                     None if source.frames is None else source.frames[slot])

    commit_up_to(row, oldest)
    for row in range(row, commit.head):
        if target.blocked(row, commit.session):
            commit_up_to(row, max(oldest, min(commit.tail, row)))
        write(row)
    for row in range(commit.tail, min(oldest, commit.head)):
        write(row)
    target.commit(commit, target.take_dirty())


def load_rows(source: MemoryStore, target: MemoryStore, tail: int, head: int) -> None:
    """Copy the rows ``tail <= r < head`` into arrays in memory."""
    first, last = tail % source.slots, tail % source.slots + head - tail
    for part in (slice(first, min(last, source.slots)), slice(0, max(0, last - source.slots))):
        target.records[part] = source.records[part]
        if source.frames is not None and target.frames is not None:
            target.frames[part] = source.frames[part]


def live_back(store: MemoryStore, tail: int, head: int) -> tuple[int, np.ndarray]:
    """
    Read how the rows ``tail <= r < head`` of a store hang together.

    Returns the first row from which on every slot holds the row that it should, ``tail`` where
    none is damaged, and the ``back`` of the rows from there on.
    """
    slots = np.arange(tail, head, dtype=np.int64) % store.slots
    wrong = np.flatnonzero(store.records['row'][slots] != np.arange(tail, head, dtype=np.uint64))
    sound = int(wrong[-1]) + 1 if len(wrong) else 0
    return tail + sound, store.records['back'][slots[sound:]]
