# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The observer: a node that watches the graph from outside, and calls its services.

It knows of the drive what any listener on the topics would. Latencies are taken from DDS's own
times of sending and receiving, so that a busy observer does not falsify them. The simulator, which
ticks as fast as the car is driven, is paused for one that falls behind.
"""

from __future__ import annotations

import collections
import dataclasses
import struct
import time
from typing import Any, Callable, Sequence

from carla_msgs.msg import CarlaCollisionEvent, CarlaControl, CarlaEgoVehicleControl
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import UInt64MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger

from av_td3_ros.demo.figures import keep_newest, LatencyMeter, RouteMeter
from av_td3_ros.demo.parameters import POLICY, ROLE, TRAINER
from av_td3_ros.demo.routes import DemoRoute
from av_td3_ros.demo.video import FRAMES_PER_SECOND, VideoWriter
from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.frames import Control, VehicleState
from av_td3_ros.driving.reward import RewardSettings
from av_td3_ros.ros import experience, qos, weights
from av_td3_ros.ros.compatibility import timed
from av_td3_ros.ros.images import read_image
from av_td3_ros.ros.messages import MessageError, read_control, read_odometry, read_stamp
from av_td3_ros.simulation.camera import CameraSettings
from av_td3_ros.visualization.overlay import points_ahead, Scene, View

# CDR, little-endian: four bytes of encapsulation, then the header's stamp (sec, nanosec).
_STAMP = struct.Struct('<4xiI')
_FRAME_PERIOD = round(1e9 / FRAMES_PER_SECOND)
# Ticks of which the odometry or the picture is kept until the other comes.
_KEPT = 50
# Odometry that is older than this, s, is a sign of falling behind; none for so long, of having
# caught up.
_LATE, _QUIET = 0.25, 0.1


@dataclasses.dataclass
class Learned:
    """What the trainer and the experience topic told last."""

    progress: weights.Progress | None = None
    sampled_version: int = 0
    endings: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    terms: dict[str, float] = dataclasses.field(default_factory=dict)
    experiences: int = 0


class Observer(Node):
    """
    Watches one car along ``routes`` in turn; :attr:`meter` measures the present one.

    ``video`` is None for none.
    """

    def __init__(self, routes: Sequence[DemoRoute], meters: Sequence[RouteMeter],
                 rewards: RewardSettings, video: VideoWriter | None) -> None:
        super().__init__('av_td3_demo')
        self._routes, self.meters, self._rewards = routes, meters, rewards
        self._video = video
        self.latency = LatencyMeter()
        self.learned = Learned()
        self.reports: dict[str, dict[str, str]] = {}
        self.state: VehicleState | None = None
        self.control = Control()
        self.ticks = 0
        self._rates: collections.deque[tuple[float, int]] = collections.deque()
        self.title = self.note = ''
        self._view: View | None = None
        # Stamps (ns) of the last picture for the film, and of the last frame, with its route.
        self._sampled = -_FRAME_PERIOD
        self._filmed: tuple[int, int] | None = None
        self._odometries: dict[int, VehicleState] = {}
        self._pictures: dict[int, bytes] = {}
        self._running, self._held = True, False
        self._late = self._heard = 0.0
        self._run = self.create_publisher(CarlaControl, '/carla/control', qos.STREAM)
        self._listen()

    def _listen(self) -> None:
        def listen(message: type, topic: str, callback: Callable[..., None],
                   profile: Any = qos.STREAM, **options: Any) -> Any:
            name = topic if topic.startswith('/') else f'/carla/{ROLE}/{topic}'
            return self.create_subscription(message, name, callback, profile, **options)

        # Deep queues: the figures are of every tick, also where the observer is late.
        listen(Odometry, 'odometry', timed(self._on_odometry), qos.EXPERIENCE)
        listen(CarlaEgoVehicleControl, 'vehicle_control_cmd', timed(self._on_command),
               qos.EXPERIENCE)
        listen(CarlaCollisionEvent, 'collision', self._on_collision, qos.EXPERIENCE)
        self._camera = listen(CameraInfo, 'rgb_front/camera_info', self._on_camera)
        # As bytes: of most pictures only the stamp and the time of sending are wanted.
        listen(Image, 'rgb_front/image', timed(self._on_image), qos.FILM, raw=True)
        listen(DiagnosticArray, '/diagnostics', self._on_diagnostics, qos.DIAGNOSTICS)
        listen(UInt64MultiArray, f'{TRAINER}/progress', self._on_progress, qos.PROGRESS)
        listen(UInt8MultiArray, f'{TRAINER}/experience', self._on_experience, qos.EXPERIENCE)

    # What comes in

    @property
    def meter(self) -> RouteMeter:
        """Return the meter of the route that is driven now; the last one after all."""
        return next((m for m in self.meters if not m.done), self.meters[-1])

    @property
    def number(self) -> int:
        """Return the route's number, from 0."""
        return self.meters.index(self.meter)

    def _on_odometry(self, message: Odometry, sent: float, received: float) -> None:
        self._late, self._heard = time.time() - sent, time.monotonic()
        try:
            state = read_odometry(message)
        except MessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        self.state = state
        self.ticks += 1
        self.meter.take(state)
        keep_newest(self._odometries, state.stamp, state, _KEPT)
        self._film(state.stamp)

    def _on_command(self, message: CarlaEgoVehicleControl, sent: float, received: float) -> None:
        stamp = read_stamp(message.header.stamp)
        self.latency.command(stamp, received)
        try:
            self.control = read_control(message)
        except MessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_collision(self, message: CarlaCollisionEvent) -> None:
        self.meter.collision(read_stamp(message.header.stamp))

    def _on_camera(self, message: CameraInfo) -> None:
        if self._view is not None:
            return
        mount = CameraSettings()
        self._view = View(message.k[0], message.k[4], message.k[2], message.k[5],
                          mount.x, mount.y, mount.z)
        # It stays the same; a subscription less is time for the others.
        self.destroy_subscription(self._camera)

    def _on_image(self, data: bytes, sent: float, received: float) -> None:
        sec, nanosec = _STAMP.unpack_from(data)
        stamp = sec * 1_000_000_000 + nanosec
        self.latency.image(stamp, sent)
        if self._video is None or 0 <= stamp - self._sampled < _FRAME_PERIOD:
            return
        self._sampled = stamp
        keep_newest(self._pictures, stamp, data, _KEPT)
        self._film(stamp)

    def _film(self, stamp: int) -> None:
        """Take a frame once both its picture and its odometry have come, in either order."""
        if self._video is None or stamp not in self._pictures or stamp not in self._odometries:
            return
        data, state = self._pictures.pop(stamp), self._odometries[stamp]
        if self._view is None or not self.meter.begun:
            return
        try:
            picture = read_image(deserialize_message(data, Image))
        except MessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        last, self._filmed = self._filmed, (self.number, stamp)
        # Between two routes the film is cut.
        lost = (stamp - last[1]) // _FRAME_PERIOD - 1 if last and last[0] == self.number else 0
        self._video.add(picture, self._view, self._scene(state), max(lost, 0))

    def _scene(self, state: VehicleState) -> Scene:
        meter, drawn = self.meter, self._routes[self.number]
        along = drawn.route.locate(state.pose, near=max(meter.furthest, 0.0)).distance
        return Scene(state.pose, points_ahead(drawn.route.points, drawn.heights, along),
                     self.control, state.speed, meter.completion, dict(self.learned.terms),
                     self.title, self.note)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.reports[status.name] = {value.key: value.value for value in status.values}

    def _on_progress(self, message: UInt64MultiArray) -> None:
        try:
            self.learned.progress = weights.decode_progress(message.data)
        except weights.WeightsError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_experience(self, message: UInt8MultiArray) -> None:
        try:
            item = experience.decode(message.data)
        except experience.ExperienceError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        learned, step = self.learned, item.transition
        learned.experiences += 1
        learned.sampled_version = item.weights
        if step.kind is Kind.STEP:
            learned.terms = step.terms.weighted(self._rewards)
        if step.ending is not None:
            learned.endings.append((step.episode, step.ending.value))

    # What goes out

    def report(self, node: str, part: str) -> dict[str, str]:
        """Return the newest values of a part of a node on /diagnostics; none before any came."""
        return self.reports.get(f'{node}: {part}', {})

    @property
    def weights_in_use(self) -> tuple[int, int]:
        """Version and iteration of the weights that the policy node says it drives with."""
        values = self.report(POLICY, 'weights')
        return int(values.get('version', 0)), int(values.get('iteration', -1))

    @property
    def speed(self) -> float:
        """Speed of the car, m/s."""
        return 0.0 if self.state is None else self.state.speed

    @property
    def missing(self) -> str:
        """Say what has not been heard of yet, for who waits for the start."""
        silent = [name for name, heard in (
            ('simulator', self.ticks), ('training node', self.learned.progress is not None),
            ('weights', self.weights_in_use[0])) if not heard]
        return 'waiting for ' + ', '.join(silent) if silent else 'the car goes to its start'

    @property
    def tick_rate(self) -> float:
        """Ticks of the simulation per second of wall time, over the last second or two."""
        now = time.monotonic()
        self._rates.append((now, self.ticks))
        while len(self._rates) > 2 and now - self._rates[0][0] > 2.0:
            self._rates.popleft()
        then, ticks = self._rates[0]
        return (self.ticks - ticks) / (now - then) if now > then else 0.0

    def run(self, command: int) -> None:
        """Send a run command: PLAY or PAUSE of carla_msgs/CarlaControl."""
        self._running, self._held, self._late = command == CarlaControl.PLAY, False, 0.0
        self._run.publish(CarlaControl(command=command))

    def keep_up(self) -> None:
        """
        Have the simulator wait where this has fallen behind, as it does on a busy machine.

        To be called between messages. What has come is taken in meanwhile; the car stands still in
        simulation time, so that nothing of the drive changes but how long it takes.
        """
        if self._held:
            if time.monotonic() - self._heard > _QUIET:
                self._held, self._late = False, 0.0
                self._run.publish(CarlaControl(command=CarlaControl.PLAY))
        elif self._running and self._late > _LATE:
            self._held = True
            self._run.publish(CarlaControl(command=CarlaControl.PAUSE))

    def change_state(self, transition: int) -> Any:
        """Ask the policy node for a life-cycle transition; return the future answer."""
        return self._call(ChangeState, f'{POLICY}/change_state', _transition(transition))

    def trigger(self, name: str) -> Any:
        """Call a Trigger service of the policy node; return the future answer."""
        return self._call(Trigger, f'{POLICY}/{name}', Trigger.Request())

    def _call(self, kind: type, name: str, request: Any) -> Any:
        client = self.create_client(kind, name)
        if not client.wait_for_service(timeout_sec=10.0):
            raise TimeoutError(f'the service {name} is not there')
        return client.call_async(request)


def _transition(number: int) -> Any:
    request = ChangeState.Request()
    request.transition.id = number
    return request
