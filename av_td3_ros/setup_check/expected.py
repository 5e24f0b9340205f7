# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The topics that the nodes need of a CARLA bridge, with the reason where one is missing.

Names, types and QoS are those of carla-simulator/ros-bridge.
"""

from __future__ import annotations

import dataclasses

STATUS, CLOCK, CONTROL = '/carla/status', '/clock', '/carla/control'
WORLD_INFO = '/carla/world_info'
COMMAND, OVERRIDE = 'vehicle_control_cmd', 'vehicle_control_manual_override'
ODOMETRY, ROUTE = 'odometry', 'waypoints'
WEIGHTS = '/av_td3_trainer/weights'


@dataclasses.dataclass(frozen=True)
class Expected:
    """
    A topic that the bridge has, and what to do where it has not.

    ``name`` is relative to the vehicle's namespace unless it begins with a slash. ``published``
    tells whether the bridge publishes it (else it subscribes to it), ``needed`` whether the nodes
    do without it, ``stamped`` whether it carries the stamp of every tick.
    """

    name: str
    type: str  # noqa: A003
    remedy: str
    published: bool = True
    latched: bool = False
    needed: bool = True
    stamped: bool = False

    def topic(self, role: str) -> str:
        """Return the full name of the topic for a vehicle."""
        return self.name if self.name.startswith('/') else f'/carla/{role}/{self.name}'


_BRIDGE = 'start the bridge: ros2 launch carla_ros_bridge carla_ros_bridge.launch.py'
_EGO = 'spawn the vehicle, and give its role name to the bridge as ego_vehicle_role_name'
_SPAWN = 'spawn a {} named {!r} on the vehicle, as config/objects.json of av_td3_ros does'


def expected(camera: str) -> tuple[Expected, ...]:
    """Return the topics that are expected where the camera has the id ``camera``."""
    pseudo = _SPAWN.format
    return (
        Expected(STATUS, 'carla_msgs/msg/CarlaStatus', _BRIDGE),
        Expected(CLOCK, 'rosgraph_msgs/msg/Clock', _BRIDGE),
        Expected(WORLD_INFO, 'carla_msgs/msg/CarlaWorldInfo', _BRIDGE, latched=True,
                 needed=False),
        Expected(CONTROL, 'carla_msgs/msg/CarlaControl',
                 'run the bridge with synchronous_mode:=True and passive:=False', published=False,
                 needed=False),
        Expected(f'{camera}/image', 'sensor_msgs/msg/Image', pseudo('sensor.camera.rgb', camera),
                 stamped=True),
        Expected(f'{camera}/camera_info', 'sensor_msgs/msg/CameraInfo',
                 pseudo('sensor.camera.rgb', camera), needed=False, stamped=True),
        Expected(ODOMETRY, 'nav_msgs/msg/Odometry', pseudo('sensor.pseudo.odom', 'odometry'),
                 stamped=True),
        Expected('vehicle_status', 'carla_msgs/msg/CarlaEgoVehicleStatus', _EGO, needed=False,
                 stamped=True),
        Expected('vehicle_info', 'carla_msgs/msg/CarlaEgoVehicleInfo', _EGO, latched=True,
                 needed=False),
        Expected(ROUTE, 'nav_msgs/msg/Path',
                 'start the waypoint publisher: ros2 launch carla_waypoint_publisher '
                 'carla_waypoint_publisher.launch.py role_name:=<role>', latched=True),
        Expected('collision', 'carla_msgs/msg/CarlaCollisionEvent',
                 pseudo('sensor.other.collision', 'collision')),
        Expected('lane_invasion', 'carla_msgs/msg/CarlaLaneInvasionEvent',
                 pseudo('sensor.other.lane_invasion', 'lane_invasion'), needed=False),
        Expected('speedometer', 'std_msgs/msg/Float32',
                 pseudo('sensor.pseudo.speedometer', 'speedometer'), needed=False),
        Expected(COMMAND, 'carla_msgs/msg/CarlaEgoVehicleControl', _EGO, published=False),
        Expected(OVERRIDE, 'std_msgs/msg/Bool', _EGO, published=False, latched=True),
        Expected('control/set_transform', 'geometry_msgs/msg/Pose',
                 pseudo('actor.pseudo.control', 'control') + '; training needs it',
                 published=False, needed=False),
        Expected('goal', 'geometry_msgs/msg/PoseStamped',
                 'start the waypoint publisher; training sets goals by it', published=False,
                 needed=False),
    )
