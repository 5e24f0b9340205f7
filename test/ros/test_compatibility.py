# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is imported of rclpy is in every distribution that is supported; what lacks is borne."""

import ast
from pathlib import Path

import pytest
from rclpy.node import Node
from std_msgs.msg import Bool

from av_td3_ros.ros import qos
from av_td3_ros.ros.endpoints import Endpoints

try:
    from rclpy.event_handler import (PublisherEventCallbacks, SubscriptionEventCallbacks,
                                     UnsupportedEventTypeError)
except ImportError:
    from rclpy.qos_event import (PublisherEventCallbacks, SubscriptionEventCallbacks,
                                 UnsupportedEventTypeError)

PACKAGE = Path(__file__).resolve().parents[2] / 'av_td3_ros'
# The modules of rclpy 3.3, Humble's; those of Jazzy and Kilted are these and more, but for
# qos_event.
HUMBLE = {f'rclpy.{name}' for name in (
    'action callback_groups client clock constants context duration exceptions executors '
    'expand_topic_name guard_condition impl lifecycle logging node parameter parameter_service '
    'publisher qos qos_event qos_overriding_options serialization service signals subscription '
    'task time time_source timer topic_endpoint_info topic_or_service_is_hidden type_support '
    'utilities validate_full_topic_name validate_namespace validate_node_name '
    'validate_parameter_name validate_topic_name wait_for_message waitable').split()} | {'rclpy'}


def imported(path):
    """Return the modules of rclpy that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split('.')[0] == 'rclpy'}


FILES = [path for path in sorted(PACKAGE.rglob('*.py'))
         if imported(path) and path.name != 'compatibility.py']


def test_files_are_found():
    assert len(FILES) > 20
    assert {'rclpy.event_handler', 'rclpy.qos_event'} <= imported(
        PACKAGE / 'ros' / 'compatibility.py')


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_only_compatibility_knows_what_not_every_distribution_has(path):
    assert imported(path) <= HUMBLE - {'rclpy.qos_event'}


@pytest.mark.ros
def test_a_middleware_that_tells_of_no_misfits_has_endpoints_all_the_same(context, monkeypatch):
    """As Humble's rclpy, which passes over an event that is not known for its own defaults."""
    class Spoken(Endpoints, Node):
        """Says with whom it does not match, where it is told."""

    node, refused = Spoken('spoken', context=context), []

    def refuse(self, *arguments, **options):
        refused.append(self)
        raise UnsupportedEventTypeError('of this middleware')
    for container in (PublisherEventCallbacks, SubscriptionEventCallbacks):
        monkeypatch.setattr(container, 'create_event_handlers', refuse)
    try:
        publisher = node.create_publisher(Bool, 'said', qos.OVERRIDE)
        subscription = node.create_subscription(Bool, 'said', lambda message: None, qos.OVERRIDE)
        assert len(refused) == 2
        assert publisher.event_handlers == [] == subscription.event_handlers
        assert publisher.qos_profile.durability == qos.OVERRIDE.durability
        assert node.has_parameter('qos_overrides./said.publisher.depth')
    finally:
        node.destroy_node()
