# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How another node asks a policy node what it drives with, without processes."""

import logging
import types

import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import Parameter
from rclpy.task import Future
from stack import small_agent

from av_td3_ros.driving.task import TaskSettings
from av_td3_ros.nodes import driver_source
from av_td3_ros.nodes.driver_source import DriverSource
from av_td3_ros.ros.throttled import Warnings
from av_td3_ros.settings import as_dict, flatten

pytestmark = pytest.mark.ros


class Client:
    """Takes requests, and lets the test answer them."""

    srv_name = '/carla/ego/policy/get_parameters'

    def __init__(self):
        self.asked, self.given_up = [], []

    def service_is_ready(self):
        return True

    def call_async(self, request):
        self.asked.append((request, Future()))
        return self.asked[-1][1]

    def remove_pending_request(self, future):
        self.given_up.append(future)

    def answer(self, values):
        request, future = self.asked[-1]
        future.set_result(GetParameters.Response(values=[
            Parameter(name, value=values[name]).get_parameter_value()
            for name in request.names]))


class Node:
    """Takes endpoints, and gives a client."""

    def __init__(self):
        self.client = Client()

    def create_client(self, *_):
        return self.client

    def resolve_service_name(self, name):
        return f'/carla/ego/{name}'

    def create_subscription(self, *_):
        return None

    def create_guard_condition(self, callback):
        return types.SimpleNamespace(trigger=callback)

    def destroy_guard_condition(self, _):
        pass

    destroy_client = destroy_subscription = destroy_guard_condition

    def get_logger(self):
        return logging.getLogger()


@pytest.fixture
def source():
    node = Node()
    made = DriverSource(node, 'policy', Warnings(node), lambda decision: None, pictures=True)
    yield made
    made.destroy()


def values(**given):
    return {**flatten(as_dict(TaskSettings())), 'training': False, 'checkpoint': '',
            'trainer': '/trainer', **given}


def test_a_policy_node_that_ended_before_it_answered_is_asked_anew(source, monkeypatch):
    client = source._node.client
    for _ in range(3):
        source.poll()
    assert len(client.asked) == 1 and not client.given_up
    monkeypatch.setattr(driver_source, '_ANSWER', -1.0)
    source.poll()
    assert client.given_up == [client.asked[0][1]]
    source.poll()
    assert len(client.asked) == 2
    client.answer(values())
    source.poll()
    assert source.note == 'no weights yet'
    source.poll()
    assert len(client.asked) == 2


def test_a_node_without_these_parameters_is_none_to_watch(source):
    source.poll()
    source._node.client.asked[-1][1].set_result(GetParameters.Response())
    source.poll()
    assert 'does not tell what a policy node has' in source.note and source.policy.info is None
    # Another one may take its name.
    source.poll()
    source._node.client.answer(values())
    source.poll()
    assert source.note == 'no weights yet'


def test_a_checkpoint_in_the_home_folder_is_found(source, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    small_agent().save_checkpoint(tmp_path / 'policy.pth')
    source.poll()
    source._node.client.answer(values(checkpoint='~/policy.pth'))
    source.poll()
    assert source.policy.info is not None
