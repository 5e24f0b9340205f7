# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The player: sends a bag to a policy node in shadow mode, and judges what it answers.

The bag takes the bridge's place: its messages go to the vehicle's topics, with ``/clock`` by their
stamps. Recorded commands go to ``recorded/vehicle_control_cmd``, never to a vehicle. Where another
node publishes the vehicle's pictures, odometry or route, the player ends with an error, before it
plays or, within a second or so, while it does; it looks at no other topic. ``~/pause`` pauses, the
parameter ``rate`` may be changed meanwhile. At the bag's end the node writes its report and ends.
"""

from __future__ import annotations

from collections import defaultdict
import os
import shutil
import signal
import sys
import threading
import time
from typing import Any, Callable

from carla_msgs.msg import (CarlaCollisionEvent, CarlaEgoVehicleControl, CarlaEgoVehicleStatus,
                            CarlaLaneInvasionEvent, CarlaStatus)
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from av_td3_ros.driving.action import action_from_control, ActionSettings
from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.evaluation.assessment import choose_topics, driven_route, Options
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.evaluate_bag import evaluate, Folder, parse_arguments
from av_td3_ros.evaluation.playback import Playback, Sent
from av_td3_ros.evaluation.stock import complaints
from av_td3_ros.evaluation.storage import BagError
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.nodes.pace import Pace
from av_td3_ros.nodes.paths import expand
from av_td3_ros.nodes.player_settings import PlayerSettings
from av_td3_ros.ros import qos
from av_td3_ros.ros.images import make_image
from av_td3_ros.ros.messages import (make_odometry, make_path, make_stamp, MessageError,
                                     read_control, read_stamp)
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run
from av_td3_ros.settings import SettingsError

_DISCOVERY = 2.0    # s of wall time in which others that publish are told of, before it plays
_LOOK = 1.0         # s of wall time between two looks for others who publish
_UNKNOWN = '_NODE_NAMESPACE_UNKNOWN_/_NODE_NAME_UNKNOWN_'     # of rmw_dds_common
_PLAIN = ActionSettings()


class _Ended(Exception):
    """The node is to end before the bag does."""


class PlayerNode(Node):
    """Plays in a thread of its own, so that it can wait; callbacks only take note."""

    def __init__(self) -> None:
        super().__init__('av_td3_player')
        self.settings = declare(self, PlayerSettings, self._on_settings)
        s = self.settings
        self._changed = threading.Condition()
        self._pace = Pace(s.rate, paused=s.start_paused)
        self._ending = False
        self._failure: str | None = None
        self._heard: dict[int, list[np.ndarray]] = defaultdict(list)
        self._expected: dict[int, int] = defaultdict(int)
        self._now = -1
        self._looked = 0.0
        self.sent, self.missed = 0, 0
        self._open()
        self._make_endpoints()
        self._publish_status()
        self._thread = threading.Thread(target=self._run, name='player', daemon=True)
        self._thread.start()

    # Start and end

    def _open(self) -> None:
        s = self.settings
        try:
            if not s.bag:
                raise BagError('bag: give the folder of a bag to be played')
            self._bag = Bag(expand('bag', s.bag))
            role = s.role_name if any(topic.name.startswith(f'/carla/{s.role_name}/')
                                      for topic in self._bag.topics) else ''
            self._topics = [pair.strip() for pair in s.topics.split(',') if pair.strip()]
            if not all(pair.partition('=')[2] for pair in self._topics):
                raise BagError(f'topics: {s.topics!r} is not KIND=NAME, with commas between')
            self._options = Options(role, dict(pair.split('=', 1) for pair in self._topics),
                                    s.route, s.pairing)
            selection = choose_topics(self._bag, self._options)
            self._route = driven_route(self._bag, selection) if s.route == 'driven' else None
            self._playback = Playback(self._bag, selection, pairing=s.pairing, route=self._route)
            if s.out:
                self._checkpoint = expand('checkpoint', s.checkpoint)
                if not self._checkpoint.is_file():
                    raise BagError(f'checkpoint: {s.checkpoint!r} is no file; a report needs to '
                                   'name what drives')
                self._folder = Folder(expand('out', s.out), force=s.force)
        except (BagError, OSError) as error:
            raise SettingsError(' '.join(str(error).split())) from None
        for sentence in complaints(self._bag.path):
            self.get_logger().warning(f'stock rosbag2 cannot read this bag: {sentence}')
        for sentence in self._bag.losses:
            self.get_logger().warning(f'lost: {sentence}')

    def destroy_node(self) -> None:
        """End the play, and leave no half report."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        thread = getattr(self, '_thread', None)
        if thread is not None:
            thread.join(3.0)
            if thread.is_alive() and self.settings.out:
                shutil.rmtree(self._folder.path, ignore_errors=True)
        super().destroy_node()

    def _run(self) -> None:
        try:
            with self._bag:
                self._play()
            self._report()
        except _Ended:
            return
        except (BagError, CheckpointError, OSError, SettingsError) as error:
            self._failure = ' '.join(str(error).split())
        except Exception as error:  # noqa: B902  it would end the thread unseen
            self._failure = f'{type(error).__name__}: {" ".join(str(error).split())}'
        if self._failure is None:
            os.kill(os.getpid(), signal.SIGINT)

    def _watch(self) -> None:
        """Bring a failure of the play to where it ends the process."""
        if self._failure is not None:
            raise SettingsError(self._failure)

    # Endpoints

    def _make_endpoints(self) -> None:
        ego, make = f'/carla/{self.settings.role_name}', self.create_publisher
        self._to = {
            'image': make(Image, f'{ego}/{self.settings.camera}/image', qos.STREAM),
            'odometry': make(Odometry, f'{ego}/odometry', qos.STREAM),
            'route': make(Path, f'{ego}/waypoints', qos.ROUTE),
            'collision': make(CarlaCollisionEvent, f'{ego}/collision', qos.STREAM),
            'lane_invasion': make(CarlaLaneInvasionEvent, f'{ego}/lane_invasion', qos.STREAM),
            'status': make(CarlaEgoVehicleStatus, f'{ego}/vehicle_status', qos.STREAM),
            'command': make(CarlaEgoVehicleControl, f'{ego}/recorded/vehicle_control_cmd',
                            qos.STREAM)}
        self._clock_out = make(ClockMsg, '/clock', qos.STREAM)
        self._status_out = make(CarlaStatus, '/carla/status', qos.STREAM)
        self._answers = f'{ego}/shadow/vehicle_control_cmd'
        self.create_subscription(CarlaEgoVehicleControl, f'{ego}/shadow/vehicle_control_cmd',
                                 self._on_command, qos.STREAM)
        self._asking = self.create_client(GetState, f'{ego}/av_td3_policy/get_state')
        self.create_service(SetBool, '~/pause', self._on_pause)
        self.create_timer(0.1, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_settings(self, settings: PlayerSettings) -> None:
        with self._changed:
            self._pace.set_rate(settings.rate)
            self._changed.notify_all()

    def _on_pause(self, request: Any, response: Any) -> Any:
        with self._changed:
            self._pace.pause(request.data)
            self._changed.notify_all()
        self._publish_status()
        response.success = True
        response.message = 'paused' if request.data else 'playing'
        return response

    def _on_command(self, message: CarlaEgoVehicleControl) -> None:
        try:
            command = action_from_control(read_control(message, clip=True), _PLAIN)
        except MessageError as error:
            self.get_logger().warning(f'{self._answers}: not used: {error}',
                                      throttle_duration_sec=5.0)
            return
        with self._changed:
            self._heard[read_stamp(message.header.stamp)].append(command)
            self._changed.notify_all()

    def _publish_status(self) -> None:
        """Say as the bridge does whether time goes on: a pause is nobody's fault."""
        self._status_out.publish(CarlaStatus(
            frame=self.sent, fixed_delta_seconds=0.0, synchronous_mode=True,
            synchronous_mode_running=not self._pace.paused))

    # Play

    def _wait(self, condition: Callable[[], bool], timeout: float, *, poll: float = 1.0) -> bool:
        """Wait until a condition holds that callbacks bring about; tell whether it does."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if self._ending:
                    raise _Ended
                left = end - time.monotonic()
                if left <= 0.0:
                    return False
                self._changed.wait(min(left, poll))
            if self._ending:
                raise _Ended
        return True

    def _play(self) -> None:
        self._wait_for_policy()
        self._look_round()
        if self._route is not None:
            self._to['route'].publish(make_path(self._route.points, 0))
            self._settle()
        self.get_logger().info(f'playing {self._bag.name}: {self._playback.pictures} pictures, '
                               f'paired by {self._playback.pairing} stamps')
        for sent in self._playback:
            self._wait_until(sent.time)
            self._send(sent)
            if self.settings.wait_for_commands:
                self._await_answers(sent.answers)
                with self._changed:
                    self._pace.sent(sent.time)
        self._await_answers(tuple(self._expected))
        self.get_logger().info(
            f'the bag is at its end: {self.sent} messages sent, '
            f'{sum(map(len, self._heard.values()))} commands heard, {self.missed} missing, '
            f'{self._playback.left_out} messages left out')

    def _wait_for_policy(self) -> None:
        timeout = self.settings.policy_timeout
        if not timeout:
            return
        there = self._wait(
            lambda: self.count_publishers(self._answers) > 0 and all(
                self._to[kind].get_subscription_count()
                for kind in ('image', 'odometry', 'route')), timeout, poll=0.05)
        if not there:
            raise SettingsError(
                f'no policy node of {self.settings.role_name} in shadow mode (parameter shadow) '
                f'was there within {timeout:g} s')

    def _look_round(self) -> None:
        """Refuse others that publish, for as long as DDS may take to tell of them."""
        end = time.monotonic() + _DISCOVERY
        while time.monotonic() < end:
            self._looked = -_LOOK
            self._refuse_others()
            self._wait(lambda: False, 0.1, poll=0.1)

    def _wait_until(self, due: int) -> None:
        while True:
            with self._changed:
                if self._ending:
                    raise _Ended
                left = self._pace.until(due)
                if left <= 0.0:
                    return
                self._changed.wait(min(left, 1.0))

    def _send(self, sent: Sent) -> None:
        self._refuse_others()
        if sent.stamp >= 0 and sent.stamp != self._now and sent.kind != 'command':
            self._now = sent.stamp
            self._clock_out.publish(ClockMsg(clock=make_stamp(sent.stamp)))
        for stamp in sent.answers:
            self._expected[stamp] += 1
        self._to[sent.kind].publish(self._message(sent))
        self.sent += 1
        if sent.kind == 'route' and self.settings.wait_for_commands:
            self._settle()

    def _message(self, sent: Sent) -> Any:
        data, role = sent.data, self.settings.role_name
        if isinstance(data, Picture):
            return make_image(data.image, data.encoding, sent.stamp,
                              f'{role}/{self.settings.camera}')
        if isinstance(data, VehicleState):
            return make_odometry(data, role)
        return data or Path()

    def _settle(self) -> None:
        """
        Wait until the policy node has taken in all that was sent.

        It serves a request after the messages that were there before it; the second answer says
        so also where the first request came amid a look at what is there.
        """
        for _ in range(2):
            if self._asking.service_is_ready():
                future = self._asking.call_async(GetState.Request())
                future.add_done_callback(lambda _: self._wake())
                self._wait(future.done, self.settings.command_timeout)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _await_answers(self, stamps: tuple[int, ...]) -> None:
        for stamp in stamps:
            if not self._wait(lambda: len(self._heard[stamp]) >= self._expected[stamp],
                              self.settings.command_timeout):
                self.missed += 1
                self._expected[stamp] = len(self._heard[stamp])
                self.get_logger().warning(
                    f'no command for the picture of {stamp * 1e-9:.3f} s within '
                    f'{self.settings.command_timeout:g} s', throttle_duration_sec=5.0)

    def _refuse_others(self) -> None:
        """See that nobody else publishes what is played: a bag must not mix with a drive."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        topic, names = found = self._others()
        if _UNKNOWN in names:
            # DDS tells of a publisher before it tells of the node that it belongs to.
            self._wait(lambda: _UNKNOWN not in self._others()[1], _DISCOVERY, poll=0.05)
            again = self._others()
            topic, names = again if again[1] else found
        if names:
            who = ', '.join('a node not known yet' if name == _UNKNOWN else name
                            for name in sorted(names))
            raise SettingsError(f'{topic} is published by {who} too: a bag is not played into a '
                                'drive')

    def _others(self) -> tuple[str, set[str]]:
        """Return the first topic of what is played that other nodes publish, and their names."""
        for kind in ('image', 'odometry', 'route'):
            topic = self._to[kind].topic_name
            names = {f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                     for info in self.get_publishers_info_by_topic(topic)
                     } - {self.get_fully_qualified_name()}
            if names:
                return topic, names
        return '', set()

    # Report

    def _report(self) -> None:
        s = self.settings
        if not s.out:
            return
        options = parse_arguments([
            str(self._bag.path), '--checkpoint', str(self._checkpoint),
            '--out', str(self._folder.target), '--role-name', self._options.role,
            '--route', s.route, '--disturbed', str(s.disturbed),
            *(['--pairing', s.pairing] if s.pairing else []), *(['--force'] if s.force else []),
            *([] if s.video else ['--no-video']),
            *(part for pair in self._topics for part in ('--topic', pair))])
        self.get_logger().info('writing the report')
        with self._changed:
            # Commands may still come.
            heard = {stamp: list(commands) for stamp, commands in self._heard.items()}
        evaluate(options, self.get_logger().info, heard=heard, pulse=self._pulse)
        self.get_logger().info(f'the report is {s.out}')

    def _pulse(self) -> None:
        if self._ending:
            raise _Ended


def main(args: Any = None) -> int:
    """Run the node."""
    return run(PlayerNode, args=args)


if __name__ == '__main__':
    sys.exit(main())
