# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node and evaluate_bag give the same commands for the same bag, picture by picture."""

import math

from bag_support import picture, TICK
from carla_msgs.msg import CarlaCollisionEvent, CarlaEgoVehicleControl
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry, Path
import numpy as np
import pytest
from sensor_msgs.msg import Image
from stack import EGO, POLICY, START

from av_td3_ros.driving.action import action_from_control, ActionSettings
from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.evaluation.assessment import assess, choose_topics, Options
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.evaluation.replay import Replay
from av_td3_ros.resources import shipped
from av_td3_ros.ros import qos
from av_td3_ros.ros.images import make_image
from av_td3_ros.ros.messages import read_control, read_stamp

FRAMES = 1000
# What the policy decides is compared; what watchdogs and gate make of it depends on wall time.
UNLIMITED = {
    **{f'watchdog.{name}_deadline': 3600.0 for name in ('image', 'odometry', 'frozen', 'clock')},
    'watchdog.max_drift': 3600.0, 'watchdog.max_jump': 3600.0, 'watchdog.good_inputs': 1,
    **{f'gate.{name}': 0.0 for name in ('steer_rate', 'jerk', 'brake_jerk', 'ramp')}}
ALONE = range(300, 304)         # without odometry
REROUTED = 500                  # the route changes
LEAD_IN = TICK // 2             # stamp of a picture before the bag's first


def winding(shift=0.0):
    """Return a route that swings to both sides, (N, 2) in m."""
    x = np.arange(-5.0, 500.0)
    return np.stack([x, 4.0 * np.sin(x / 25.0) + shift], axis=1)


def drive_state(number):
    """Return the car's state at a tick, beside the route and at changing speeds."""
    x = 0.4 * number
    yaw = math.atan2(4.0 / 25.0 * math.cos(x / 25.0), 1.0) + 0.05 * math.sin(0.2 * number)
    return VehicleState(
        number * TICK, Pose(x, 4.0 * math.sin(x / 25.0) + 0.5 * math.sin(0.07 * number), 0.0, yaw),
        (8.0 + 2.0 * math.sin(0.03 * number), 0.1), 0.1 * math.cos(x / 25.0))


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a bag with what can come in the way."""
    path = tmp_path_factory.mktemp('live') / 'bag'
    with BridgeBag(path) as bag:
        bag.route(0, winding())
        for number in range(1, FRAMES + 1):
            state = drive_state(number)
            if number == REROUTED:
                bag.route(state.stamp - TICK // 2, winding(0.6))
            if number == 650:
                bag.collision(state.stamp, 9, (1.0, 0.0, 0.0))
            if number not in ALONE:
                bag.odometry(state)
            bag.image(state.stamp, picture(number, (100, 90)))
    return path


class PolicySide:
    """Sends a bag's messages as they are to a policy node, one picture at a time."""

    def __init__(self, ros):
        self.ros = ros
        self.commands = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd')
        topics = {'image': (Image, f'{EGO}/rgb_front/image', qos.STREAM),
                  'odometry': (Odometry, f'{EGO}/odometry', qos.STREAM),
                  'route': (Path, f'{EGO}/waypoints', qos.ROUTE),
                  'collision': (CarlaCollisionEvent, f'{EGO}/collision', qos.STREAM)}
        self.send = {kind: ros.publisher(*what, timeout=START) for kind, what in topics.items()}
        self._asking = ros.node.create_client(GetState, f'{POLICY}/get_state')
        ros.wait_for(
            lambda: self._asking.service_is_ready()
            and ros.node.count_publishers(f'{EGO}/vehicle_control_cmd'), 'the node', START)

    def settle(self):
        """
        Wait until all that was sent has been taken in.

        The node serves a request after the messages that were there before it; the second answer
        says so also where the first request came amid a look at what is there.
        """
        for _ in range(2):
            answer = self._asking.call_async(GetState.Request())
            self.ros.wait_for(answer.done, 'an answer', 60.0)

    def wait_for(self, count):
        """Wait until there are so many commands."""
        self.ros.wait_for(lambda: len(self.commands) >= count, f'command {count}', 60.0)

    def begin(self, route):
        """Send the first route, and end the stop for want of one by a picture of no tick."""
        self.send['route'](route)
        self.settle()
        self.send['image'](make_image(picture(0, (100, 90)), 'bgra8', LEAD_IN, 'ego/rgb_front'))
        self.settle()


@pytest.mark.ros
@pytest.mark.timeout(400)
def test_offline_actions_are_the_live_nodes(ros, drive):
    checkpoint = shipped('models', 'policy.pth')
    found = assess([drive], [checkpoint], Options())
    offline = found.recordings[0]
    assert offline.count == FRAMES and offline.used.sum() == FRAMES - len(ALONE)

    ros.start('policy', {'checkpoint': checkpoint, 'pair_timeout': 10.0, **UNLIMITED})
    live = PolicySide(ros)
    with Bag(drive) as bag:
        replay = Replay(bag, choose_topics(bag, Options()), [])
        messages = ((replay.selection.kind(message.topic), bytes(message.data))
                    for message in bag.messages(replay.entries))
        kind, route = next(messages)
        assert kind == 'route'
        live.begin(route)
        number = 0
        for kind, data in messages:
            live.send[kind](data)
            if kind in ('route', 'collision'):
                live.settle()
            elif kind == 'image':
                number += 1
                if number not in ALONE:
                    # One more for the picture before the bag's.
                    live.wait_for(number + 1)
    assert number == FRAMES
    live.settle()
    first, *answers = live.commands
    assert read_stamp(first.header.stamp) == LEAD_IN
    assert [read_stamp(answer.header.stamp) for answer in answers] \
        == offline.frames['stamp'].tolist()

    actions = np.array([action_from_control(read_control(answer), ActionSettings())
                        for answer in answers])
    used = offline.used
    assert np.abs(actions[used] - offline.actions[used, 0]).max() <= 1e-6
    # Not because there was nothing to see.
    assert np.abs(np.diff(actions[used, 0])).mean() > 1e-3
    assert actions[used].std(axis=0).min() > 1e-2
    # Pictures without odometry: the last command is repeated twice, then the car brakes.
    before = actions[ALONE.start - 2]
    assert actions[ALONE.start - 1:ALONE.stop - 1].tolist() == [
        before.tolist(), before.tolist(), [0.0, -1.0], [0.0, -1.0]]
