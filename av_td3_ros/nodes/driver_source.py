# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How another node comes to know what a policy node sees, and with which policy it drives."""

from __future__ import annotations

import json
import time
from typing import Any, Callable

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from std_msgs.msg import String, UInt8MultiArray

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import TaskSettings, trained_task
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy
from av_td3_ros.learning.policy_file import policy_config
from av_td3_ros.nodes.paths import expand
from av_td3_ros.nodes.trainer_link import TrainerLink
from av_td3_ros.ros import experience, qos
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.settings import build, declarations, SettingsError
from av_td3_ros.visualization.watcher import Decision, Shadow, Told

_TASK = tuple(declaration.name for declaration in declarations(TaskSettings))
# For loads by service, which nobody asks this node for.
_PATIENCE = 1.0
# Wall time, s, after which a policy node is asked anew: one that ended meanwhile never answers.
_ANSWER = 5.0
_WANTED = ('training', 'checkpoint', 'trainer', *_TASK)


class DriverSource:
    """
    A policy node seen from outside: once it has told its parameters, it is left alone.

    policy: the node's name, relative to the namespace. ``decided`` is called with each decision.
    Without ``pictures`` nothing is listened to or asked for. :attr:`policy` has no weights until
    they are known, :attr:`note` says what is missing.
    """

    def __init__(self, node: Node, policy: str, warnings: Warnings,
                 decided: Callable[[Decision], None], *, pictures: bool) -> None:
        self._node, self._warnings, self._decided = node, warnings, decided
        self.note = ''
        self.task = TaskSettings()
        self._shadow: Shadow | None = None
        self._told: Told | None = None
        self._link: TrainerLink | None = None
        self._stream: int | None = None
        self._route: Route | None = None
        self._subscriptions: list[Any] = []
        self._client = self._future = None
        self._asked = 0.0       # when last, steady clock
        if pictures:
            name = node.resolve_service_name(f'{policy}/get_parameters')
            self._client = node.create_client(GetParameters, name)
            self.note = f'no policy node at {name.rsplit("/", 1)[0]}'

    def destroy(self) -> None:
        """Take every endpoint away."""
        if self._client is not None:
            self._node.destroy_client(self._client)
        if self._link is not None:
            self._link.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    @property
    def policy(self) -> Policy:
        """Return the policy that the vehicle drives with, as far as it is known."""
        return Policy() if self._link is None else self._link.policy

    def poll(self) -> None:
        """Ask the policy node, once it is there; take its answer."""
        if self._client is None or self._link is not None:
            return
        if self._future is None:
            if self._client.service_is_ready():
                self._future = self._client.call_async(GetParameters.Request(names=list(_WANTED)))
                self._asked = time.monotonic()
        elif self._future.done():
            values = [parameter_value_to_python(value) for value in self._future.result().values]
            self._future = None
            if len(values) == len(_WANTED):
                self._configure(dict(zip(_WANTED, values)))
            else:
                # rclpy tells nothing where it lacks one of them.
                self.note = f'{self._client.srv_name} does not tell what a policy node has'
                self._warnings.warn('parameters', self.note)
        elif time.monotonic() - self._asked > _ANSWER:
            self._client.remove_pending_request(self._future)
            self._future = None

    def set_route(self, route: Route | None) -> None:
        """Take the route; None where there is none that can be used."""
        self._route = route
        if self._shadow is not None:
            self._shadow.set_route(route)

    def add_picture(self, stamp: int, picture: Picture) -> None:
        """Take a picture, if decisions are made out from those."""
        if self._shadow is not None:
            for answer in self._shadow.add_picture(stamp, picture):
                self._decide(self._shadow.observe(answer))

    def add_state(self, state: VehicleState) -> None:
        """Take an odometry, as :meth:`add_picture` takes pictures."""
        if self._shadow is not None:
            for answer in self._shadow.add_state(state):
                self._decide(self._shadow.observe(answer))

    def _decide(self, decision: Decision | None) -> None:
        if decision is not None:
            self._decided(decision)

    def _configure(self, values: dict[str, Any]) -> None:
        """Watch the policy node as its parameters say that it drives."""
        loaded, self.note = Policy(), 'no weights yet'
        try:
            self.task = build(TaskSettings, {name: values[name] for name in _TASK})
            if values['checkpoint']:
                path = expand('checkpoint', values['checkpoint'])
                loaded.load_checkpoint(path)
                self.task = trained_task(policy_config(path), self.task)
        except (CheckpointError, SettingsError) as error:
            # On another host than the policy node's, its file is not at hand.
            self.note = f'weights not at hand: {error}'
            self._warnings.warn('checkpoint', self.note)
        trainer = values['trainer']
        self._link = TrainerLink(self._node, trainer, loaded, self._warnings, training=False,
                                 heard=lambda: None, patience=_PATIENCE)
        if not values['training']:
            self._shadow = Shadow(self.task)
            self._shadow.set_route(self._route)
            return
        self._told = Told(self.task)
        self._subscriptions = [
            self._node.create_subscription(
                UInt8MultiArray, f'{trainer}/experience', self._on_experience, qos.STREAM),
            self._node.create_subscription(String, f'{trainer}/task', self._on_task, qos.TASK)]

    def _on_task(self, message: String) -> None:
        """Find out which stream of experience is this vehicle's."""
        try:
            task = json.loads(message.data)
            if task['role'] == self._node.get_namespace().rsplit('/', 1)[-1]:
                self._stream = int(task['stream'])
        except (ValueError, KeyError, TypeError):
            return

    def _on_experience(self, message: UInt8MultiArray) -> None:
        try:
            item = experience.decode(message.data)
        except experience.ExperienceError:
            return
        if item.stream == self._stream and self._told is not None:
            self._decide(self._told.take(item.transition))
