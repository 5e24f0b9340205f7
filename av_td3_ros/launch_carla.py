# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
CARLA's side of the launch files: its ROS bridge, the spawner of vehicle and sensors, the route.

Each is started where its package is installed, and expected to run already where it is not. Only
``launch_common`` imports this module.
"""

from __future__ import annotations

import json
from pathlib import Path

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch_ros.actions import Node

from av_td3_ros.carla_objects import objects_for
from av_td3_ros.resources import share_directory

DEFAULT_OBJECTS = share_directory() / 'config' / 'objects.json'
# The bridge's default of 2 s is less than CARLA needs for loading a town.
_TIMEOUT = 60
_SYNCHRONOUS = {'synchronous_mode': 'True',
                'synchronous_mode_wait_for_vehicle_control_command': 'True',
                'fixed_delta_seconds': '0.05'}


def arguments() -> list[Action]:
    """Declare the arguments that only matter with simulator:=carla."""
    return [
        DeclareLaunchArgument(
            'carla_host', default_value='localhost',
            description='Host of the CARLA server, for simulator:=carla.'),
        DeclareLaunchArgument(
            'carla_port', default_value='2000',
            description='TCP port of the CARLA server, for simulator:=carla.'),
        DeclareLaunchArgument(
            'objects_file', default_value=str(DEFAULT_OBJECTS),
            description='Vehicle and sensors to spawn in CARLA, for simulator:=carla, as '
                        "carla_spawn_objects reads it; 'none' spawns nothing."),
    ]


def bridge(role: str, host: str, port: str, town: str) -> list[Action]:
    """Return what starts CARLA's bridge, synchronous and waiting for one command a tick."""
    share = _share('carla_ros_bridge')
    if share is None:
        return [LogInfo(msg='The package carla_ros_bridge is not installed; expecting a CARLA '
                            'bridge that runs already.')]
    return [IncludeLaunchDescription(
        AnyLaunchDescriptionSource(str(share / 'carla_ros_bridge.launch.py')),
        launch_arguments={
            **_SYNCHRONOUS, 'host': host, 'port': port, 'timeout': str(_TIMEOUT),
            # As a list: in a plain string the bridge looks for parts of it.
            'ego_vehicle_role_name': json.dumps([role]),
            **({'town': town} if town else {})}.items())]


def spawner(objects: Path, role: str) -> list[Action]:
    """Return what spawns the vehicle and sensors of the file ``objects``."""
    if _share('carla_spawn_objects') is None:
        return [LogInfo(msg='The package carla_spawn_objects is not installed; expecting a '
                            f'vehicle {role} with the sensors of {DEFAULT_OBJECTS}.')]
    return [Node(package='carla_spawn_objects', executable='carla_spawn_objects',
                 name='carla_spawn_objects', output='screen', emulate_tty=True,
                 parameters=[{'objects_definition_file': str(objects_for(objects, role)),
                              'spawn_sensors_only': False}])]


def waypoints(role: str, host: str, port: str) -> list[Action]:
    """Return what publishes the route."""
    if _share('carla_waypoint_publisher') is None:
        return [LogInfo(msg='The package carla_waypoint_publisher is not installed; expecting '
                            f'someone else to publish /carla/{role}/waypoints.')]
    # It gives up when the world is not there after 15 s, which loading a town may take.
    return [Node(package='carla_waypoint_publisher', executable='carla_waypoint_publisher',
                 name='carla_waypoint_publisher', output='screen', emulate_tty=True,
                 respawn=True, respawn_delay=2.0,
                 parameters=[{'host': host, 'port': int(port), 'timeout': _TIMEOUT,
                              'role_name': role}])]


def _share(package: str) -> Path | None:
    try:
        return Path(get_package_share_directory(package))
    except PackageNotFoundError:
        return None
