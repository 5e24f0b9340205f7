# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The policy node: drives a vehicle with a TD3 policy, and gathers experience while training.

Thin wiring around :class:`~av_td3_ros.driving.driver.Driver`: image and odometry of one stamp
come in, exactly one command with the image's stamp goes out.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable

from carla_msgs.msg import CarlaCollisionEvent, CarlaEgoVehicleControl, CarlaWorldInfo
from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import NameValidationException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
import torch

from av_td3_ros.driving.driver import Driver, Phase, STOP, Transition
from av_td3_ros.driving.exploration import Exploration
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.pairing import Answer
from av_td3_ros.driving.route import Route, RouteError
from av_td3_ros.driving.task import DrivingTask, trained_task
from av_td3_ros.driving.ticks import Picture, Ticks
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy, PolicyRefused
from av_td3_ros.learning.policy_file import policy_config
from av_td3_ros.nodes.bridge_control import BridgeControl
from av_td3_ros.nodes.lockstep import Lockstep
from av_td3_ros.nodes.plans import file_plans, stream_number
from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.nodes.town_reader import TownReader
from av_td3_ros.nodes.trainer_link import check_fit, TrainerLink
from av_td3_ros.ros import qos, weights
from av_td3_ros.ros.compatibility import refuse_wrong_transitions
from av_td3_ros.ros.diagnostics import Diagnostics, OK, Report, WARN
from av_td3_ros.ros.images import read_image
from av_td3_ros.ros.messages import (make_control, MessageError, read_odometry, read_path,
                                     read_stamp)
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run
from av_td3_ros.ros.relay import TriggerRelay
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.settings import as_dict, SettingsError


class PolicyNode(LifecycleNode):
    """Managed node in the vehicle's namespace; all its topic names are relative to it."""

    def __init__(self) -> None:
        super().__init__('av_td3_policy', namespace='/carla/ego_vehicle')
        refuse_wrong_transitions(self)
        self.settings = declare(self, PolicySettings)
        torch.set_num_threads(self.settings.threads)
        self.role = self.get_namespace().rsplit('/', 1)[-1]
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._active = False
        self._warnings = Warnings(self)
        self._loaded = Policy()
        if self.settings.autostart:
            if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
                raise SettingsError('the policy node cannot be configured: ' + self._failure)
            self.trigger_activate()

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights and make every endpoint; nothing is published yet."""
        s = self.settings
        self._failure = ''
        self._plans = None
        try:
            self._task_settings, self._loaded = s.task, Policy()
            if s.checkpoint:
                info = self._loaded.load_checkpoint(s.checkpoint)
                check_fit(self._loaded)
                self._task_settings = trained_task(policy_config(s.checkpoint), s.task)
                self.get_logger().info(f'drives with {s.checkpoint}, iteration {info.total_it}')
                if self._task_settings != s.task:
                    self.get_logger().info(
                        'observation and action are as the checkpoint was trained, not as in the '
                        'parameters')
            if s.routes_file:
                self._plans = file_plans(s.routes_file)
            if s.training and s.town and not os.path.isfile(s.town):
                raise SettingsError(f'town: {s.town} is no file')
            for name in (s.trainer, s.camera):
                validate_topic_name(name)
        except (CheckpointError, PolicyRefused, SettingsError, NameValidationException) as error:
            self._failure = ' '.join(str(error).split())
            self.get_logger().error(self._failure)
            return TransitionCallbackReturn.FAILURE
        self._counts = {'commands': 0, 'rejected': 0}
        self._result: Any = None
        self._latency: list[float] = []
        self._make_driver(None)
        self._make_endpoints()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to drive."""
        self._trainer.describe_task(self.role, {
            **as_dict(self._task_settings), 'exploration': as_dict(self.settings.exploration)})
        result = super().on_activate(state)
        self._active = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, then fall silent; an open episode is abandoned."""
        self._brake()
        self._active = False
        self._ticks.start_anew()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take every endpoint away again."""
        self._destroy_endpoints()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to where nothing is configured."""
        self.destroy_node_endpoints()
        self._destroy_endpoints()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake where it drives, and end."""
        self.destroy_node_endpoints()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Brake before the publishers are gone."""
        self.destroy_node_endpoints()
        super().destroy_node()

    def destroy_node_endpoints(self) -> None:
        """Brake if active; safe to call at any time."""
        if self._active:
            self._brake()
            self._bridge.resume()
            self._active = False

    def _make_driver(self, on_road: Any) -> None:
        s = self.settings
        exploration = None
        if s.training and s.explore:
            exploration = Exploration(s.exploration, s.seed, stream_number(self.role))
        self.driver = Driver(
            DrivingTask(self._task_settings, on_road), self._act, exploration=exploration,
            plans=self._plan if s.training else None)
        self._ticks = Ticks(self.driver, self._restarted)

    def _make_endpoints(self) -> None:
        s = self.settings
        listen = self.create_subscription
        self._command = self.create_lifecycle_publisher(
            CarlaEgoVehicleControl, 'vehicle_control_cmd', qos.STREAM)
        # What is ready together is taken in this order: the picture, which brings the decision,
        # comes after all that was sent before it.
        self._subscriptions_made = [
            listen(Path, 'waypoints', self._on_route, qos.ROUTE),
            listen(CarlaCollisionEvent, 'collision', self._on_collision, qos.STREAM),
            listen(Odometry, 'odometry', self._on_odometry, qos.STREAM),
            listen(Image, f'{s.camera}/image', self._on_image, qos.STREAM)]
        self._trainer = TrainerLink(self, s.trainer, self._loaded, self._warnings,
                                    training=s.training, heard=self._continue)
        self._bridge = BridgeControl(self, training=s.training)
        self._lockstep = Lockstep(self._trainer, self._bridge, self._warnings, s.lockstep_timeout,
                                  act=self._act_now, answer=self._answer)
        if s.training:
            self._town = TownReader(self, s, self.role, self._warnings, self._on_town)
            self._subscriptions_made.append(
                listen(CarlaWorldInfo, '/carla/world_info', self._on_world, qos.INFO))
            if s.town:
                self._town.read(None)
        self._relays = [TriggerRelay(self, 'save_checkpoint', s.trainer, s.service_timeout),
                        TriggerRelay(self, 'load_checkpoint', s.trainer, s.service_timeout,
                                     around=self._await_loaded)]
        self._diagnostics = Diagnostics(self, {
            'driving': self._report_driving, 'weights': self._trainer.report_weights,
            'experience': self._trainer.report_experience}, hardware_id=self.role)
        self._timer = self.create_timer(0.02, self._on_timer, clock=self._steady)

    def _destroy_endpoints(self) -> None:
        for relay in self._relays:
            relay.destroy()
        self._trainer.destroy()
        self._bridge.destroy()
        self._diagnostics.destroy()
        self.destroy_timer(self._timer)
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self.destroy_lifecycle_publisher(self._command)

    # Input

    def _on_image(self, message: Image) -> None:
        if not self._active:
            return
        stamp = read_stamp(message.header.stamp)
        try:
            picture = read_image(message)
        except MessageError as error:
            self._reject('image', error)
            return
        self._arrival = time.monotonic()
        for answer in self._ticks.add_picture(
                stamp, Picture(picture, message.encoding, self._arrival)):
            self._answer(answer)

    def _on_odometry(self, message: Odometry) -> None:
        if not self._active:
            return
        try:
            state = read_odometry(message)
        except MessageError as error:
            self._reject('odometry', error)
            return
        for answer in self._ticks.add_state(state):
            self._answer(answer)

    def _on_route(self, message: Path) -> None:
        try:
            self.driver.set_route(Route(read_path(message)))
        except (MessageError, RouteError) as error:
            self._reject('route', error)
            self.driver.set_route(None)

    def _on_collision(self, message: CarlaCollisionEvent) -> None:
        self.driver.set_collided()

    def _on_world(self, message: CarlaWorldInfo) -> None:
        if not self.settings.town:
            self._town.read(message)

    def _on_town(self, on_road: Any, plans: Any) -> None:
        self.driver.task.on_road = on_road
        if self._plans is None:
            self._plans = plans

    def _restarted(self, transitions: list[Transition]) -> None:
        """Forget everything about the ticks so far, as the driver did."""
        if self._active:
            self._warnings.warn('time', 'simulation time was set back: the episode is abandoned')
        self._lockstep.forget()
        self._trainer.send(transitions)

    # Output

    def _answer(self, answer: Answer) -> None:
        """Give a picture its one command."""
        self._lockstep.new_picture()
        self._answering = answer.stamp, answer.image.note
        if self.settings.training and answer.state is not None and not self._prepared:
            if self.settings.lockstep:
                self._lockstep.hold(answer)
            else:
                self._publish(STOP)
            return
        try:
            transitions, request = self._ticks.observe(answer)
        except ImageError as error:
            self._reject('image', error)
            return
        self._trainer.send(transitions)
        self._bridge.request(request, self.driver.plan, answer.stamp)
        if transitions and answer.state is not None and self.settings.lockstep \
                and self._trainer.connected:
            self._lockstep.await_learner()
        else:
            self._act_now()

    @property
    def _prepared(self) -> bool:
        """
        Whether training episodes can be driven.

        There are routes; and in lockstep, where what is done may not depend on when the nodes find
        each other, an episode begins once the training node listens and is heard.
        """
        if self._plans is None:
            return False
        return (not self.settings.lockstep or self.driver.phase is Phase.DRIVING
                or self._trainer.ready)

    def _act_now(self) -> None:
        trainer = self._trainer
        progress = trainer.own_progress if self.settings.lockstep else trainer.progress
        learned, random = (0, False) if progress is None else (
            progress.transitions, not progress.learning and self.settings.explore)
        self._publish(self.driver.decide(learned, random))
        if self.driver.result is not None and self.driver.result is not self._result:
            self._result = result = self.driver.result
            self.get_logger().info(
                f'episode {result.episode}: {result.ending.value} after {result.distance:.0f} m, '
                f'{100 * result.completion:.0f} % of the route, {result.duration:.1f} s, return '
                f'{result.returned:.2f}')

    def _act(self, observation: Observation) -> np.ndarray:
        policy = self._trainer.policy
        if policy.info is None:
            self._warnings.warn('weights', 'no weights yet: braking')
            return np.array([0.0, -1.0], dtype=np.float32)
        return policy.act(observation)

    def _publish(self, control: Any) -> None:
        stamp, arrival = self._answering
        self._command.publish(make_control(control, stamp))
        self._counts['commands'] += 1
        self._latency.append(time.monotonic() - arrival)

    def _brake(self) -> None:
        stamp = max(self._ticks.pairer.last, 0)
        self._command.publish(make_control(STOP, stamp))

    def _plan(self, episode: int) -> Any:
        assert self._plans is not None
        return self._plans(episode)

    # The learner

    def _continue(self) -> None:
        if self._active:
            self._lockstep.heard()

    def _ready(self) -> bool:
        return (self._prepared and self._bridge.heard
                and self._command.get_subscription_count() > 0)

    def _on_timer(self) -> None:
        if not self._active:
            return
        if self.settings.training and self.settings.lockstep:
            self._lockstep.poll(self._ready)
        if self._ticks.pairer.waiting is not None \
                and time.monotonic() - self._arrival > self.settings.pair_timeout:
            for answer in self._ticks.give_up():
                self._answer(answer)

    def _await_loaded(self, call: Callable[[], Trigger.Response]) -> Trigger.Response:
        """Answer a load only once the vehicle drives with the weights that were loaded."""
        begun = time.monotonic()
        answer = call()
        loaded = weights.version_in(answer.message)
        while answer.success and self._trainer.version < loaded:
            if time.monotonic() - begun > self.settings.service_timeout:
                answer.success = False
                answer.message += '; but its weights have not reached the policy node'
            time.sleep(0.01)
        return answer

    # Reports

    def _reject(self, what: str, reason: Exception) -> None:
        self._counts['rejected'] += 1
        self._warnings.warn(what, f'not used: {reason}')

    def _report_driving(self) -> Report:
        latency, self._latency = self._latency, []
        values: dict[str, Any] = {'phase': self.driver.phase.value, 'episode': self.driver.episode,
                                  **self._counts, 'superseded': self._lockstep.superseded,
                                  'pauses': self._lockstep.pauses,
                                  'unpaired': self._ticks.pairer.unpaired}
        if latency:
            p50, p99 = np.percentile(latency, [50, 99]) * 1e3
            values.update(latency_p50_ms=float(p50), latency_p99_ms=float(p99))
        if self._result is not None:
            values.update(last_ending=self._result.ending.value,
                          last_completion=self._result.completion,
                          last_return=self._result.returned)
        if not self._active:
            return Report(WARN, 'inactive', values)
        if self._lockstep.holds:
            return Report(WARN, 'the simulation is held until routes and training node are there',
                          values)
        if self.driver.phase in (Phase.DRIVING, Phase.STARTING, Phase.ARRIVED):
            return Report(OK, self.driver.phase.value, values)
        return Report(WARN, self.driver.reason, values)


def main(args: Any = None) -> int:
    """Run the node."""
    return run(PolicyNode, args=args, threads=6)


if __name__ == '__main__':
    sys.exit(main())
