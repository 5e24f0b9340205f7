# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
docs/topics.md names every topic and service of each node, with the types and QoS of the code.

The names are held to ``config/sros2/policies.xml``, which a test of the nodes holds to a running
graph; types and QoS to the calls in the code that make the endpoints.
"""

import ast
from pathlib import Path
import re
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'topics.md').read_text(encoding='utf-8')
EGO = '/carla/ego_vehicle'
# What rclpy gives every node, which the page says once.
STANDARD = {'/parameter_events', '/rosout', 'describe_parameters', 'get_parameter_types',
            'get_parameters', 'get_type_description', 'list_parameters', 'set_parameters',
            'set_parameters_atomically'}
SECTION = re.compile(r'^## \w+: (\S+)$', re.M)
TOPIC = re.compile(r'^\| (publishes|subscribes) \| `([^`]+)` \| `(\w+)/(\w+)` \| (\S+) \|', re.M)
SERVICE = re.compile(r'^\| `(~/\w+)` \| `(\w+)/(\w+)` \|', re.M)
MAKERS = {'create_publisher', 'create_lifecycle_publisher', 'create_subscription', 'listen',
          'publisher', 'subscribe', 'make'}
# In the code a type may be imported under another name.
NAMES = {'PoseMsg': 'Pose', 'ClockMsg': 'Clock'}


def absolute(name, node):
    """Return the full name of a topic of a node."""
    if name.startswith('~/'):
        return f'{node}/{name[2:]}'
    return name if name.startswith('/') else f'{EGO}/{name}'


def sections():
    """Return each node's part of the page."""
    parts = SECTION.split(PAGE)[1:]
    return dict(zip(parts[::2], parts[1::2]))


def allowed(node, kind):
    """Return the names that the SROS2 policies allow a node, without what every node has."""
    profiles = ElementTree.parse(ROOT / 'config' / 'sros2' / 'policies.xml').iter('profile')
    profile, = (p for p in profiles
                if p.get('ns').rstrip('/') + '/' + p.get('node') == node)
    names = {item.text.strip() for group in profile if group.get(kind) == 'ALLOW'
             for item in group}
    return {absolute(name, node) for name in names
            if name not in STANDARD and name.rsplit('/', 1)[-1] not in STANDARD}


@pytest.mark.parametrize('node', sections())
def test_every_topic_and_service_is_on_the_page(node):
    part = sections()[node]
    for word, kind in (('publishes', 'publish'), ('subscribes', 'subscribe')):
        told = [absolute(name, node) for did, name, *_ in TOPIC.findall(part) if did == word]
        assert len(told) == len(set(told))
        assert set(told) == allowed(node, kind), word
    told = {absolute(name, node) for name, *_ in SERVICE.findall(part)}
    assert told == allowed(node, 'reply')


def test_every_node_is_on_the_page():
    profiles = ElementTree.parse(ROOT / 'config' / 'sros2' / 'policies.xml').iter('profile')
    assert set(sections()) == {p.get('ns').rstrip('/') + '/' + p.get('node') for p in profiles}


def made():
    """Return type, last part of the name and QoS of each endpoint that the code makes."""
    found = set()
    for path in [*(ROOT / 'av_td3_ros' / 'nodes').glob('*.py'),
                 *(ROOT / 'av_td3_ros' / 'ros').glob('*.py')]:
        for call in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(call, ast.Call) and len(call.args) > 1 \
                    and isinstance(call.args[0], ast.Name) and call.args[0].id[0].isupper() \
                    and getattr(call.func, 'attr', getattr(call.func, 'id', '')) in MAKERS:
                name = call.args[1]
                name = name.values[-1] if isinstance(name, ast.JoinedStr) else name
                text = getattr(name, 'value', getattr(name, 'id', ''))
                if not isinstance(text, str):
                    continue
                profiles = [a.attr for a in [*call.args[2:], *(k.value for k in call.keywords)]
                            if isinstance(a, ast.Attribute) and a.attr.isupper()]
                kind = NAMES.get(call.args[0].id, call.args[0].id)
                found.add((kind, text.rsplit('/', 1)[-1], (profiles or ['STREAM'])[0]))
    # The guard names this topic by a constant.
    return {(kind, 'vehicle_control_cmd' if name == '_COMMANDS' else name, profile)
            for kind, name, profile in found}


def test_types_and_qos_are_those_of_the_code():
    endpoints = made()
    assert len(endpoints) > 25
    rows = {(kind, name.rsplit('/', 1)[-1], profile)
            for _, name, _, kind, profile in TOPIC.findall(PAGE) if profile != "rclpy's"}
    assert rows <= endpoints, rows - endpoints
    assert endpoints <= rows, endpoints - rows


def test_profiles_are_those_of_the_code():
    qos = pytest.importorskip('av_td3_ros.ros.qos')
    from rclpy.qos import DurabilityPolicy
    rows = {name: (int(depth), durability) for name, depth, durability in re.findall(
        r'^\| ([A-Z]+) \| (\d+) \| ([a-z ]+) \|', PAGE, re.M)}
    assert rows == {
        name: (profile.depth, 'transient local' if profile.durability
               == DurabilityPolicy.TRANSIENT_LOCAL else 'volatile')
        for name, profile in vars(qos).items() if name.isupper() and hasattr(profile, 'depth')}
