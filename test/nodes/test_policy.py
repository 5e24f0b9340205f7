# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node alone, over DDS: the test is its bridge and its training node."""

import math

from carla_msgs.msg import CarlaCollisionEvent
import numpy as np
import pytest
from sensor_msgs.msg import Image
from stack import Diagnosed, POLICY, Service, small_agent, START, TRAINER
from std_msgs.msg import UInt8MultiArray
from support import make_graph
from vehicle_side import STRAIGHT, TICK, VehicleSide

from av_td3_ros.driving.action import control_from_action
from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings, Tick
from av_td3_ros.learning.networks import get_cnn_extractor
from av_td3_ros.learning.policy import export_policy, Policy
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.ros import qos, weights
from av_td3_ros.ros.images import make_image
from av_td3_ros.ros.messages import make_odometry

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]


# The test sends when it likes, and compares commands to the bit; what the watchdogs and the gate
# do is in test_policy_safety.py.
UNWATCHED = {
    **{f'watchdog.{name}_deadline': 3600.0 for name in ('image', 'odometry', 'frozen', 'clock')},
    'watchdog.max_drift': 3600.0, 'watchdog.max_jump': 3600.0, 'watchdog.good_inputs': 1,
    **{f'gate.{name}': 0.0 for name in ('steer_rate', 'jerk', 'brake_jerk', 'ramp')}}


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('policy'))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'policy.pth'
    small_agent(seed=1).save_checkpoint(path)
    return path


@pytest.fixture(scope='module')
def diagnosed(graph):
    return Diagnosed(graph)


@pytest.fixture(scope='module')
def the_car(graph, checkpoint, diagnosed):
    process = graph.start('policy', {'checkpoint': checkpoint, 'pair_timeout': 0.2, **UNWATCHED})
    car = VehicleSide(graph)
    car.process, car.diagnosed = process, diagnosed
    car.send_route()
    return car


@pytest.fixture
def car(the_car):
    """Give each test a car that drives, with a full frame stack."""
    for _ in range(4):
        the_car.tick()
    return the_car


class Expected:
    """What the policy must answer, worked out from the same ticks without ROS."""

    def __init__(self, car, checkpoint):
        self.car, self.policy = car, Policy()
        self.policy.load_checkpoint(checkpoint)
        self.task = DrivingTask(TaskSettings())
        self._seen = False

    def __call__(self, number=None):
        tick = Tick(self.car.state(number), self.car.picture(number))
        if self._seen:
            observation = self.task.advance(tick).observation
        else:
            observation, self._seen = self.task.begin(tick, Route(STRAIGHT)), True
        control = control_from_action(self.policy.act(observation), TaskSettings().action)
        # Commands are float32 on the wire.
        return Control(*(float(np.float32(value)) for value in (
            control.throttle, control.steer, control.brake)))


def begin_anew(car):
    """Let the node abandon what it drives: a gap in the stamps, so that its stack is empty."""
    car.number += 20


def test_one_command_for_each_image_with_its_stamp(car, checkpoint):
    begin_anew(car)
    expected, first = Expected(car, checkpoint), len(car.commands)
    controls = [(car.tick(), expected()) for _ in range(12)]
    assert [given for given, _ in controls] == [wanted for _, wanted in controls]
    assert len({control.steer for control, _ in controls}) > 6
    car.ros.spin(0.3)
    assert car.stamps[first:] == [number * TICK for number in
                                  range(car.number - 11, car.number + 1)]


def test_image_and_odometry_are_joined_in_whatever_order_they_come(car, checkpoint):
    begin_anew(car)
    expected, first = Expected(car, checkpoint), len(car.commands)
    car.tick()
    expected()
    # Picture first.
    car.number += 1
    car.send_image()
    car.ros.spin(0.05)
    assert car.stamps[-1] == car.stamp - TICK
    car.send_odometry()
    assert car.answer() == expected()
    # Several odometries ahead of their pictures.
    for ahead in (1, 2, 3):
        car.send_odometry(car.number + ahead)
    for _ in range(3):
        car.number += 1
        car.send_image()
        assert car.answer() == expected()
    car.ros.spin(0.3)
    assert len(car.commands) - first == 5


def test_a_picture_without_odometry_repeats_the_last_command_and_then_brakes(car, checkpoint):
    begin_anew(car)
    expected = Expected(car, checkpoint)
    last = car.tick()
    assert last == expected()
    answers = []
    for _ in range(3):
        car.number += 1
        # The odometry of another tick is not taken for it.
        car.send_odometry(car.number - 4)
        car.send_image()
        answers.append(car.answer())
    assert answers == [last, last, Control(brake=1.0)]
    # What comes too late is not used, nor answered again.
    count = len(car.commands)
    car.send_odometry()
    car.ros.spin(0.4)
    assert len(car.commands) == count
    # And on it goes, with a stack that knows nothing of the pictures that were not joined.
    expected = Expected(car, checkpoint)
    assert car.tick() == expected()


def test_a_lost_odometry_is_noticed_when_the_next_tick_is_complete(car):
    first = len(car.commands)
    car.number += 1
    car.send_image()
    car.tick()
    assert car.stamps[first:] == [car.stamp - TICK, car.stamp]


def test_a_picture_that_comes_twice_is_answered_once(car):
    first = len(car.commands)
    for _ in range(3):
        car.tick()
        car.send_image()
    car.ros.spin(0.4)
    assert len(car.commands) - first == 3


BAD_IMAGES = {
    'unknown encoding': {'encoding': 'bayer_rggb8'}, 'no encoding': {'encoding': ''},
    'absurd encoding': {'encoding': 'x' * 500}, 'step too small': {'step': 12},
    'step too large': {'step': 4000}, 'step absurd': {'step': 2**32 - 1}, 'no step': {'step': 0},
    'empty': {'width': 0, 'height': 0, 'step': 0, 'data': []}, 'no data': {'data': []},
    'cut off': {'data': [0] * 999}, 'huge': {'width': 2**31, 'height': 2**31},
    'no height': {'height': 0}}


def test_bad_images_are_refused_with_one_warning(car):
    warned = car.process.output.count('not used: the image')
    first = len(car.commands)
    rejected = int(car.diagnosed.wait_for(
        'av_td3_policy: driving', lambda v: v, 'diagnostics')['rejected'])
    for number, changes in enumerate(BAD_IMAGES.values()):
        if number == 6:
            # More than ten at once would not all be kept by DDS.
            car.diagnosed.wait_for('av_td3_policy: driving',
                                   lambda v: int(v['rejected']) == rejected + 6, 'six refused')
        car.number += 1
        message = make_image(car.picture(), 'bgra8', car.stamp, 'f')
        for name, value in changes.items():
            setattr(message, name, value)
        car.send_odometry()
        car.image(message)
    car.diagnosed.wait_for('av_td3_policy: driving',
                           lambda v: int(v['rejected']) == rejected + len(BAD_IMAGES),
                           'all of them refused')
    car.ros.spin(0.3)
    # Neither crash nor command, and one line in the log.
    assert len(car.commands) == first and car.process.code is None
    assert car.process.output.count('not used: the image') <= warned + 1
    assert 'not used: the image' in car.process.output
    car.tick()


@pytest.mark.parametrize('encoding, channels', [('bgr8', 3), ('rgba8', 4), ('mono8', 1)])
def test_other_encodings_and_padded_rows_are_taken(car, encoding, channels):
    car.number += 1
    shape = (90, 100) if channels == 1 else (90, 100, channels)
    plain = make_image(np.full(shape, 90, np.uint8), encoding, car.stamp, 'f')
    padded = Image(header=plain.header, width=100, height=90, encoding=encoding,
                   step=100 * channels + 24)
    padded.data = np.pad(np.frombuffer(plain.data, np.uint8).reshape(90, -1),
                         ((0, 0), (0, 24))).tobytes()
    car.send_odometry()
    count = len(car.commands)
    car.image(padded)
    car.ros.wait_for(lambda: len(car.commands) > count, 'a command', 5.0)
    assert car.stamps[-1] == car.stamp


@pytest.mark.parametrize('what', ['position', 'orientation', 'velocity', 'no rotation', 'frame'])
def test_no_command_is_made_from_bad_odometry(car, what):
    before = car.tick()
    message = make_odometry(car.state(car.number + 1), 'ego_vehicle')
    if what == 'position':
        message.pose.pose.position.x = math.nan
    elif what == 'orientation':
        message.pose.pose.orientation.w = math.inf
    elif what == 'velocity':
        message.twist.twist.linear.x = -math.inf
    elif what == 'no rotation':
        message.pose.pose.orientation.w = 40.0
    else:
        message.header.frame_id = 'odom'
    car.number += 1
    car.odometry(message)
    car.send_image()
    # The picture stays alone: its command is the last one's.
    assert car.answer() == before
    assert 'odometry' in car.process.output.split('not used: ', 1)[1]
    assert car.process.output.count('not used: ') < 40


@pytest.mark.parametrize('points', [
    np.empty((0, 2)), np.zeros((1, 2)), np.ones((50, 2)), np.array([[0.0, 0.0], [math.nan, 1.0]])])
def test_without_a_usable_route_it_brakes(car, points):
    car.send_route(points)
    # Half the brake is the set deceleration of 4 m/s^2.
    car.ros.wait_for(lambda: car.tick().brake in (0.5, 1.0), 'the brake', 5.0)
    assert 'not used: ' in car.process.output
    car.send_route()
    car.ros.wait_for(lambda: car.tick().brake not in (0.5, 1.0), 'driving', 5.0)


def test_time_that_runs_backwards_begins_anew(car, checkpoint):
    count = car.process.output.count('the clock was set back')
    car.number = 40 if car.number > 200 else car.number
    if car.number != 40:
        car.number += 200
        car.tick()
        car.number = 40
    first = len(car.commands)
    # The tick that tells of it is braked at; then nothing is known of the time before.
    assert car.tick().throttle == 0.0
    expected = Expected(car, checkpoint)
    for _ in range(4):
        assert car.tick() == expected()
    assert car.process.output.count('the clock was set back') == count + 1
    assert car.stamps[first:] == [number * TICK for number in range(41, 46)]
    # A little backwards, as messages that overtake each other are, is no such thing.
    car.number += 100
    car.tick()
    late = car.number - 3
    car.send_odometry(late)
    car.send_image(late)
    car.ros.wait_for(lambda: car.stamps[-1] == late * TICK, 'an answer to the late picture')
    assert car.process.output.count('the clock was set back') == count + 1


def test_a_collision_does_not_stop_a_drive_that_is_not_a_training(car):
    car.collision(CarlaCollisionEvent(other_actor_id=7))
    assert car.tick() != Control(brake=1.0) and car.tick() != Control(brake=1.0)


def test_it_brakes_at_the_routes_end_and_drives_on_with_another(car):
    x = car.state(car.number + 5).pose.x
    short = np.stack([np.arange(x - 30.0, x + 2.0), np.zeros(32)], axis=1)
    car.send_route(short)
    car.ros.wait_for(lambda: car.tick() == Control(brake=1.0), 'the brake', 5.0)
    car.ros.wait_for(lambda: 'arrival' in car.process.output, 'the episode in the log', 5.0)
    assert car.tick() == Control(brake=1.0)
    car.send_route()
    car.ros.wait_for(lambda: car.tick() != Control(brake=1.0), 'driving', 5.0)


# The training node's side

@pytest.fixture(scope='module')
def publish(graph):
    return graph.publisher(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS, timeout=START)


def flat_agent():
    return TD3Agent(23, 2, 1.0, use_dict_buffer=False)


def other_agent(state_dim, action_dim, architecture='nature', features=512):
    return TD3Agent(state_dim, action_dim, 1.0, *(
        get_cnn_extractor(4, features, architecture) for _ in range(2)))


def not_finite():
    agent = small_agent()
    agent.actor.fc2.weight.data[3, 4] = math.nan
    return agent


def test_weights_that_cannot_be_used_are_refused_and_new_ones_taken_whole(car, publish):
    used = 'av_td3_policy: weights'
    refused = int(car.diagnosed.values(used)['refused'])
    good = export_policy(small_agent(seed=2), 50)
    publish(UInt8MultiArray(data=weights.encode(50, 7, good)))
    car.diagnosed.wait_for(used, lambda v: v.get('version') == '50', 'the new weights')
    whole = bytes(weights.encode(60, 7, good))
    torn = bytearray(whole)
    torn[len(torn) // 2] ^= 4
    bad = {
        'older': bytes(weights.encode(49, 7, good)), 'the same': bytes(
            weights.encode(50, 7, good)),
        'a flipped bit': bytes(torn), 'cut off': whole[:-1000], 'nothing': b'',
        'no weights': b'\xff' * 5000, 'no policy': bytes(weights.encode(60, 7, b'x' * 900)),
        'not finite': bytes(weights.encode(61, 7, export_policy(not_finite(), 61))),
        'no images': bytes(weights.encode(62, 7, export_policy(flat_agent(), 62))),
        'another vector': bytes(weights.encode(63, 7, export_policy(other_agent(540, 2), 63))),
        'other actions': bytes(weights.encode(64, 7, export_policy(other_agent(535, 3), 64))),
        'another encoder': bytes(weights.encode(65, 7, export_policy(
            other_agent(55, 2, 'nature_layernorm', 32), 65)))}
    for number, (name, data) in enumerate(bad.items(), 1):
        publish(UInt8MultiArray(data=data))
        # The car drives on meanwhile, and misses no tick.
        car.ros.wait_for(lambda: car.tick() and int(car.diagnosed.values(used)[
            'refused']) >= refused + number, f'a refusal ({name})', 20.0)
    values = car.diagnosed.values(used)
    assert values['version'] == '50'
    assert 'weights refused, the present ones are kept' in car.process.output
    assert car.process.output.count('weights refused') < 12
    # It still acts by the good ones, and newer ones are taken after all that.
    assert car.tick() != Control(brake=1.0)
    publish(UInt8MultiArray(data=weights.encode(70, 9, export_policy(small_agent(seed=3), 70))))
    car.diagnosed.wait_for(used, lambda v: v['version'] == '70', 'the newest weights')
    assert car.diagnosed(used).message == 'iteration 0'


@pytest.mark.parametrize('name', ['save_checkpoint', 'load_checkpoint'])
def test_without_a_training_node_the_services_say_so(car, name):
    service = Service(car.ros, f'{POLICY}/{name}')
    future, first = service.send(), len(car.commands)
    ticks = 0
    while not future.done():
        car.tick()
        ticks += 1
    answer = future.result()
    assert not answer.success and 'no training node answers at /av_td3_trainer' in answer.message
    # The car was driven while the answer was waited for.
    assert ticks > 3 and len(car.commands) - first == ticks


def test_it_ends_with_the_brake_on(car):
    """Last in this file: the process ends."""
    car.tick()
    count = len(car.commands)
    assert car.process.stop(timeout=5.0) == 0
    car.ros.wait_for(lambda: len(car.commands) > count, 'the last command')
    assert car.commands[-1].brake == 1.0
