# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the visualization node does while somebody watches."""

from __future__ import annotations

from collections import OrderedDict
import math
import time
from typing import Any, Callable

from carla_msgs.msg import CarlaEgoVehicleControl, CarlaEgoVehicleInfo
from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
import torch

from av_td3_ros.driving.action import control_from_action
from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.driving.observation import POINT_SPACING, POINTS as SEEN
from av_td3_ros.driving.prediction import predicted_path, steered_yaw_rate
from av_td3_ros.driving.route import Route, RouteError
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.learning.attention import attention
from av_td3_ros.nodes.driver_source import DriverSource
from av_td3_ros.nodes.visualization_settings import VisualizationSettings
from av_td3_ros.ros import qos
from av_td3_ros.ros.images import make_image, read_image
from av_td3_ros.ros.markers import LINE, make_arrow, make_marker, make_markers, POINTS
from av_td3_ros.ros.messages import (MessageError, read_control, read_odometry, read_path,
                                     read_stamp)
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.visualization.annotated import annotate
from av_td3_ros.visualization.overlay import points_ahead, Scene, View
from av_td3_ros.visualization.watcher import Decision

# Ticks that are remembered, to bring together what belongs to one.
_KEPT = 8
# Wall time, s, without a decision after which pictures are shown as they are.
_PATIENCE = 1.0
# No more than this share of a processor is taken, whatever the rate asks for.
_SHARE = 0.5
_GREEN, _AMBER, _BLUE, _RED = (0.2, 0.85, 0.3, 0.9), (1.0, 0.7, 0.1, 1.0), (0.3, 0.5, 1.0, 0.8), \
    (0.9, 0.2, 0.2, 0.9)


class Watch:
    """
    Listens, and draws at the set rate; ``publish_image`` and ``publish_markers`` may be None.

    :meth:`poll` is to be called a few times a second. :attr:`drawn` counts.
    """

    def __init__(self, node: Node, settings: VisualizationSettings,
                 publish_image: Callable[[Image], None] | None,
                 publish_markers: Callable[[Any], None] | None) -> None:
        torch.set_num_threads(1)
        self._node, self._settings = node, settings
        self._publish_image, self._publish_markers = publish_image, publish_markers
        self.drawn = 0
        self._warnings = Warnings(node)
        self._pictures: OrderedDict[int, Image] = OrderedDict()
        self._states: OrderedDict[int, VehicleState] = OrderedDict()
        self._controls: OrderedDict[int, Control] = OrderedDict()
        self._control = Control()
        self._state: VehicleState | None = None
        self._route: Route | None = None
        self._heights = np.zeros(0)
        self._view: View | None = None
        self._max_steer_angle: float | None = None
        self._source = DriverSource(node, settings.policy, self._warnings, self._on_decision,
                                    pictures=publish_image is not None)
        self._drew = self._marked = 0.0     # when last, steady clock
        self._cost = 0.0                    # of the last drawing, s
        self._decided = time.monotonic()
        self._subscriptions: list[Any] = []
        self._listen()

    def _listen(self) -> None:
        def listen(kind: type, topic: str, callback: Callable[..., None],
                   profile: Any = qos.STREAM) -> None:
            self._subscriptions.append(
                self._node.create_subscription(kind, topic, callback, profile))
        listen(Path, 'waypoints', self._on_route, qos.ROUTE)
        listen(CarlaEgoVehicleInfo, 'vehicle_info', self._on_vehicle, qos.INFO)
        listen(CarlaEgoVehicleControl, 'vehicle_control_cmd', self._on_command, qos.STREAM)
        listen(Odometry, 'odometry', self._on_odometry, qos.STREAM)
        if self._publish_image is not None:
            camera = self._settings.camera
            listen(CameraInfo, f'{camera}/camera_info', self._on_camera, qos.STREAM)
            listen(Image, f'{camera}/image', self._on_image, qos.STREAM)

    def destroy(self) -> None:
        """Listen no more."""
        self._source.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def poll(self) -> None:
        """Do what waits for no message."""
        self._source.poll()

    # What comes in

    def _on_route(self, message: Path) -> None:
        try:
            points = read_path(message)
            self._route = Route(points)
        except (MessageError, RouteError):
            self._route = None
        else:
            # The route's own points are fewer: repeated ones are left out.
            self._heights = np.interp(_arc(self._route.points), _arc(points),
                                      [pose.pose.position.z for pose in message.poses])
        self._source.set_route(self._route)

    def _on_vehicle(self, message: CarlaEgoVehicleInfo) -> None:
        angles = [wheel.max_steer_angle for wheel in message.wheels
                  if 0.0 < wheel.max_steer_angle < 0.5 * math.pi]
        self._max_steer_angle = max(angles, default=None)

    def _on_command(self, message: CarlaEgoVehicleControl) -> None:
        try:
            self._control = read_control(message)
        except MessageError:
            return
        _keep(self._controls, read_stamp(message.header.stamp), self._control)

    def _on_camera(self, message: CameraInfo) -> None:
        mount, k = self._settings.mount, message.k
        usable = all(map(math.isfinite, k)) and k[0] > 0.0 and k[4] > 0.0
        self._view = View(k[0], k[4], k[2], k[5], mount.x, mount.y, mount.z) if usable else None
        if not usable:
            self._warnings.warn('camera_info', 'not used: its K is no matrix of a camera')

    def _on_odometry(self, message: Odometry) -> None:
        try:
            state = read_odometry(message)
        except MessageError as error:
            self._warnings.warn('odometry', f'not used: {error}')
            return
        self._state = state
        _keep(self._states, state.stamp, state)
        self._source.add_state(state)
        if self._publish_markers is not None \
                and time.monotonic() - self._marked >= 1.0 / self._settings.rate:
            self._marked = time.monotonic()
            self._publish_markers(make_markers(self._markers(state)))
            self.drawn += 1

    def _on_image(self, message: Image) -> None:
        stamp = read_stamp(message.header.stamp)
        try:
            picture = read_image(message)
        except MessageError as error:
            self._warnings.warn('image', f'not used: {error}')
            return
        _keep(self._pictures, stamp, message)
        self._source.add_picture(stamp, Picture(picture, message.encoding))
        if time.monotonic() - self._decided > _PATIENCE:
            self._draw(stamp, None)

    def _on_decision(self, decision: Decision) -> None:
        self._decided = time.monotonic()
        self._draw(decision.stamp, decision)

    # What goes out

    def _draw(self, stamp: int, decision: Decision | None) -> None:
        """Publish the picture of ``stamp``, if it is here and the next one is due."""
        begun = time.monotonic()
        message = self._pictures.get(stamp)
        state = self._states.get(stamp, self._state)
        if self._publish_image is None or message is None \
                or begun - self._drew < max(1.0 / self._settings.rate, self._cost / _SHARE):
            return
        self._drew = begun
        looks, wish, note = None, None, self._source.note
        if decision is not None:
            looks, wish, note = self._think(decision)
        scene = self._scene(stamp, state, decision, wish, note)
        frame = annotate(read_image(message), message.encoding, self._view, scene,
                         decision.observation['image'] if decision else None, looks)
        self._publish_image(make_image(frame, 'bgr8', stamp, message.header.frame_id))
        self.drawn += 1
        self._cost = time.monotonic() - begun

    def _think(self, decision: Decision) -> tuple[np.ndarray | None, Control | None, str]:
        """Return where the policy looks, what it would command, and a line about both."""
        policy = self._source.policy
        if policy.info is None:
            return None, None, self._source.note
        note = f'weights of update {policy.info.total_it}'
        try:
            wish = control_from_action(policy.act(decision.observation), self._source.task.action)
            looks = attention(policy, decision.observation) if self._settings.attention else None
        except (ValueError, RuntimeError) as error:
            return None, None, str(error)
        if looks is not None:
            note += f', blurring a spot moves the action by up to {looks.max():.2f}'
        return looks, wish, note

    def _scene(self, stamp: int, state: VehicleState | None, decision: Decision | None,
               wish: Control | None, note: str) -> Scene:
        control = self._controls.get(stamp, self._control)
        title = decision.title if decision is not None else 'no decision'
        state = state or VehicleState(0, Pose(0.0, 0.0, 0.0, 0.0), (0.0, 0.0), 0.0)
        ahead, completion = np.zeros((0, 3)), 0.0
        if self._route is not None:
            along = self._route.locate(state.pose).distance
            ahead = points_ahead(self._route.points, self._heights, along)
            completion = along / self._route.length
        return Scene(state.pose, ahead, control, state.speed, completion,
                     decision.terms if decision is not None else {}, title, note,
                     self._commanded_path(state, control), wish)

    def _commanded_path(self, state: VehicleState, control: Control) -> np.ndarray:
        """Return where the command leads at the present speed, as far as the vehicle is known."""
        rate = state.yaw_rate if self._max_steer_angle is None else steered_yaw_rate(
            control.steer, state.velocity[0], self._max_steer_angle, self._settings.wheelbase)
        return predicted_path(state.pose, state.velocity[0], rate, self._settings.prediction)

    def _markers(self, state: VehicleState) -> list[Any]:
        """Return route, the points of it that the policy sees, and where the vehicle goes."""
        route, seen = np.zeros((0, 3)), np.zeros((0, 3))
        if self._route is not None:
            route = np.column_stack([self._route.points, self._heights])
            along = self._route.locate(state.pose).distance
            seen = points_ahead(
                self._route.points, self._heights, along + POINT_SPACING,
                (SEEN - 0.9) * POINT_SPACING)[::round(POINT_SPACING / 0.5)]
        moved = predicted_path(state.pose, state.velocity[0], state.yaw_rate,
                               self._settings.prediction)
        above = np.array([0.0, 0.0, 0.1])
        return [make_marker('route', LINE, state.stamp, route + above, 0.3, _GREEN),
                make_marker('route_seen', POINTS, state.stamp, seen + above, 0.7, _GREEN),
                make_marker('command', LINE, state.stamp,
                            self._commanded_path(state, self._control) + 2.0 * above, 0.25,
                            _AMBER),
                make_marker('motion', LINE, state.stamp, moved + 2.0 * above, 0.15, _BLUE),
                make_arrow('vehicle', state.stamp, state.pose, 2.5, _RED)]


def _keep(kept: OrderedDict, stamp: int, item: Any) -> None:
    kept[stamp] = item
    while len(kept) > _KEPT:
        kept.popitem(last=False)


def _arc(points: np.ndarray) -> np.ndarray:
    """Return the arc length at each point (N, 2), (N,), m."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
