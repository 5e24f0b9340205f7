# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Looking at a running graph: who is there, what is said, with which settings.

It subscribes best effort, which matches every publisher, and asks nodes for parameters; it
publishes nothing and changes nothing.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator

from carla_msgs.msg import CarlaEgoVehicleControl, CarlaEgoVehicleStatus, CarlaStatus
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool

from av_td3_ros.ros.commands import read_stamp
from av_td3_ros.setup_check.expected import CLOCK, COMMAND, expected, OVERRIDE, STATUS
from av_td3_ros.setup_check.facts import Endpoint, Facts, Sample, Topic
from av_td3_ros.setup_check.streams import WAITS

NAME = 'av_td3_check_setup'
BRIDGE_PARAMETERS = ('passive', 'synchronous_mode', WAITS)
POLICY_PARAMETERS = ('training', 'lockstep')

READ: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    'carla_msgs/msg/CarlaStatus': (CarlaStatus, lambda m: {
        'synchronous_mode': m.synchronous_mode,
        'synchronous_mode_running': m.synchronous_mode_running,
        'fixed_delta_seconds': round(m.fixed_delta_seconds, 6)}),
    'rosgraph_msgs/msg/Clock': (Clock, lambda m: {}),
    'sensor_msgs/msg/Image': (Image, lambda m: {
        'width': m.width, 'height': m.height, 'encoding': m.encoding}),
    'sensor_msgs/msg/CameraInfo': (CameraInfo, lambda m: {
        'width': m.width, 'height': m.height, 'fx': float(m.k[0])}),
    'nav_msgs/msg/Odometry': (Odometry, lambda m: {'child': m.child_frame_id}),
    'nav_msgs/msg/Path': (Path, lambda m: {'points': len(m.poses)}),
    'carla_msgs/msg/CarlaEgoVehicleStatus': (CarlaEgoVehicleStatus, lambda m: {}),
    'carla_msgs/msg/CarlaEgoVehicleControl': (CarlaEgoVehicleControl, lambda m: {
        'throttle': m.throttle, 'steer': m.steer, 'brake': m.brake}),
    'std_msgs/msg/Bool': (Bool, lambda m: {'data': m.data}),
}
"""Each type that is listened to, and what is kept of it beside its stamp and frame."""


class GraphProbe:
    """A node in a context of its own that looks at the graph of a domain."""

    def __init__(self, *, domain_id: int | None = None) -> None:
        self._context = Context()
        self._context.init(args=[], domain_id=domain_id)
        self._node = Node(NAME, context=self._context, start_parameter_services=False,
                          enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def __enter__(self) -> GraphProbe:
        return self

    def __exit__(self, *_: Any) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def look(self, role: str, camera: str, seconds: float, discovery: float) -> Facts:
        """
        Return what is seen of a vehicle within ``seconds`` of wall time.

        Before that, ``discovery`` seconds at most are spent on finding the bridge, the vehicle and
        who else is there.
        """
        odometry = f'/carla/{role}/odometry'
        self._spin(discovery, lambda: all(
            self._node.count_publishers(name) for name in (STATUS, odometry)))
        # Others may still be on their way when the first are found.
        self._spin(min(discovery, 1.0))
        topics = self._topics()
        names = {e.topic(role): e.type for e in expected(camera)}
        samples: dict[str, list[Sample]] = {}
        subscriptions = [
            self._listen(name, kind, topics[name], samples) for name, kind in names.items()
            if kind in READ and name in topics
            and (name.endswith((COMMAND, OVERRIDE)) or topics[name].publishers)
            and all(end.type == kind for end in topics[name].publishers)]
        questions = [_Question(self._node, node, wanted)
                     for node, wanted in self._to_ask(role, topics)]
        self._spin(seconds, lambda: any(question.ask() for question in questions))
        parameters = {question.of: question.answer for question in questions
                      if question.answer is not None}
        topics = self._topics()
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)
        return Facts(role, camera, seconds, tuple(self._nodes()), topics,
                     {name: tuple(seen) for name, seen in samples.items()}, parameters)

    def _spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))

    def _nodes(self) -> Iterator[str]:
        for name, namespace in self._node.get_node_names_and_namespaces():
            if name != NAME:
                yield f'{namespace.rstrip("/")}/{name}'

    def _topics(self) -> dict[str, Topic]:
        def ends(infos: list[Any]) -> tuple[Endpoint, ...]:
            return tuple(_endpoint(info) for info in infos if info.node_name != NAME)
        node = self._node
        return {name: Topic(ends(node.get_publishers_info_by_topic(name)),
                            ends(node.get_subscriptions_info_by_topic(name)))
                for name, _ in node.get_topic_names_and_types()
                if name.startswith(('/carla/', '/av_td3_', CLOCK))}

    def _listen(self, name: str, kind: str, topic: Topic,
                samples: dict[str, list[Sample]]) -> Any:
        kept = samples.setdefault(name, [])
        message_type, read = READ[kind]

        def take(message: Any) -> None:
            header = getattr(message, 'header', None)
            stamp = header.stamp if header else getattr(message, 'clock', None)
            kept.append(Sample(None if stamp is None else read_stamp(stamp),
                               header.frame_id if header else '', read(message)))
        # What is latched by all its publishers is read as such: it may have been said long ago.
        latched = bool(topic.publishers) and all(
            end.latched and end.reliable for end in topic.publishers)
        return self._node.create_subscription(message_type, name, take, QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=100 if not latched else 1,
            reliability=(ReliabilityPolicy.RELIABLE if latched
                         else ReliabilityPolicy.BEST_EFFORT),
            durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                        else DurabilityPolicy.VOLATILE)))

    def _to_ask(self, role: str, topics: dict[str, Topic]) \
            -> Iterator[tuple[str, tuple[str, ...]]]:
        for end in topics.get(STATUS, Topic()).publishers:
            yield end.node, BRIDGE_PARAMETERS
        for node in self._nodes():
            if node == f'/carla/{role}/av_td3_policy':
                yield node, POLICY_PARAMETERS


class _Question:
    """Parameters of a node, asked for once it is there to answer."""

    def __init__(self, node: Node, of: str, names: tuple[str, ...]) -> None:
        self.of, self._names = of, names
        self._client = node.create_client(GetParameters, f'{of}/get_parameters')
        self._future: Any = None

    def ask(self) -> bool:
        """Send the question if it is time to; always False: there is more to wait for."""
        if self._future is None and self._client.service_is_ready():
            self._future = self._client.call_async(
                GetParameters.Request(names=list(self._names)))
        return False

    @property
    def answer(self) -> dict[str, bool] | None:
        """Return those of the parameters that are true or false; None without an answer."""
        response = self._future.result() if self._future and self._future.done() else None
        return None if response is None else {
            name: value.bool_value for name, value in zip(self._names, response.values)
            if value.type == ParameterType.PARAMETER_BOOL}


def _endpoint(info: Any) -> Endpoint:
    profile = info.qos_profile
    return Endpoint(f'{info.node_namespace.rstrip("/")}/{info.node_name}', info.topic_type,
                    profile.reliability == ReliabilityPolicy.RELIABLE,
                    profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)
