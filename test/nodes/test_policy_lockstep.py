# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In lockstep, a training over three processes is repeatable bit by bit."""

from pathlib import Path
from typing import NamedTuple

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from stack import (CAMERA, graph, hear_experience, LEARNER, LOCKSTEP, POLICY, Service, START,
                   TRAINER)
from std_msgs.msg import UInt8MultiArray
import torch

from av_td3_ros.learning.policy import Policy
from av_td3_ros.ros import weights

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]

TRANSITIONS = 80
EVERY_WEIGHTS = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE,
                           durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Trained(NamedTuple):
    """What was heard of a training: experience, exported policies by iteration, the save."""

    heard: list
    policies: dict
    checkpoint: Path
    simulator: str


def train(folder):
    """Learn from some experience among traffic, saving amid it; return what was heard."""
    with graph(folder) as ros:
        heard, policies = hear_experience(ros), {}

        def on_weights(message):
            found = weights.decode(message.data)
            policies[found.iteration] = bytes(found.policy)
        ros.node.create_subscription(
            UInt8MultiArray, f'{TRAINER}/weights', on_weights, EVERY_WEIGHTS)
        simulator = ros.start('simulator', {
            **CAMERA, **LOCKSTEP, 'vehicles': 4, 'seed': 3, 'start_paused': True})
        ros.start('training', {**LEARNER, 'checkpoint_dir': str(folder / 'checkpoints'),
                               'lockstep': True, 'publish_every': 1, 'algorithm.seed': 5,
                               'save_name': 'amid', 'save_at_end': False})
        ros.start('policy', {'training': True, 'lockstep': True, 'seed': 8,
                             'episode.max_duration': 2.0})
        ros.wait_for(lambda: len(heard) > TRANSITIONS // 2, 'experience', START)
        save = Service(ros, f'{POLICY}/save_checkpoint')
        ros.wait_for(lambda: save(10.0).success, 'a save', START)
        ros.wait_for(lambda: len(heard) > TRANSITIONS, 'more experience', START)
        return Trained(heard, policies, folder / 'checkpoints' / 'amid.pth', simulator.output)


def train_in_step(folder):
    """Train once more where the machine was so slow that the simulation went on by itself."""
    for attempt in 'abc':
        (folder / attempt).mkdir(parents=True)
        trained = train(folder / attempt)
        if 'Timeout' not in trained.simulator:
            break
    return trained


def fields(item):
    """Return what must be equal of two experiences: all but the stream, the clock and versions."""
    step = item.transition
    return {'kind': step.kind, 'episode': step.episode, 'ending': step.ending,
            'vector': step.vector.tobytes(), 'frame': step.frame.tobytes(),
            'action': step.action.tobytes(), 'terms': step.terms, 'reward': step.reward}


def parameters(packed):
    """Return an exported policy without its version, which is the time, and its checksum."""
    version = str(Policy().load(packed).version).encode()
    assert packed.count(version) == 1
    return packed.replace(version, b'')[:-4]


def test_the_same_seed_twice_gives_identical_weights(tmp_path):
    one, other = train_in_step(tmp_path / 'one'), train_in_step(tmp_path / 'other')
    # Every transition is the same,
    for first, second in zip(one.heard[:TRANSITIONS], other.heard[:TRANSITIONS]):
        expected, found = fields(first), fields(second)
        for name, value in expected.items():
            assert found[name] == value, f'{name} of {first.sequence} differs'
    assert len({item.transition.episode for item in one.heard}) >= 2
    # and so are the weights after every update: the last ones depend on all before.
    common = sorted(one.policies.keys() & other.policies.keys())
    assert len(common) >= 10 and common[-1] >= 25
    for iteration in common:
        assert parameters(one.policies[iteration]) == parameters(other.policies[iteration]), \
            f'the weights after update {iteration} differ'
    assert len({parameters(one.policies[iteration]) for iteration in common}) > len(common) // 3
    # A save while all that goes on holds the weights of the iteration that it names.
    saved = torch.load(one.checkpoint, weights_only=True)
    policy, of_other = Policy(), Policy()
    policy.load_checkpoint(one.checkpoint)
    if saved['total_it'] in other.policies:
        of_other.load(other.policies[saved['total_it']])
        seen = {'image': torch.randint(0, 256, (4, 84, 84), dtype=torch.uint8).numpy(),
                'vector': torch.randn(23).numpy()}
        assert policy.act(seen).tobytes() == of_other.act(seen).tobytes()
    for trained in (one, other):
        # No transition is lost, and the simulation never went on by itself.
        assert [item.sequence for item in trained.heard] == list(range(len(trained.heard)))
        assert 'Timeout' not in trained.simulator and 'Unexpected' not in trained.simulator
