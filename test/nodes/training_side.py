# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A training node in a process of its own, and a vehicle's made-up experience for it."""

import numpy as np
from stack import Diagnosed, hear_progress, LEARNER, Service, START, TRAINER
from std_msgs.msg import UInt8MultiArray

from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.ros import experience, qos

EXPERIENCE = 'av_td3_trainer: experience'
LEARNING = 'av_td3_trainer: learning'


class Vehicle:
    """A vehicle's stream of experience, made up."""

    def __init__(self, ros, stream):
        self.send_bytes = ros.publisher(UInt8MultiArray, f'{TRAINER}/experience',
                                        qos.EXPERIENCE, timeout=START)
        self.stream, self.sequence, self.episode, self.weights = stream, 0, 0, 0
        self._rng = np.random.default_rng(stream)

    def item(self, kind=Kind.STEP, ending=None, **changes):
        rng = self._rng
        values = {
            'kind': kind, 'episode': self.episode, 'stamp': self.sequence * 50_000_000,
            'frame': rng.integers(0, 256, (84, 84), dtype=np.uint8),
            'vector': rng.standard_normal(23).astype(np.float32),
            'action': rng.uniform(-1.0, 1.0, 2).astype(np.float32),
            'reward': float(rng.random()), 'terms': RewardTerms(progress=0.4), 'ending': ending}
        return experience.Experience(self.stream, self.sequence, self.weights,
                                     Transition(**{**values, **changes}))

    def send(self, kind=Kind.STEP, ending=None, **changes):
        data = experience.encode(self.item(kind, ending, **changes))
        self.sequence += 1
        self.send_bytes(UInt8MultiArray(data=data))
        return data

    def drive(self, steps):
        """Send an episode with so many transitions."""
        self.send(Kind.BEGIN)
        for number in range(steps):
            self.send(ending=Ending.ARRIVAL if number == steps - 1 else None)
        self.episode += 1


class Trainer:
    """A training node, and what it says."""

    def __init__(self, ros, folder, **parameters):
        self.ros, self.folder = ros, folder
        self.diagnosed = Diagnosed(ros)
        self.progress = hear_progress(ros)
        self.parameters = {**LEARNER, 'checkpoint_dir': str(folder), **parameters}
        self.start()
        self.save = Service(ros, f'{TRAINER}/save_checkpoint')
        self.load = Service(ros, f'{TRAINER}/load_checkpoint')

    def start(self):
        self.process = self.ros.start('training', self.parameters)

    def counts(self, **wanted):
        """Wait until the counts of the experience are these, and return all of them."""
        return self.diagnosed.wait_for(
            EXPERIENCE, lambda values: all(values.get(name) == str(value)
                                           for name, value in wanted.items()), f'{wanted}')

    def learned(self, transitions):
        """Wait until so many transitions were learned from, at the set ratio."""
        updates = max(0, (transitions - 20) // 2)
        return self.diagnosed.wait_for(
            LEARNING, lambda values: int(values['transitions']) == transitions
            and int(values['updates']) == updates, f'{transitions} transitions', 60.0)

    def assign(self, name, value):
        """Set a parameter as a user would."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter
        client = self.ros.node.create_client(SetParameters, f'{TRAINER}/set_parameters')
        self.ros.wait_for(client.service_is_ready, 'the parameter services', 20.0)
        future = client.call_async(SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]))
        self.ros.wait_for(future.done, 'an answer', 20.0)
        result = future.result().results[0]
        self.ros.node.destroy_client(client)
        return result
