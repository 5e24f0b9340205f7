# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulator, policy node and training node with settings that are quick, and talk with them."""

import contextlib
import time

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from std_msgs.msg import UInt64MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger
from support import make_graph
import torch

from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.ros import experience, qos, weights

EGO = '/carla/ego_vehicle'
POLICY = f'{EGO}/av_td3_policy'
TRAINER = '/av_td3_trainer'
# The machine that runs the tests may be busy with others.
START = 100.0

CAMERA = {'camera.width': 96, 'camera.height': 84}
LOCKSTEP = {'synchronous_mode_wait_for_vehicle_control_command': True}
LEARNER = {'algorithm.learning_starts': 20, 'algorithm.batch_size': 4,
           'algorithm.buffer_size': 1000, 'training.threads': 1,
           'networks.actor.hidden_layers': '[16, 16]',
           'networks.critic.hidden_layers': '[16, 16]', 'save_every': 0.0}


@contextlib.contextmanager
def graph(folder):
    """Give a graph of its own to a part of a test."""
    made = make_graph(folder)
    try:
        yield next(made)
    finally:
        next(made, None)


class Service:
    """A client of a Trigger service that tells how long the answer took."""

    def __init__(self, ros, name):
        self.ros, self.client = ros, ros.node.create_client(Trigger, name)
        ros.wait_for(self.client.service_is_ready, f'the service {name}', START)

    def send(self):
        """Call, and return the future answer."""
        return self.client.call_async(Trigger.Request())

    def wait(self, future, within=5.0):
        """Wait for an answer for no longer than the promise is."""
        self.ros.wait_for(future.done, f'an answer within {within} s', within)
        return future.result()

    def __call__(self, within=5.0):
        """Call and wait; what it took in s is in ``took``."""
        begun = time.monotonic()
        answer = self.wait(self.send(), within)
        self.took = time.monotonic() - begun
        return answer


class Diagnosed:
    """What the nodes say on /diagnostics."""

    def __init__(self, ros):
        self.ros = ros
        self.heard = ros.subscribe(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)

    def __call__(self, part):
        """Return the newest status of a part, such as 'av_td3_trainer: learning', or None."""
        for message in reversed(self.heard):
            for status in message.status:
                if status.name.endswith(part):
                    return status
        return None

    def values(self, part):
        """Return the figures of a part; empty before it said anything."""
        status = self(part)
        return {} if status is None else {pair.key: pair.value for pair in status.values}

    def fresh(self, part, timeout=30.0):
        """Return a part's figures of now: those of the second report from here on."""
        def reports():
            return sum(status.name.endswith(part)
                       for message in self.heard for status in message.status)
        wanted = reports() + 2
        self.ros.wait_for(lambda: reports() >= wanted, f'two reports of {part}', timeout)
        return self.values(part)

    def wait_for(self, part, condition, what, timeout=30.0):
        """Wait until a part's figures fulfil a condition."""
        def fulfilled():
            values = self.values(part)
            return values if values and condition(values) else None
        return self.ros.wait_for(fulfilled, what, timeout)


class Lifecycle:
    """The standard services of a managed node."""

    def __init__(self, ros, name=POLICY):
        self.ros = ros
        self._change = ros.node.create_client(ChangeState, f'{name}/change_state')
        self._get = ros.node.create_client(GetState, f'{name}/get_state')
        ros.wait_for(lambda: self._change.service_is_ready() and self._get.service_is_ready(),
                     'the life cycle services', START)

    def change(self, transition):
        """Ask for a transition; return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        future = self._change.call_async(request)
        self.ros.wait_for(future.done, f'transition {transition}', START)
        return future.result().success

    @property
    def state(self):
        """Label of the present state."""
        future = self._get.call_async(GetState.Request())
        self.ros.wait_for(future.done, 'the state', 30.0)
        return future.result().current_state.label


def small_agent(seed=0, **config):
    """Return an agent of the observations of the nodes."""
    torch.manual_seed(seed)
    return TD3Agent(535, 2, 1.0, config={'networks': {
        'actor': {'hidden_layers': [16, 16]}, 'critic': {'hidden_layers': [16, 16]}}, **config},
        seed=seed)


def hear_experience(ros):
    """Return a list that grows by every experience that a policy node sends."""
    heard = []
    ros.node.create_subscription(
        UInt8MultiArray, f'{TRAINER}/experience',
        lambda message: heard.append(experience.decode(message.data)), qos.EXPERIENCE)
    return heard


def hear_progress(ros):
    """Return a list that grows by every progress that the training node tells."""
    heard = []
    ros.node.create_subscription(
        UInt64MultiArray, f'{TRAINER}/progress',
        lambda message: heard.append(weights.decode_progress(message.data)), qos.PROGRESS)
    return heard
