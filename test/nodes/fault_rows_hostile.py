# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The fault table's rows about messages that are none, mixed with good ones, to every node."""

import math
import time

from carla_msgs.msg import (
    CarlaControl, CarlaEgoVehicleControl, CarlaStatus, CarlaWorldInfo)
from diagnostic_msgs.msg import DiagnosticStatus
import hostile
from nav_msgs.msg import Odometry, Path
import numpy as np
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from stack import CAMERA, Diagnosed, EGO, LEARNER, small_agent, START, TRAINER
from std_msgs.msg import Float32, String, UInt64MultiArray, UInt8MultiArray
from training_side import Vehicle

from av_td3_ros.learning.policy import export_policy
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import read_stamp

BURST = 5       # messages between two short waits: none may be crowded out on the way
TOUCH = 12      # one in so many is cut off on the wire


class Driving:
    """What a driving car, its guard and the test's node hear, and who says none of it."""

    def __init__(self, rig):
        self.rig, publisher = rig, rig.ros.publisher
        self.stamps, self.strays = set(), set()     # of images
        self._number = 10 ** 15
        good = rig.ros.subscribe(Odometry, f'{EGO}/odometry', qos.LATEST)
        packed = export_policy(small_agent(seed=4), 9)
        version = time.time_ns() // 1000
        # Topic, type, profile, what makes a message, and how many take it.
        kinds = (
            (f'{EGO}/relayed/image', Image, qos.STREAM, self._image),
            (f'{EGO}/relayed/image', Image, qos.STREAM, self._stray),
            (f'{EGO}/relayed_odometry', Odometry, qos.STREAM,
             lambda rng: hostile.odometry(rng, good[-1])),
            (f'{EGO}/waypoints', Path, qos.ROUTE, hostile.path),
            ('/clock', Clock, qos.STREAM, hostile.clock),
            ('/carla/status', CarlaStatus, qos.STREAM, hostile.status),
            (f'{EGO}/av_td3_guard/heartbeat', DiagnosticStatus, qos.STREAM, hostile.heartbeat),
            (f'{EGO}/av_td3_policy/heartbeat', DiagnosticStatus, qos.STREAM, hostile.heartbeat),
            (f'{EGO}/vehicle_control_cmd', CarlaEgoVehicleControl, qos.STREAM, hostile.command),
            (f'{EGO}/speedometer', Float32, qos.STREAM, hostile.speed),
            (f'{TRAINER}/weights', UInt8MultiArray, qos.WEIGHTS,
             lambda rng: hostile.hostile_weights(rng, packed, version)))
        self.kinds = [(publisher(message, topic, profile, timeout=START), make)
                      for topic, message, profile, make in kinds]
        rig.ros.wait_for(lambda: good, 'odometry')

    def _image(self, rng):
        self._number += 1
        self.stamps.add(self._number)
        return hostile.image(rng, self._number)

    def _stray(self, rng):
        made = hostile.stray_image(rng)
        self.strays.add(read_stamp(made.header.stamp))
        return made

    def check(self, first):
        """Hold what the policy node commanded since to what it may."""
        rig = self.rig
        for process in (rig.policy, rig.guard, rig.simulator):
            assert process.code is None, f'{process.name} ended with {process.code}'
        from_them = 0
        for given in rig.commands[first:]:
            if given.header.frame_id == hostile.MARK:
                continue
            values = given.throttle, given.steer, given.brake
            assert all(map(math.isfinite, values)), values
            assert 0.0 <= given.throttle <= 1.0 and abs(given.steer) <= 1.0
            assert 0.0 <= given.brake <= 1.0 and not (given.throttle and given.brake)
            stamp = read_stamp(given.header.stamp)
            # A picture of another time is no picture to drive by; a brake may say so.
            from_them += stamp in self.stamps or stamp in self.strays and given.throttle > 0.0
        assert not from_them, f'{from_them} commands from messages that are none'
        for state in rig.status:
            applied = state.control
            assert all(map(math.isfinite, (applied.throttle, applied.steer, applied.brake)))
        return from_them


def send(ros, kinds, count, rng):
    """Send messages of each kind in turn, and some that break off."""
    for number in range(count):
        publish, make = kinds[number % len(kinds)]
        message = make(rng)
        publish(hostile.cut(rng, message) if rng.integers(TOUCH) == 0 else message)
        if number % BURST == BURST - 1:
            ros.spin(0.02)
    ros.spin(0.5)


def malformed(rig, count, seed=0):
    """Send messages that are none to a car that drives; no command may come from them."""
    rng = np.random.default_rng(seed)
    rig.drive(1.0)
    hears = Driving(rig)
    first, status = len(rig.commands), len(rig.status)
    # Each kind by itself while the car drives, which some of them must not even disturb; then all.
    for kind in hears.kinds:
        rig.wait_for(lambda: rig.home() or rig.ros.spin(0.5) or rig.drives, 'driving', START)
        send(rig.ros, [kind], count // (2 * len(hears.kinds)), rng)
    send(rig.ros, hears.kinds, count - count // 2, rng)
    from_them = hears.check(first)
    good = len(rig.status) - status
    values = rig.diagnosed.fresh('av_td3_policy: driving')
    # Then, without them, all is well again.
    rig.wait_for(lambda: rig.home() or rig.ros.spin(0.5) or rig.drives, 'driving on', START)
    hears.check(first)
    return {'messages': count, 'kinds': len(hears.kinds), 'good_ticks_between': good,
            'commands_from_them': from_them, 'refused_heard': int(values['rejected'])}


class Learning:
    """A vehicle and a training node in a graph of their own, and what they hear."""

    def __init__(self, ros, folder):
        self.ros = ros
        self.diagnosed = Diagnosed(ros)
        self.commands = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd')
        self.simulator = ros.start('simulator', CAMERA)
        self.trainer = ros.start('training', {
            **LEARNER, 'checkpoint_dir': str(folder / 'hostile'), 'save_at_end': False,
            'publish_every': 10})
        self.policy = ros.start('policy', {'training': True, 'explore': False,
                                           'episode.max_duration': 20.0})
        self.version = time.time_ns() // 1000 + 10 ** 12    # newer than all of the trainer's
        packed = export_policy(small_agent(seed=4), 9)
        vehicle = Vehicle(ros, 4444)
        publisher = ros.publisher
        self.kinds = [
            (publisher(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS, timeout=START),
             lambda rng: hostile.hostile_weights(rng, packed, self.version)),
            (publisher(UInt64MultiArray, f'{TRAINER}/progress', qos.PROGRESS, timeout=START),
             hostile.progress),
            (vehicle.send_bytes, lambda rng: hostile.hostile_experience(rng, vehicle.item())),
            (publisher(String, f'{TRAINER}/task', qos.TASK, timeout=START), hostile.task),
            (publisher(CarlaWorldInfo, '/carla/world_info', qos.INFO, timeout=START),
             hostile.world)]

    def learned(self, what, count=10):
        """Wait for the training node to have so many more transitions."""
        part = 'av_td3_trainer: learning'
        before = int(self.diagnosed.fresh(part, START)['transitions'])
        return self.diagnosed.wait_for(
            part, lambda v: int(v['transitions']) >= before + count, what, START)


def malformed_training(ros, folder, count, seed=0):
    """Send messages that are none to both ends of the learning; it goes on as if they were not."""
    learning, rng = Learning(ros, folder), np.random.default_rng(seed)
    learning.learned('learning', 30)
    send(ros, learning.kinds, count, rng)
    values = learning.learned('learning on')
    for process in (learning.policy, learning.trainer, learning.simulator):
        assert process.code is None, f'{process.name} ended with {process.code}'
    for given in learning.commands:
        assert all(map(math.isfinite, (given.throttle, given.steer, given.brake)))
    losses = [float(value) for name, value in values.items() if 'loss' in name]
    assert losses and all(map(math.isfinite, losses)), values
    used = learning.diagnosed.fresh('av_td3_policy: weights')
    assert int(used['version']) != learning.version and int(used['refused']) > 0, used
    # The trainer's own are taken still.
    learning.diagnosed.wait_for('av_td3_policy: weights',
                                lambda v: int(v['version']) > int(used['version']),
                                'newer weights', START)
    # While nothing more comes: all that was received is what the vehicle sent.
    pause = ros.publisher(CarlaControl, '/carla/control', timeout=START)
    pause(CarlaControl(command=CarlaControl.PAUSE))
    ros.spin(1.0)
    received = int(learning.diagnosed.fresh('av_td3_trainer: experience')['received'])
    sent = int(learning.diagnosed.fresh('av_td3_policy: experience')['sent'])
    return {'messages': count, 'kinds': len(learning.kinds), 'experience': received,
            'weights_refused': int(used['refused']),
            'learned_from_them': max(0, received - sent)}
