# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Profiles are overridden by parameters, and ends that do not fit are named with the remedy."""

import re

from carla_msgs.msg import CarlaEgoVehicleControl
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from std_msgs.msg import Bool, Float32
from vehicle_side import EGO

from av_td3_ros.ros import qos

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMANDS, SPEED = f'{EGO}/vehicle_control_cmd', f'{EGO}/speedometer'
OVERRIDE = f'{EGO}/vehicle_control_manual_override'


def start(ros, tmp_path, **overrides):
    """Start a guard with overrides in a parameter file, as any launch file passes them."""
    lines = ['/**:', '  ros__parameters:', '    qos_overrides:'] if overrides else [
        '/**:', '  ros__parameters: {}']
    for topic, sides in overrides.items():
        lines.append(f'      {topic}:')
        for side, policies in sides.items():
            lines.append(f'        {side}: {{'
                         + ', '.join(f'{name}: {value}' for name, value in policies.items()) + '}')
    path = tmp_path / 'parameters.yaml'
    path.write_text('\n'.join(lines) + '\n')
    return ros.start('guard', arguments=['--params-file', str(path)])


def profile_of(ros, topic, *, publishers=False):
    """Return the QoS profile of the guard's end of a topic."""
    ask = (ros.node.get_publishers_info_by_topic if publishers
           else ros.node.get_subscriptions_info_by_topic)
    found = ros.wait_for(lambda: [end for end in ask(topic) if end.node_name == 'av_td3_guard'],
                         f'the guard at {topic}', 60.0)
    return found[0].qos_profile


def test_a_parameter_overrides_what_a_profile_says(ros, tmp_path):
    start(ros, tmp_path, **{SPEED: {'subscription': {'reliability': 'best_effort', 'depth': 3}},
                            OVERRIDE: {'publisher': {'durability': 'volatile'}}})
    assert profile_of(ros, SPEED).reliability == ReliabilityPolicy.BEST_EFFORT
    published = profile_of(ros, OVERRIDE, publishers=True)
    assert published.durability == DurabilityPolicy.VOLATILE
    # Nothing else is touched: not the other end of that topic, nor what shares the profile.
    assert profile_of(ros, OVERRIDE).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert profile_of(ros, COMMANDS).reliability == ReliabilityPolicy.RELIABLE


def test_ends_that_do_not_fit_are_named_with_the_remedy(ros, tmp_path):
    """The parameter that the guard names mends it."""
    guard = start(ros, tmp_path)
    profile_of(ros, SPEED)
    ros.node.create_publisher(Float32, SPEED, BEST_EFFORT)
    ros.wait_for(lambda: SPEED in guard.output, 'a word about it', 30.0)
    line, = (text for text in guard.output.splitlines() if SPEED in text)
    assert 'the publisher of /test does not fit this subscription, by its reliability' in line
    assert 'make that publisher reliable' in line
    name, value = re.search(r'the parameter (\S+) set to (\w+)\.$', line).groups()
    guard.stop()
    # Just as it was said.
    _, topic, side, policy = re.match(r'(\w+)\.(.+)\.(\w+)\.(\w+)$', name).groups()
    again = start(ros, tmp_path, **{topic: {side: {policy: value}}})
    ros.wait_for(lambda: len(ros.node.get_subscriptions_info_by_topic(SPEED)) == 1
                 and profile_of(ros, SPEED).reliability == ReliabilityPolicy.BEST_EFFORT,
                 'the guard with its remedy', 60.0)
    publish = ros.publisher(Float32, SPEED, BEST_EFFORT)
    publish(Float32(data=1.0))
    assert SPEED not in again.output


def test_a_subscription_that_asks_for_more_is_named(ros, tmp_path):
    guard = start(ros, tmp_path, **{OVERRIDE: {'publisher': {'durability': 'volatile'}}})
    ros.node.create_subscription(Bool, OVERRIDE, lambda message: None, qos.OVERRIDE)

    def said():
        # The guard's own other end asks for as much, and may have been named first.
        return [text for text in guard.output.splitlines() if 'this publisher' in text
                and '/test' in text.split(' does not fit')[0]]
    line = ros.wait_for(said, 'a word about it', 60.0)[0]
    assert 'by its durability' in line
    assert f'qos_overrides.{OVERRIDE}.publisher.durability set to transient_local' in line


@pytest.mark.parametrize('policies, said', [
    ({'reliability': 'sometimes'}, 'sometimes'), ({'depth': 200000}, 'depth 200000 is not from 1'),
    ({'depth': 'deep'}, 'depth')])
def test_an_override_that_cannot_be_is_one_sentence(ros, tmp_path, policies, said):
    guard = start(ros, tmp_path, **{COMMANDS: {'subscription': policies}})
    assert guard.wait(60.0) == 2
    assert said in guard.output and COMMANDS in guard.output
    assert len(guard.output.strip().splitlines()) == 1 and 'Traceback' not in guard.output


def test_the_policy_node_says_it_likewise(ros, tmp_path):
    path = tmp_path / 'parameters.yaml'
    path.write_text(f'/**:\n  ros__parameters:\n    qos_overrides:\n      {EGO}/odometry:\n'
                    '        subscription: {durability: lasting}\n')
    policy = ros.start('policy', arguments=['--params-file', str(path)])
    assert policy.wait(100.0) == 2
    last = policy.output.strip().splitlines()[-1]
    assert f'qos_overrides.{EGO}/odometry' in last and 'lasting' in last
    assert 'Traceback' not in policy.output


def test_ends_that_fit_are_not_mentioned(ros, tmp_path):
    guard = start(ros, tmp_path)
    publish = ros.publisher(CarlaEgoVehicleControl, COMMANDS, timeout=60.0)
    publish(CarlaEgoVehicleControl())
    ros.subscribe(Bool, OVERRIDE, BEST_EFFORT)
    ros.wait_for(lambda: ros.node.count_publishers(OVERRIDE), 'the guard')
    ros.spin(1.0)
    assert 'does not fit' not in guard.output


@pytest.mark.skipif('fastrtps' not in get_rmw_implementation_identifier(),
                    reason='the profile is for Fast DDS')
def test_nodes_have_the_room_for_images_that_the_profile_gives(ros):
    """Whichever of its variables this Fast DDS reads; without it images are lost on the way."""
    node = ros.start('stuck_node.py', {'how': 'python'}, environment={'DEADLINE': '1'})
    ros.wait_for(lambda: 'ready' in node.output, 'the node', 60.0)
    assert node.shared_memory > 16e6
    node.kill()
