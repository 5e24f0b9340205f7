# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node's side of the training node, and its answer to a load, without processes."""

import logging
import threading
import time
import types

import pytest
from stack import small_agent
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from av_td3_ros.learning.networks import get_cnn_extractor
from av_td3_ros.learning.policy import export_policy, Policy
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.nodes.trainer_link import TrainerLink
from av_td3_ros.ros import qos, weights
from av_td3_ros.ros.diagnostics import WARN
from av_td3_ros.ros.throttled import Warnings

pytestmark = pytest.mark.ros
TIMEOUT = 0.3


class Node:
    """Takes endpoints, and gives none."""

    def create_subscription(self, *_):
        return None

    def create_guard_condition(self, callback):
        return types.SimpleNamespace(trigger=callback)

    def get_logger(self):
        return logging.getLogger()


@pytest.fixture(scope='module')
def packed():
    return export_policy(small_agent(), 1)


@pytest.fixture
def link():
    node = Node()
    return TrainerLink(node, '/trainer', Policy(), Warnings(node), training=False,
                       heard=lambda: None, patience=TIMEOUT)


def test_who_merely_listens_is_no_training_node(ros):
    link = TrainerLink(ros.node, '/trainer', Policy(), Warnings(ros.node), training=True,
                       heard=lambda: None, patience=TIMEOUT)
    ros.node.create_subscription(
        UInt8MultiArray, '/trainer/experience', lambda message: None, qos.EXPERIENCE)
    ros.wait_for(lambda: link._experience.get_subscription_count(), 'the one who listens', 30.0)
    assert not link.connected and link.report_experience().level == WARN
    trainer = ros.node.create_publisher(UInt8MultiArray, '/trainer/weights', qos.WEIGHTS)
    ros.wait_for(lambda: link.connected, 'the training node', 30.0)
    ros.node.destroy_publisher(trainer)
    ros.wait_for(lambda: not link.connected, 'its end', 30.0)
    link.destroy()


def publish(link, version, packed):
    """Have weights come, and wait for what becomes of them."""
    begun, until = time.monotonic(), time.monotonic() + 60.0
    link._on_weights(UInt8MultiArray(data=weights.encode(version, 0, packed)))
    while link.outcome(version, begun) is None:
        assert time.monotonic() < until
        time.sleep(0.002)


def load(link, version, *published):
    """Have a load answered, during which weights come; return the answer and what it took."""
    def call():
        for number, data in published:
            publish(link, number, data)
        return Trigger.Response(success=True, message=weights.tell_version('loaded x', version))
    begun = time.monotonic()
    answer = link.await_loaded(call)
    return answer, time.monotonic() - begun


def test_a_load_is_answered_once_its_weights_are_driven_with(link, packed):
    answer, _ = load(link, 500, (500, packed))
    assert answer.success and link.version == 500
    # Learning went on meanwhile, and only the newest came.
    answer, _ = load(link, 600, (700, packed))
    assert answer.success and link.version == 700


def test_versions_that_were_set_back_are_not_taken_for_loaded_ones(link, packed):
    publish(link, 900, packed)
    answer, _ = load(link, 500, (500, packed))
    assert not answer.success and 'version 500 is not newer than 900' in answer.message
    # They are where the trainer then goes on from what the vehicle tells.
    answer, _ = load(link, 500, (500, packed), (901, packed))
    assert answer.success


def test_weights_that_do_not_fit_are_told_of_at_once(link, packed):
    publish(link, 100, packed)
    other = export_policy(TD3Agent(55, 2, 1.0, *(
        get_cnn_extractor(4, 32, 'nature_layernorm') for _ in range(2))), 200)
    # Long before the timeout of a node.
    link._patience = 60.0
    begun = time.monotonic()
    publish_in = lambda: (publish(link, 200, other), Trigger.Response(  # noqa: E731
        success=True, message=weights.tell_version('loaded x', 200)))[1]
    answer = link.await_loaded(publish_in)
    assert time.monotonic() - begun < 30.0
    assert not answer.success and 'they are for the encoder nature_layernorm' in answer.message
    assert answer.message.startswith('loaded x')
    assert link.version == 100


def test_weights_that_do_not_come_are_said_so_in_time(link, packed):
    answer, took = load(link, 500)
    assert not answer.success and 'have not reached the policy node' in answer.message
    assert took >= TIMEOUT
    # Those that came before the load are not its own.
    publish(link, 800, packed)
    answer, _ = load(link, 500)
    assert not answer.success


def test_what_failed_or_names_no_version_is_passed_on(link):
    for given in (Trigger.Response(success=False, message='no (weights 7)'),
                  Trigger.Response(success=True, message='loaded by another')):
        answer = link.await_loaded(lambda given=given: given)
        assert answer is given and 'but the vehicle' not in answer.message


def test_weights_are_checked_beside_the_callbacks(link, packed, monkeypatch):
    """However long that takes; the policy changes where the node takes it up."""
    let, threads = threading.Event(), []
    load = Policy.load

    def slowly(policy, data):
        threads.append(threading.current_thread())
        assert let.wait(60.0)
        return load(policy, data)
    monkeypatch.setattr(Policy, 'load', slowly)
    link._on_weights(UInt8MultiArray(data=weights.encode(5, 0, packed)))
    for version in (6, 7, 8):       # while that is checked: only the newest is next
        link._on_weights(UInt8MultiArray(data=weights.encode(version, 0, packed)))
    assert link.version == 0
    let.set()
    until = time.monotonic() + 60.0
    while link.version != 8 and time.monotonic() < until:
        time.sleep(0.002)
    assert link.version == 8 and len(threads) <= 3
    assert threading.current_thread() not in threads


def load_and_hold(link, version, packed, monkeypatch):
    """Have weights loaded, which is under way until the event that is returned is set."""
    let, begun, load = threading.Event(), threading.Event(), Policy.load

    def slowly(policy, data):
        begun.set()
        assert let.wait(60.0)
        return load(policy, data)
    monkeypatch.setattr(Policy, 'load', slowly)
    link._on_weights(UInt8MultiArray(data=weights.encode(version, 0, packed)))
    assert begun.wait(60.0)
    return let


def damaged(version, packed):
    data = weights.encode(version, 0, packed)
    data[-100] ^= 1
    return data


@pytest.mark.parametrize('spoil, said', [
    (lambda packed: [b'', b'AVW1', bytes(5000), b'AVW2' + bytes(9000)] * 10, 'start with'),
    (lambda packed: [weights.encode(version, 0, packed) for version in range(5)], 'not newer'),
    (lambda packed: [damaged(7, packed)], 'CRC-32'),
    (lambda packed: [weights.encode(7, 0, packed[:-900]), bytes(9), b''], 'CRC-32')])
def test_what_is_none_costs_no_weights_that_wait(link, packed, monkeypatch, spoil, said):
    publish(link, 4, packed)
    let = load_and_hold(link, 5, packed, monkeypatch)
    link._on_weights(UInt8MultiArray(data=weights.encode(6, 0, packed)))
    bad = spoil(packed)
    for data in bad:
        link._on_weights(UInt8MultiArray(data=data))
    assert len(link._loading._waiting) <= 2
    let.set()
    until = time.monotonic() + 60.0
    while link.version != 6 and time.monotonic() < until:
        time.sleep(0.002)
    assert link.version == 6 and link.refused_count == len(bad)
    assert said in link._refusal


def test_many_that_come_take_no_memory(link, packed, monkeypatch):
    """However many: two are kept, and the newest is driven with."""
    let = load_and_hold(link, 1, packed, monkeypatch)
    for version in range(2, 30):
        link._on_weights(UInt8MultiArray(data=weights.encode(version, 0, packed)))
    assert len(link._loading._waiting) == 2
    link._on_weights(UInt8MultiArray(data=damaged(30, packed)))
    let.set()
    until = time.monotonic() + 60.0
    while link.version != 29 and time.monotonic() < until:
        time.sleep(0.002)
    assert link.version == 29 and not link._loading._waiting


def test_what_nobody_thought_of_ends_no_thread(link, packed, monkeypatch):
    def fail(policy, data):
        raise MemoryError('of all things')
    with monkeypatch.context() as patched:
        patched.setattr(Policy, 'load', fail)
        publish(link, 5, packed)
    assert 'MemoryError' in link.outcome(5, 0.0) and link.version == 0
    publish(link, 6, packed)
    assert link.version == 6
