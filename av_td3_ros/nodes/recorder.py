# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The recorder: writes what is said on some topics to a bag, where there is no ``ros2 bag``.

Messages are kept as they come, with the time of their receipt and the QoS that is offered; the
bag is whole once the node has ended (SIGINT or SIGTERM), which also says where nothing came.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import Any, Callable, Iterable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import CompressionFormat, Writer, WriterError

from av_td3_ros.evaluation.bag_writer import COMPRESSIONS, offered, STORAGES, VERSION
from av_td3_ros.evaluation.definitions import typestore
from av_td3_ros.evaluation.stock import complaints
from av_td3_ros.nodes.paths import expand
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run
from av_td3_ros.settings import setting, SettingsError

_OWN = ('rgb_front/image', 'odometry', 'waypoints', 'vehicle_control_cmd', 'vehicle_status',
        'collision', 'lane_invasion')
_LOOK = 0.2         # s of wall time between two looks for new topics
_DEPTH = 100


@dataclasses.dataclass(frozen=True)
class RecorderSettings:
    """Where to write, and what."""

    bag: str = setting('', 'folder of the new bag')
    role_name: str = setting('ego_vehicle', 'vehicle whose topics are recorded')
    topics: tuple[str, ...] = setting(
        (), "topics to record, relative ones in the node's namespace; empty: those of the vehicle "
        'that evaluate_bag reads, and /carla/objects')
    storage: str = setting('mcap', 'of the bag', choices=tuple(sorted(STORAGES)))
    # A whole file would be compressed at the end, for which a node that ends has no time.
    compression: str = setting(
        'none', 'zstd of each message, or of the chunks of mcap (storage)',
        choices=('none', 'message', 'storage'))


class RecorderNode(Node):
    """Subscribes to each topic as soon as somebody publishes it, in the QoS that is offered."""

    def __init__(self) -> None:
        super().__init__('av_td3_recorder')
        self.settings = s = declare(self, RecorderSettings)
        self.counts: dict[str, int] = {}
        self._unknown: set[str] = set()
        self._wanted = self._resolved(s.topics or (
            *(f'/carla/{s.role_name}/{name}' for name in _OWN), '/carla/objects'))
        self._types = typestore()
        self._writer: Any = None
        if not s.bag:
            raise SettingsError('bag: give the folder of the bag to be written')
        if s.storage == 'sqlite3' and s.compression == 'storage':
            raise SettingsError('compression: sqlite3 knows no storage; take message')
        self._path = expand('bag', s.bag)
        try:
            writer = Writer(self._path, version=VERSION, storage_plugin=STORAGES[s.storage])
            writer.set_compression(COMPRESSIONS[s.compression], CompressionFormat.ZSTD)
            writer.open()
        except (WriterError, OSError) as error:
            raise SettingsError(f'bag: {" ".join(str(error).split())}') from None
        self._writer = writer
        self.create_timer(_LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f'recording to {self._path}')

    def destroy_node(self) -> None:
        """Bring the bag to its end."""
        super().destroy_node()
        if self._writer is None:
            return
        self._writer.close()
        print(f'{self._path}: {sum(self.counts.values())} messages on {len(self.counts)} topics',
              file=sys.stderr)
        silent = [topic for topic in self._wanted if not self.counts.get(topic)]
        if silent:
            print(f'nothing came on {", ".join(silent)}', file=sys.stderr)
        for sentence in complaints(self._path):
            print(f'stock rosbag2 cannot read this bag: {sentence}', file=sys.stderr)

    def _resolved(self, topics: Iterable[str]) -> tuple[str, ...]:
        """Return the full names of topics, each once."""
        names = []
        for topic in topics:
            try:
                names.append(self.resolve_topic_name(topic))
            except RuntimeError as error:
                raise SettingsError(f'topics: {topic!r} is no name of a topic: {error}') from None
        return tuple(dict.fromkeys(names))

    def _look(self) -> None:
        kinds = dict(self.get_topic_names_and_types())
        for topic in self._wanted:
            if topic in self.counts or topic in self._unknown or not kinds.get(topic):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._record(topic, kinds[topic][0], publishers)

    def _record(self, topic: str, kind: str, publishers: list[Any]) -> None:
        message = _class_of(kind)
        if message is None or kind not in self._types.types:
            self._unknown.add(topic)
            self.get_logger().warning(f'{topic} is not recorded: nobody here knows {kind}')
            return
        # What all publishers offer: a reader that asks for more is not served by every one.
        profiles = [info.qos_profile for info in publishers]
        reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
        latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
        depth = max(p.depth for p in profiles)
        connection = self._writer.add_connection(
            topic, kind, typestore=self._types,
            offered_qos_profiles=[offered(depth or 10, latched=latched, reliable=reliable)])
        self.counts[topic] = 0
        self.create_subscription(
            message, topic, self._taker(topic, connection), QoSProfile(
                depth=max(depth, _DEPTH),
                reliability=(ReliabilityPolicy.RELIABLE if reliable
                             else ReliabilityPolicy.BEST_EFFORT),
                durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                            else DurabilityPolicy.VOLATILE)), raw=True)
        self.get_logger().info(f'recording {topic} ({kind})')

    def _taker(self, topic: str, connection: Any) -> Callable[[bytes], None]:
        def take(data: bytes) -> None:
            self._writer.write(connection, self.get_clock().now().nanoseconds, data)
            self.counts[topic] += 1
        return take


def _class_of(kind: str) -> Any:
    """Return the class of a message type, None where its package is not installed."""
    package, _, name = kind.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None


def main(args: Any = None) -> int:
    """Run the node."""
    return run(RecorderNode, args=args)


if __name__ == '__main__':
    sys.exit(main())
