# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The rooms keep apart: who may import whom, and who may know ROS, a network or CARLA.

    nodes -> {ros, evaluation, visualization}; simulation -> driving;
    ros -> {driving, learning, simulation, setup_check};
    evaluation -> {driving, learning, visualization}; visualization -> {driving, learning};
    training -> {driving, learning, simulation, evaluation, visualization}
"""

import ast
from pathlib import Path
import re

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'av_td3_ros'

# Modules at the top of the package are rooms of their own. Every room may use what it is made
# of itself, and `settings`, `resources` and `jit`, which import nothing of ours.
COMMON = {'settings', 'resources', 'jit'}
ARROWS = {
    'settings': set(),
    'resources': set(),
    'jit': set(),
    'driving': set(),
    'learning': set(),
    'simulation': {'driving'},
    'evaluation': {'driving', 'learning', 'visualization'},
    'training': {'driving', 'learning', 'simulation', 'evaluation', 'visualization'},
    'setup_check': set(),
    'visualization': {'driving', 'learning'},
    'ros': {'driving', 'learning', 'simulation', 'setup_check'},
    'nodes': {'ros', 'driving', 'learning', 'simulation', 'setup_check', 'visualization',
              'evaluation'},
    'launch_common': {'launch_carla', 'ros'},
    'launch_carla': {'carla_objects'},
    'carla_objects': set(),
    'demo': {'ros', 'driving', 'learning', 'simulation', 'evaluation', 'visualization'},
}
# What is not ours and only some rooms may know.
ROS = (r'rclpy|cv_bridge|tf2\w*|ament\w*|rosidl\w*|rosbag2\w*|launch|launch_ros|std_srvs|'
       r'\w+_msgs|\w+_interfaces')
FOREIGN = {
    ROS: {'ros', 'nodes', 'launch_common', 'launch_carla', 'demo'},
    r'launch|launch_ros': {'launch_common', 'launch_carla'},
    r'torch\w*|tensorboard\w*': {'learning', 'training', 'evaluation', 'ros', 'nodes', 'demo'},
    r'carla': {'simulation'},
    r'gymnasium': {'simulation', 'training'},
}


def rooms():
    """Return each room with its modules' paths."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        if parts != ('__init__',):
            found.setdefault(parts[0], []).append(path)
    return found


def imports(source, package):
    """Yield the full name of everything that a module of ``package`` imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.split('.')[:-(node.level - 1) or None] if node.level else []
            module = '.'.join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield f'{module}.{alias.name}'


def violations(room, source, package):
    """Return what a module of ``room`` imports against the arrows."""
    allowed = ARROWS[room] | {room} | (COMMON if room not in COMMON else set())
    wrong = set()
    for name in imports(source, package):
        top, *rest = name.split('.')
        if top == 'av_td3_ros':
            if rest and rest[0] in ARROWS and rest[0] not in allowed:
                wrong.add(f'{room} imports {name}')
        else:
            wrong |= {f'{room} imports {name}' for pattern, knowing in FOREIGN.items()
                      if re.fullmatch(pattern, top) and room not in knowing}
    return wrong


def test_every_room_has_its_place():
    assert set(rooms()) <= set(ARROWS)


@pytest.mark.parametrize('room', sorted(rooms()))
def test_imports_follow_the_arrows(room):
    wrong = set()
    for path in rooms()[room]:
        package = '.'.join(['av_td3_ros', *path.relative_to(PACKAGE).parts[:-1]])
        wrong |= violations(room, path.read_text(encoding='utf-8'), package)
    assert not wrong


@pytest.mark.parametrize('room, source', [
    ('driving', 'import rclpy'),
    ('driving', 'from sensor_msgs.msg import Image'),
    ('driving', 'import torch.nn as nn'),
    ('driving', 'from av_td3_ros.simulation.town import Town'),
    ('driving', 'from ..simulation import town'),
    ('driving', 'from av_td3_ros import simulation'),
    ('learning', 'def late():\n    import carla'),
    ('learning', 'from av_td3_ros.driving import frames'),
    ('simulation', 'from std_srvs.srv import Trigger'),
    ('simulation', 'import av_td3_ros.ros.messages'),
    ('ros', 'from av_td3_ros.nodes import policy'),
    ('settings', 'from av_td3_ros.resources import shipped'),
    ('nodes', 'from launch import LaunchDescription'),
    ('evaluation', 'from sensor_msgs.msg import Image'),
    ('evaluation', 'from av_td3_ros.ros import messages'),
])
def test_a_wrong_import_is_found(room, source):
    assert violations(room, source, f'av_td3_ros.{room}')


@pytest.mark.parametrize('room, source', [
    ('driving', 'import numpy\nfrom av_td3_ros.settings import setting\nfrom . import frames'),
    ('simulation', 'import carla\nfrom av_td3_ros.driving.frames import Pose'),
    ('nodes', 'import rclpy\nfrom av_td3_ros.ros.qos import EVENTS'),
    ('training', 'import torch\nfrom av_td3_ros.simulation import TownEnv'),
    ('evaluation', 'import rosbags.rosbag2\nfrom av_td3_ros.driving.ticks import Ticks'),
])
def test_a_right_import_is_not_reported(room, source):
    assert not violations(room, source, f'av_td3_ros.{room}')
