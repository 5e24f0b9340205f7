# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policies let each node do what it does on the real graph, and no more."""

import os
from pathlib import Path
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from sensor_msgs.msg import Image
from stack import CAMERA, EGO, LEARNER, START, TRAINER

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
POLICIES = Path(__file__).resolve().parents[2] / 'config' / 'sros2' / 'policies.xml'
NODES = {'/carla_ros_bridge': ('simulator', {**CAMERA}),
         f'{EGO}/av_td3_policy': ('policy', {'training': True}),
         # As it is launched.
         TRAINER: ('training', {**LEARNER, 'use_sim_time': True}),
         f'{EGO}/av_td3_guard': ('guard', {}),
         f'{EGO}/av_td3_visualization': ('visualization', {})}
KINDS = ('publish', 'subscribe', 'reply', 'request')


def done_by(node, full_name):
    """Return what a node of the graph publishes, subscribes to, answers and asks."""
    space, name = full_name.rsplit('/', 1)
    arguments = name, space or '/'
    ask = (node.get_publisher_names_and_types_by_node,
           node.get_subscriber_names_and_types_by_node,
           node.get_service_names_and_types_by_node, node.get_client_names_and_types_by_node)
    return {kind: {topic for topic, _ in get(*arguments)} for kind, get in zip(KINDS, ask)}


def allowed():
    """Return what the policy file allows each node."""
    found = {}
    for profile in ElementTree.parse(POLICIES).iter('profile'):
        name = profile.get('ns').rstrip('/') + '/' + profile.get('node')
        rights = {kind: set() for kind in KINDS}
        for group in profile:
            for kind in KINDS:
                if group.get(kind) == 'ALLOW':
                    rights[kind] |= {_absolute(item.text.strip(), name) for item in group}
        found[name] = rights
    return found


def _absolute(name, node):
    if name.startswith('~/'):
        return f'{node}/{name[2:]}'
    return name if name.startswith('/') else f"{node.rsplit('/', 1)[0]}/{name}"


def start_all(ros):
    """Start every node, and wait until the graph shows it with all its endpoints."""
    # It listens only while somebody watches.
    ros.subscribe(Image, f'{EGO}/av_td3_visualization/image')
    for executable, parameters in NODES.values():
        more = {'checkpoint_dir': 'checkpoints'} if executable == 'training' else {}
        ros.start(executable, {**parameters, **more})

    def known():
        names = {(space.rstrip('/') + '/' + name)
                 for name, space in ros.node.get_node_names_and_namespaces()}
        return names >= set(NODES)
    ros.wait_for(known, 'every node', START)
    # The simulator compiles, and the training node loads, before they make their endpoints.
    ros.wait_for(lambda: all(map(ros.node.count_publishers, (
        f'{EGO}/rgb_front/image', f'{TRAINER}/weights', f'{EGO}/vehicle_control_cmd',
        f'{EGO}/vehicle_control_cmd_manual'))), 'their endpoints', START)
    ros.wait_for(lambda: ros.node.count_subscribers(f'{TRAINER}/experience') > 1,
                 'who watches', START)
    before = None
    while before != (before := {name: done_by(ros.node, name) for name in NODES}):
        ros.spin(3.0)
    return before


def test_the_policies_are_what_the_nodes_do(ros):
    done, rights = start_all(ros), allowed()
    assert set(rights) == set(NODES)
    for name in NODES:
        for kind in KINDS:
            assert done[name][kind] == rights[name][kind], f'{name} {kind}'


def test_nobody_else_may_command_or_override():
    rights = allowed()
    for topic, who in ((f'{EGO}/vehicle_control_cmd', {f'{EGO}/av_td3_policy'}),
                       (f'{EGO}/vehicle_control_cmd_manual', {f'{EGO}/av_td3_guard'}),
                       (f'{EGO}/vehicle_control_manual_override', {f'{EGO}/av_td3_guard'}),
                       (f'{TRAINER}/weights', {TRAINER})):
        assert {name for name in rights if topic in rights[name]['publish']} == who


@pytest.mark.parametrize('enclave, said', [('/nobody', 'SECURITY'), ('/', 'error creating node')])
def test_where_security_is_enforced_no_node_starts_without_it(tmp_path, enclave, said):
    """
    A node without an enclave, or with one that holds no keys, does not start.

    Nor does it with a middleware that was built without security, as the wheels are.
    """
    (tmp_path / 'enclaves').mkdir()
    process = subprocess.run(
        [sys.executable, '-m', 'av_td3_ros.nodes.guard', '--ros-args', '--enclave', enclave],
        capture_output=True, text=True, timeout=60, cwd=POLICIES.parents[2], env={
            **os.environ, 'ROS_SECURITY_ENABLE': 'true',
            'ROS_SECURITY_STRATEGY': 'Enforce', 'ROS_SECURITY_KEYSTORE': str(tmp_path)})
    assert process.returncode != 0 and said in process.stderr
