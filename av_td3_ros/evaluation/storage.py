# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What both storages of rosbag2, sqlite3 and mcap, are read as."""

from __future__ import annotations

from collections import OrderedDict
import dataclasses
from typing import Any, Generic, Sequence, Tuple, TypeVar

import numpy as np

T = TypeVar('T')

Entry = Tuple[int, int, int, int]
"""Receive time in ns, number of the topic in the file, and where the message is: two numbers that
only its file understands."""

INDEX = np.dtype([('time', np.int64), ('topic', np.int32), ('file', np.int32),
                  ('place', np.int64), ('offset', np.int64)])

LOST_CHUNK = 'its chunk is damaged'


class BagError(ValueError):
    """A bag cannot be evaluated; the message says why in one sentence."""


class Unreadable(BagError):
    """A file of a bag cannot be read at all."""


class Damaged(ValueError):
    """One message cannot be read; the message says why."""


@dataclasses.dataclass(frozen=True)
class Topic:
    """
    A topic of a bag.

    ``encoding`` is the messages' ('cdr'), ``form`` that of the ``definition`` ('ros2msg',
    'ros2idl', or empty where the bag has none).
    """

    name: str
    type: str  # noqa: A003
    encoding: str = 'cdr'
    form: str = ''
    definition: str = ''


class Recent(Generic[T]):
    """The values used last, at most ``keep`` of them."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._values: OrderedDict[int, T] = OrderedDict()

    def get(self, key: int) -> T | None:
        """Return the value, None where it is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: int, value: T) -> None:
        """Keep a value."""
        self._values[key] = value
        while len(self._values) > self._keep:
            self._values.popitem(last=False)


def index_array(entries: Sequence[Entry]) -> Any:
    """Return entries as an array of :data:`INDEX`; those with impossible times are left out."""
    array = np.zeros(len(entries), INDEX)
    limit = np.iinfo(np.int64).max
    for name, column in zip(('time', 'topic', 'place', 'offset'), zip(*entries)):
        array[name] = [value if -limit <= value <= limit else -1 for value in column]
    return array
