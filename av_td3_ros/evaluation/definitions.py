# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message definitions for reading and writing bags without ROS."""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterable

from rosbags.serde import SerdeError
from rosbags.typesys import get_types_from_idl, get_types_from_msg, get_typestore, Stores
from rosbags.typesys.base import TypesysError

from av_td3_ros.evaluation.storage import Damaged, Topic
from av_td3_ros.resources import shipped

# Read where a bag brings no definition of its own; as in astuff_sensor_msgs.
_OBJECTS = {
    'derived_object_msgs/msg/Object': """
std_msgs/Header header
uint32 id
uint8 detection_level
bool object_classified
geometry_msgs/Pose pose
geometry_msgs/Twist twist
geometry_msgs/Accel accel
geometry_msgs/Polygon polygon
shape_msgs/SolidPrimitive shape
uint8 classification
uint8 classification_certainty
uint32 classification_age
""",
    'derived_object_msgs/msg/ObjectArray': """
std_msgs/Header header
derived_object_msgs/Object[] objects
""",
}


@functools.lru_cache(maxsize=1)
def typestore() -> Any:
    """Return a typestore of ROS 2's own messages, carla_msgs and derived_object_msgs."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted(shipped('interfaces', 'carla_msgs', 'msg').glob('*.msg')):
        types.update(get_types_from_msg(path.read_text(encoding='utf-8'),
                                        f'carla_msgs/msg/{path.stem}'))
    for name, text in _OBJECTS.items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


class Decoder:
    """
    Decodes the messages of one bag.

    What a bag says about its types goes before what is known here; :attr:`notes` says where its
    definition could not be used.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        self.notes: list[str] = []
        self._types: dict[str, Callable[[Any], Any]] = {}
        for topic in topics:
            if topic.type not in self._types and topic.type:
                reader = self._own(topic) or self._known(topic.type)
                if reader is not None:
                    self._types[topic.type] = reader

    def knows(self, kind: str) -> bool:
        """Whether messages of a type can be decoded."""
        return kind in self._types

    def decode(self, kind: str, data: Any) -> Any:
        """Return the message in ``data``; raise :class:`.Damaged` where it is none."""
        try:
            return self._types[kind](data)
        # The decoder is generated code: what it raises on foreign bytes depends on where it is.
        except (SerdeError, ValueError, IndexError, TypeError, OverflowError, MemoryError,
                AssertionError, KeyError, LookupError) as error:
            raise Damaged(f'it is no {kind}: {" ".join(str(error).split())[:80]}') from None
        except Exception as error:
            if type(error).__module__ in ('struct', 'builtins'):
                raise Damaged(f'it is no {kind}') from None
            raise

    def _own(self, topic: Topic) -> Callable[[Any], Any] | None:
        if not topic.definition:
            return None
        try:
            store = get_typestore(Stores.EMPTY)
            store.register(get_types_from_idl(topic.definition) if topic.form == 'ros2idl'
                           else get_types_from_msg(topic.definition, topic.type))
            store.get_msgdef(topic.type)
        except Exception as error:  # noqa: B902  a parser of others, on text of a file
            self.notes.append(f"the bag's definition of {topic.type} cannot be used: "
                              f'{" ".join(str(error).split())[:80]}')
            return None
        return lambda data: store.deserialize_cdr(data, topic.type)

    @staticmethod
    def _known(kind: str) -> Callable[[Any], Any] | None:
        store = typestore()
        try:
            store.get_msgdef(kind)
        except (TypesysError, KeyError):
            return None
        return lambda data: store.deserialize_cdr(data, kind)
