# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Reads the pickle inside a torch file without running it.

Pickle is a program for a stack machine, and unpickling runs it. This reader knows only the
instructions that ``torch.save`` emits for plain containers and tensors, never imports or calls
anything, and never makes anything larger than the program itself.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

MAX_NODES = 300_000
MAX_DEPTH = 32


class PickleRefused(ValueError):
    """The pickle asks for something that a checkpoint cannot hold; the message says what."""


class Storage(NamedTuple):
    """Numbers in an entry ``data/<key>`` of the archive."""

    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """A tensor as the pickle declares it: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Name(NamedTuple):
    """Something that the pickle wants imported, which it is not."""

    name: str


_MARK = object()
_ORDERED_DICT = _Name('collections.OrderedDict')
_TENSOR = _Name('torch._utils._rebuild_tensor_v2')
_PARAMETER = _Name('torch._utils._rebuild_parameter')
STORAGES = tuple(f'torch.{kind}Storage' for kind in (
    'Float', 'Double', 'Half', 'BFloat16', 'Long', 'Int', 'Short', 'Char', 'Byte', 'Bool'))
_KNOWN = {name.name for name in (_ORDERED_DICT, _TENSOR, _PARAMETER)} | set(STORAGES)


def read_pickle(program: bytes) -> Any:
    """
    Return the object that a pickle describes, with tensors as :class:`Tensor`.

    Raises :class:`PickleRefused` for anything but dicts, lists, tuples, numbers, text, None and
    tensors, and for a program that is cut off or malformed.
    """
    try:
        found = _Machine(program).run()
    except (IndexError, struct.error, TypeError, KeyError, UnicodeDecodeError, ValueError,
            OverflowError) as error:
        if isinstance(error, PickleRefused):
            raise
        raise PickleRefused(f'the pickle is malformed ({type(error).__name__}: {error})') from None
    _measure(found)
    return found


def _measure(root: Any) -> None:
    """Refuse an object that is huge once its shared parts are walked one by one."""
    nodes, waiting = 1, [(root, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, (_Name, Storage)) or item is _MARK:
            raise PickleRefused(f'the pickle holds a bare {type(item).__name__.strip("_")}')
        if isinstance(item, dict):
            below = item.values()
        elif isinstance(item, (list, tuple)) and not isinstance(item, Tensor):
            below = item
        else:
            continue
        nodes += len(below)
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise PickleRefused('the pickle holds too many or too deeply nested objects')
        waiting.extend((value, depth + 1) for value in below)


class _Machine:
    """The stack machine."""

    def __init__(self, program: bytes) -> None:
        self._program, self._at = program, 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self._program[self._at]
            self._at += 1
            if code == 0x2e:  # STOP
                if len(self._stack) != 1 or self._at != len(self._program):
                    raise PickleRefused('the pickle ends with more than one object')
                return self._stack[0]
            instruction = self._INSTRUCTIONS.get(code)
            if instruction is None:
                raise PickleRefused(f'the pickle uses instruction {bytes([code])!r} at byte '
                                    f'{self._at - 1}, which no checkpoint needs')
            instruction(self)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._program):
            raise PickleRefused('the pickle is cut off')
        data = self._program[self._at:end]
        self._at = end
        return data

    def _line(self) -> str:
        end = self._program.index(b'\n', self._at)
        data = self._program[self._at:end]
        self._at = end + 1
        return data.decode('utf-8')

    def _push(self, item: Any) -> None:
        self._stack.append(item)

    def _to_mark(self) -> list[Any]:
        stack = self._stack
        for start in range(len(stack) - 1, -1, -1):
            if stack[start] is _MARK:
                items = stack[start + 1:]
                del stack[start:]
                return items
        raise PickleRefused('the pickle is malformed (no mark)')

    def _proto(self) -> None:
        if self._take(1)[0] > 5:
            raise PickleRefused('the pickle is of an unknown protocol')

    def _unicode(self) -> None:
        self._push(self._take(struct.unpack('<I', self._take(4))[0]).decode('utf-8'))

    def _long1(self) -> None:
        self._push(int.from_bytes(self._take(self._take(1)[0]), 'little', signed=True))

    def _global(self) -> None:
        self._import(f'{self._line()}.{self._line()}')

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._import(f'{module}.{name}')

    def _import(self, name: str) -> None:
        if name not in _KNOWN:
            raise PickleRefused(f'the pickle asks for {name[:80]}, which is not run')
        self._push(_Name(name))

    def _reduce(self) -> None:
        arguments, call = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple) or not isinstance(call, _Name):
            raise PickleRefused('the pickle calls something that is no function')
        if call == _ORDERED_DICT and not arguments:
            self._push({})
        elif call == _TENSOR and len(arguments) >= 6:
            self._push(_tensor(*arguments[:4]))
        elif call == _PARAMETER and arguments and isinstance(arguments[0], Tensor):
            self._push(arguments[0])
        else:
            raise PickleRefused(f'the pickle calls {call.name} in a way that torch does not')

    def _persistent(self) -> None:
        given = self._stack.pop()
        if not isinstance(given, tuple) or len(given) != 5 or given[0] != 'storage' \
                or not isinstance(given[1], _Name) or given[1].name not in STORAGES \
                or not isinstance(given[2], str) or not _is_count(given[4]):
            raise PickleRefused(f'the pickle names no storage: {str(given)[:80]}')
        self._push(Storage(given[1].name[6:-7], given[2], given[4]))

    def _build(self) -> None:
        # The only attribute that torch gives an object: an OrderedDict's _metadata.
        state = self._stack.pop()
        if not isinstance(self._stack[-1], dict) or not isinstance(state, dict) \
                or set(state) - {'_metadata'}:
            raise PickleRefused('the pickle sets attributes of an object')

    def _set_items(self) -> None:
        items = self._to_mark()
        self._fill(self._stack[-1], items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._fill(self._stack[-1], [key, value])

    def _fill(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise PickleRefused('the pickle is malformed (items of no dict)')
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, (str, int, float)):
                raise PickleRefused(f'the pickle has a key of type {type(key).__name__}')
            if key in target:
                raise PickleRefused(f'the pickle has the key {str(key)[:80]!r} twice')
            target[key] = value

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise PickleRefused('the pickle is malformed (elements of no list)')
        self._stack[-1].extend(items)

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise PickleRefused('the pickle is malformed (short stack)')
        items = tuple(self._stack[len(self._stack) - size:])
        del self._stack[len(self._stack) - size:]
        self._push(items)

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    _INSTRUCTIONS = {
        0x80: _proto,
        0x95: lambda self: self._take(8),  # FRAME
        ord('('): lambda self: self._push(_MARK),
        ord('}'): lambda self: self._push({}),
        ord(']'): lambda self: self._push([]),
        ord(')'): lambda self: self._push(()),
        ord('N'): lambda self: self._push(None),
        0x88: lambda self: self._push(True),
        0x89: lambda self: self._push(False),
        ord('J'): lambda self: self._push(struct.unpack('<i', self._take(4))[0]),
        ord('K'): lambda self: self._push(self._take(1)[0]),
        ord('M'): lambda self: self._push(struct.unpack('<H', self._take(2))[0]),
        ord('G'): lambda self: self._push(struct.unpack('>d', self._take(8))[0]),
        0x8a: _long1,
        ord('X'): _unicode,
        0x8c: lambda self: self._push(self._take(self._take(1)[0]).decode('utf-8')),
        ord('q'): lambda self: self._put(self._take(1)[0]),
        ord('r'): lambda self: self._put(struct.unpack('<I', self._take(4))[0]),
        0x94: lambda self: self._put(len(self._memo)),
        ord('h'): lambda self: self._push(self._memo[self._take(1)[0]]),
        ord('j'): lambda self: self._push(self._memo[struct.unpack('<I', self._take(4))[0]]),
        ord('t'): lambda self: self._push(tuple(self._to_mark())),
        0x85: lambda self: self._tuple(1),
        0x86: lambda self: self._tuple(2),
        0x87: lambda self: self._tuple(3),
        ord('e'): lambda self: self._extend(self._to_mark()),
        ord('a'): _append,
        ord('u'): _set_items,
        ord('s'): _set_item,
        ord('c'): _global,
        0x93: _stack_global,
        ord('Q'): _persistent,
        ord('R'): _reduce,
        ord('b'): _build,
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> Tensor:
    """Check that a tensor lies within its storage and does not repeat elements without end."""
    if not isinstance(storage, Storage) or not _is_count(offset) \
            or not isinstance(shape, tuple) or not isinstance(stride, tuple) \
            or len(shape) != len(stride) or len(shape) > 8 \
            or not all(map(_is_count, shape)) or not all(map(_is_count, stride)):
        raise PickleRefused('the pickle declares a malformed tensor')
    elements, last = 1, offset
    for size, step in zip(shape, stride):
        elements *= size
        last += (size - 1) * step
    if elements > storage.count or (elements and last >= storage.count):
        raise PickleRefused(f'the pickle declares a tensor of shape {list(shape)} in a storage '
                            f'{storage.key} of {storage.count} elements')
    return Tensor(storage, offset, shape, stride)
