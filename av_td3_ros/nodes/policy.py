# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The policy node: drives a vehicle with a TD3 policy, and gathers experience while training.

Thin wiring around :class:`~av_td3_ros.driving.driver.Driver`: image and odometry of one stamp
come in, exactly one command with the image's stamp goes out.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from carla_msgs.msg import CarlaCollisionEvent, CarlaStatus, CarlaWorldInfo
from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import Image
import torch

from av_td3_ros.driving.driver import Driver, Phase, STOP, Transition
from av_td3_ros.driving.exploration import Exploration
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.pairing import Answer
from av_td3_ros.driving.route import Route, RouteError
from av_td3_ros.driving.safety.safety import Safety
from av_td3_ros.driving.safety.watchdogs import fingerprint
from av_td3_ros.driving.task import DrivingTask
from av_td3_ros.driving.ticks import Picture, Ticks
from av_td3_ros.learning import fast
from av_td3_ros.learning.policy import Policy
from av_td3_ros.nodes.account import Account, report_gate, report_watchdogs
from av_td3_ros.nodes.bridge_control import BridgeControl
from av_td3_ros.nodes.guard_link import GuardLink
from av_td3_ros.nodes.lockstep import Lockstep
from av_td3_ros.nodes.managed import ManagedNode
from av_td3_ros.nodes.plans import stream_number
from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.nodes.preparation import prepare
from av_td3_ros.nodes.safe_commands import SafeCommands
from av_td3_ros.nodes.town_reader import TownReader
from av_td3_ros.nodes.trainer_link import TrainerLink
from av_td3_ros.ros import qos
from av_td3_ros.ros.diagnostics import Diagnostics, ERROR, OK, Report, WARN
from av_td3_ros.ros.images import read_image
from av_td3_ros.ros.messages import MessageError, read_odometry, read_path, read_stamp
from av_td3_ros.ros.middleware import reserve_no_room_for_images
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run
from av_td3_ros.ros.relay import TriggerRelay
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.settings import as_dict, SettingsError

_PICTURES = 64 * 2**20      # bytes that pictures and their copies take in a tick, and then some


class PolicyNode(ManagedNode):
    """Managed node in the vehicle's namespace; all its topic names are relative to it."""

    def __init__(self) -> None:
        super().__init__('av_td3_policy', namespace='/carla/ego_vehicle')
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
        try:
            prepared = prepare(s, self.get_logger())
        except SettingsError as error:
            self._failure = str(error)
            self.get_logger().error(self._failure)
            return TransitionCallbackReturn.FAILURE
        self._loaded, self._task_settings, self._plans = prepared
        self._account = Account(s.command_deadline)
        self._safety = Safety(s.safety, time.monotonic(), training=s.training,
                              lockstep=s.training and s.lockstep)
        self._make_driver(None)
        self._make_endpoints()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to drive, once the guard is there where one is expected."""
        self._trainer.describe_task(self.role, {
            **as_dict(self._task_settings), 'exploration': as_dict(self.settings.exploration)})
        result = super().on_activate(state)
        self._active = result == TransitionCallbackReturn.SUCCESS
        self._commands.start()
        self._guard.start()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, then fall silent; an open episode is abandoned."""
        self.leave()
        return super().on_deactivate(state)

    def leave(self) -> None:
        """Brake if active, and see that it is heard."""
        if not self._active:
            return
        self._active = False
        self._commands.farewell(self._ticks.pairer.last)
        self._ticks.start_anew()

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
        s, made = self.settings, self.made
        self._commands = SafeCommands(self, self._safety, self._account, self._warnings,
                                      drop=self._ticks.start_anew, told=self._tell_now,
                                      shadow=s.shadow)
        made.append(self._commands.destroy)
        # What is ready together is taken in this order: the picture, which brings the decision,
        # comes after all that was sent before it.
        self.listen(CarlaStatus, '/carla/status', self._on_status, qos.STREAM)
        self.listen(ClockMsg, '/clock', self._on_clock, qos.STREAM)
        self.listen(Path, 'waypoints', self._on_route, qos.ROUTE)
        self.listen(CarlaCollisionEvent, 'collision', self._on_collision, qos.STREAM)
        self.listen(Odometry, 'odometry', self._on_odometry, qos.STREAM)
        self.listen(Image, f'{s.camera}/image', self._on_image, qos.PICTURES)
        self._trainer = TrainerLink(self, s.trainer, self._loaded, self._warnings,
                                    training=s.training, heard=self._continue,
                                    patience=s.service_timeout)
        made.append(self._trainer.destroy)
        self._bridge = BridgeControl(self, training=s.training)
        made.append(self._bridge.destroy)
        self._lockstep = Lockstep(self._trainer, self._bridge, self._warnings, s.lockstep_timeout,
                                  act=self._act_now, answer=self._answer)
        if s.training:
            self._town = TownReader(self, s, self.role, self._warnings, self._on_town)
            self.listen(CarlaWorldInfo, '/carla/world_info', self._on_world, qos.INFO)
            if s.town:
                self._town.read(None)
        for name, around in (('save_checkpoint', None),
                             ('load_checkpoint', self._trainer.await_loaded)):
            relay = TriggerRelay(self, name, s.trainer, s.service_timeout,
                                 **({} if around is None else {'around': around}))
            made.append(relay.destroy)
        self._guard = GuardLink(self, s.guard, self._warnings, expected=s.expect_guard,
                                state=self._state, heard=self._on_guard)
        made.append(self._guard.destroy)
        self._diagnostics = Diagnostics(self, {
            'driving': self._report_driving, 'weights': self._trainer.report_weights,
            'experience': self._trainer.report_experience,
            'watchdogs': lambda: report_watchdogs(self._safety, active=self._commanding),
            'gate': lambda: report_gate(self._safety, active=self._commanding),
            'guard': self._guard.report}, hardware_id=self.role)
        made.append(self._diagnostics.destroy)
        timer = self.create_timer(0.02, self._on_timer, clock=self._steady)
        made.append(lambda: self.destroy_timer(timer))

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
        self._account.counts['images'] += 1
        self._arrival = time.monotonic()
        self._safety.watchdogs.add_image(stamp, fingerprint(picture), self._arrival)
        if self._commands.may_drive(stamp):
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
        self._safety.watchdogs.add_odometry(state, time.monotonic())
        if self._commands.may_drive(state.stamp):
            for answer in self._ticks.add_state(state):
                self._answer(answer)

    def _on_clock(self, message: ClockMsg) -> None:
        if self._active:
            self._safety.watchdogs.add_clock(read_stamp(message.clock), time.monotonic())
            self._commands.heed()

    def _on_status(self, message: CarlaStatus) -> None:
        self._safety.watchdogs.simulation(
            synchronous=message.synchronous_mode, running=message.synchronous_mode_running,
            now=time.monotonic())

    def _on_guard(self, reason: str) -> None:
        self._safety.watchdogs.guard(reason)

    def _on_route(self, message: Path) -> None:
        try:
            self.driver.set_route(Route(read_path(message)))
        except (MessageError, RouteError) as error:
            self._reject('route', error)
            self.driver.set_route(None)
        self._safety.watchdogs.routed = self.driver.route is not None

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
        self._lockstep.forget()
        self._trainer.send(transitions)

    # Output

    def _answer(self, answer: Answer) -> None:
        """Give a picture its one command."""
        self._lockstep.new_picture()
        self._commands.answer(answer.stamp, answer.image.note)
        if answer.state is not None and not self._prepared:
            if self.settings.training and self.settings.lockstep:
                self._lockstep.hold(answer)
            else:
                self._commands.publish(STOP)
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
        Whether a drive can begin.

        The guard is there where one is expected; while training, there are routes; and in
        lockstep, where what is done may not depend on when the nodes find each other, an episode
        begins once the training node listens and is heard.
        """
        s = self.settings
        if self.driver.phase is Phase.DRIVING:
            return True
        if not self._guard.ready(s.guard_timeout):
            return False
        return not s.training or self._plans is not None and (
            not s.lockstep or self._trainer.ready)

    def _act_now(self) -> None:
        trainer = self._trainer
        progress = trainer.own_progress if self.settings.lockstep else trainer.progress
        learned, random = (0, False) if progress is None else (
            progress.transitions, not progress.learning and self.settings.explore)
        self._commands.publish(self.driver.decide(learned, random))
        result = self.driver.result
        if result is not None and result is not self._account.result:
            self._account.result = result
            self.get_logger().info(
                f'episode {result.episode}: {result.ending.value} after {result.distance:.0f} m, '
                f'{100 * result.completion:.0f} % of the route, {result.duration:.1f} s, return '
                f'{result.returned:.2f}')

    def _act(self, observation: Observation) -> np.ndarray:
        policy = self._trainer.policy
        if policy.info is None:
            self._warnings.warn('weights', 'no weights yet: braking')
            return np.array([0.0, -1.0], dtype=np.float32)
        try:
            return self._account.timed(policy.act, observation)
        except (ValueError, RuntimeError) as error:
            self._warnings.warn('policy', f'the policy gives no action, braking: {error}')
            return np.full(2, np.nan, dtype=np.float32)

    def _plan(self, episode: int) -> Any:
        assert self._plans is not None
        return self._plans(episode)

    # The learner

    def _continue(self) -> None:
        if self._active:
            self._lockstep.heard()

    def _ready(self) -> bool:
        return self._prepared and self._bridge.heard and self._commands.heard

    def _on_timer(self) -> None:
        if not self._active:
            return
        self._safety.watchdogs.poll(time.monotonic())
        self._commands.heed()
        if self.settings.training and self.settings.lockstep:
            self._lockstep.poll(self._ready)
        if self._ticks.pairer.waiting is not None \
                and time.monotonic() - self._arrival > self.settings.pair_timeout:
            for answer in self._ticks.give_up():
                self._answer(answer)

    # Reports

    @property
    def _commanding(self) -> bool:
        return self._active and not self.settings.shadow

    def _reject(self, what: str, reason: Exception) -> None:
        self._account.counts['rejected'] += 1
        self._warnings.warn(what, f'not used: {reason}')

    def _tell_now(self) -> None:
        """Say at once what changed."""
        self._diagnostics.publish()
        self._guard.tell()

    def _state(self) -> tuple[bytes, str]:
        """Return what the guard is told of this node."""
        if not self._active:
            return WARN, 'inactive'
        if not self._commanding:
            return OK, 'in shadow mode'
        fault = self._safety.fault
        return (OK, 'driving') if fault is None else (ERROR, fault.reason)

    def _report_driving(self) -> Report:
        self._account.held = (
            'the simulation is held until routes, training node and guard are there'
            if self._lockstep.holds else 'waiting for the guard'
            if self._active and not self._guard.ready(self.settings.guard_timeout) else '')
        return self._account.driving(self.driver, active=self._active, others={
            'superseded': self._lockstep.superseded, 'pauses': self._lockstep.pauses,
            'unpaired': self._ticks.pairer.unpaired})


def main(args: Any = None) -> int:
    """Run the node."""
    # Each of 1920x1080 is 8 MB, freed and wanted again: half of what its answer took.
    fast.keep_memory(_PICTURES)
    reserve_no_room_for_images()
    return run(PolicyNode, args=args, threads=6)


if __name__ == '__main__':
    sys.exit(main())
