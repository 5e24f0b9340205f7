# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The carla_msgs in use, CARLA's or our own, are on the wire what the CARLA bridge speaks."""

import importlib
import os
from pathlib import Path
import shutil
import subprocess

from carla_msgs.msg import CarlaEgoVehicleControl
import pytest
import rclpy
from rclpy.context import Context

ROOT = Path(__file__).resolve().parents[2]
CONTROL_HASH = 'RIHS01_4f251fa2a554e8ed996f77eb1d5b65515af1369eceb04d5122cb5761f7801be3'

FIELDS = {
    'CarlaEgoVehicleControl': [
        ('header', 'std_msgs/Header'), ('throttle', 'float'), ('steer', 'float'),
        ('brake', 'float'), ('hand_brake', 'boolean'), ('reverse', 'boolean'),
        ('gear', 'int32'), ('manual_gear_shift', 'boolean')],
    'CarlaEgoVehicleStatus': [
        ('header', 'std_msgs/Header'), ('velocity', 'float'),
        ('acceleration', 'geometry_msgs/Accel'), ('orientation', 'geometry_msgs/Quaternion'),
        ('control', 'carla_msgs/CarlaEgoVehicleControl')],
    'CarlaCollisionEvent': [
        ('header', 'std_msgs/Header'), ('other_actor_id', 'uint32'),
        ('normal_impulse', 'geometry_msgs/Vector3')],
    'CarlaLaneInvasionEvent': [
        ('header', 'std_msgs/Header'), ('crossed_lane_markings', 'sequence<int32>')],
    'CarlaStatus': [
        ('frame', 'uint64'), ('fixed_delta_seconds', 'float'), ('synchronous_mode', 'boolean'),
        ('synchronous_mode_running', 'boolean')],
    'CarlaControl': [('command', 'int8')],
    'CarlaWorldInfo': [('map_name', 'string'), ('opendrive', 'string')],
    'CarlaEgoVehicleInfoWheel': [
        ('tire_friction', 'float'), ('damping_rate', 'float'), ('max_steer_angle', 'float'),
        ('radius', 'float'), ('max_brake_torque', 'float'), ('max_handbrake_torque', 'float'),
        ('position', 'geometry_msgs/Vector3')],
    'CarlaEgoVehicleInfo': [
        ('id', 'uint32'), ('type', 'string'), ('rolename', 'string'),
        ('wheels', 'sequence<carla_msgs/CarlaEgoVehicleInfoWheel>'), ('max_rpm', 'float'),
        ('moi', 'float'), ('damping_rate_full_throttle', 'float'),
        ('damping_rate_zero_throttle_clutch_engaged', 'float'),
        ('damping_rate_zero_throttle_clutch_disengaged', 'float'),
        ('use_gear_autobox', 'boolean'), ('gear_switch_time', 'float'),
        ('clutch_strength', 'float'), ('mass', 'float'), ('drag_coefficient', 'float'),
        ('center_of_mass', 'geometry_msgs/Vector3')],
}
CONSTANTS = {
    'CarlaLaneInvasionEvent': {
        'LANE_MARKING_OTHER': 0, 'LANE_MARKING_BROKEN': 1, 'LANE_MARKING_SOLID': 2},
    'CarlaControl': {'PLAY': 0, 'PAUSE': 1, 'STEP_ONCE': 2},
}


def message(name):
    """Return the message class ``carla_msgs/msg/<name>``."""
    return getattr(importlib.import_module('carla_msgs.msg'), name)


@pytest.mark.parametrize('name', FIELDS)
def test_fields_are_the_bridge_s_in_order(name):
    assert list(message(name).get_fields_and_field_types().items()) == FIELDS[name]


@pytest.mark.parametrize('name', CONSTANTS)
def test_constants_are_the_bridge_s(name):
    assert {key: getattr(message(name), key) for key in CONSTANTS[name]} == CONSTANTS[name]


@pytest.mark.parametrize('name', FIELDS)
def test_our_definition_has_the_same_fields(name):
    lines = (ROOT / 'interfaces' / 'carla_msgs' / 'msg' / f'{name}.msg').read_text().splitlines()
    code = [line.split('#')[0].split() for line in lines]
    ours = [words[1] for words in code if words and '=' not in ''.join(words)]
    assert ours == [field for field, _ in FIELDS[name]]


@pytest.mark.ros
def test_type_hash_is_the_bridge_s(ros_domain):
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    try:
        node = rclpy.create_node('type_hash', context=context)
        node.create_publisher(CarlaEgoVehicleControl, 'type_hash_probe', 1)
        info, = node.get_publishers_info_by_topic('/type_hash_probe')
        if not hasattr(info, 'topic_type_hash'):
            pytest.skip('this ROS 2 distribution has no type hashes')
        assert str(info.topic_type_hash) == CONTROL_HASH
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_our_package_is_hidden_from_colcon():
    assert (ROOT / 'interfaces' / 'carla_msgs' / 'COLCON_IGNORE').is_file()
    colcon = shutil.which('colcon')
    if colcon is None:
        pytest.skip('colcon is not installed')
    found = subprocess.run([colcon, 'list', '--names-only', '--base-paths', str(ROOT)],
                           capture_output=True, text=True, check=True,
                           env={**os.environ, 'COLCON_LOG_PATH': os.devnull})
    assert found.stdout.split() == ['av_td3_ros']
