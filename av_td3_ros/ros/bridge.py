# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the CARLA ROS bridge publishes for one ego vehicle, of a simulated world.

Topics, types, QoS, frames, signs, stamps and the order within a tick (status, then ``/clock``,
then the sensors) are the bridge's, read from its code (carla-simulator/ros-bridge).
"""

from __future__ import annotations

from typing import Any

from carla_msgs.msg import (CarlaCollisionEvent, CarlaEgoVehicleInfo,
                            CarlaEgoVehicleInfoWheel, CarlaEgoVehicleStatus,
                            CarlaLaneInvasionEvent, CarlaStatus, CarlaWorldInfo)
from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float32

from av_td3_ros.driving.frames import Control, VehicleState
from av_td3_ros.ros import qos
from av_td3_ros.ros.images import ImageBuffer, make_camera_info
from av_td3_ros.ros.messages import make_control, make_odometry, make_path, make_stamp
from av_td3_ros.simulation.camera import Camera
from av_td3_ros.simulation.events import Collision, Event, LaneInvasion
from av_td3_ros.simulation.town import Town
from av_td3_ros.simulation.vehicle import VehicleSettings
from av_td3_ros.simulation.world import EGO_ID, World

CAMERA = 'rgb_front'
VEHICLE_TYPE = 'vehicle.av_td3.saloon'


class BridgePublisher:
    """
    Publishes a world tick by tick as the bridge does.

    What nobody subscribes to is not made: a volatile sample without a reader is lost anyway.
    """

    def __init__(self, node: Node, role: str, camera: Camera) -> None:
        self._role, self._camera = role, camera
        self._status_message = CarlaStatus()
        frame = f'{role}/{CAMERA}'
        width, height = camera.settings.width, camera.settings.height
        self._picture = ImageBuffer(width, height, 'bgra8', frame)
        self._camera_info_message = make_camera_info(
            width, height, camera.intrinsics.fx, 0, frame)

        def publisher(message: type, name: str, profile: Any = qos.STREAM) -> Any:
            topic = name if name.startswith('/') else f'/carla/{role}/{name}'
            return node.create_publisher(message, topic, profile)

        self._status = publisher(CarlaStatus, '/carla/status')
        self._clock = publisher(Clock, '/clock')
        self._world_info = publisher(CarlaWorldInfo, '/carla/world_info', qos.INFO)
        self._vehicle_status = publisher(CarlaEgoVehicleStatus, 'vehicle_status')
        self._vehicle_info = publisher(CarlaEgoVehicleInfo, 'vehicle_info', qos.INFO)
        self._odometry = publisher(Odometry, 'odometry')
        self._speedometer = publisher(Float32, 'speedometer')
        self._waypoints = publisher(Path, 'waypoints', qos.ROUTE)
        self._collision = publisher(CarlaCollisionEvent, 'collision')
        self._lane_invasion = publisher(CarlaLaneInvasionEvent, 'lane_invasion')
        self._camera_info = publisher(CameraInfo, f'{CAMERA}/camera_info')
        self._image = publisher(Image, f'{CAMERA}/image')

    def infos(self, town: Town, vehicle: VehicleSettings) -> None:
        """Publish what is said once: the map and the vehicle."""
        self._world_info.publish(CarlaWorldInfo(map_name=town.name, opendrive=town.opendrive))
        self._vehicle_info.publish(_vehicle_info(vehicle, self._role))

    def status(self, frame: int, dt: float, *, synchronous: bool, running: bool) -> None:
        """Publish the state of the simulation."""
        message = self._status_message
        message.frame, message.fixed_delta_seconds = frame, dt
        message.synchronous_mode, message.synchronous_mode_running = synchronous, running
        self._status.publish(message)

    def route(self, points: np.ndarray, town: Town, stamp: int) -> None:
        """Publish a route, (N, 2) in m; no points say that there is none."""
        heights = [town.height(x, y) for x, y in points.tolist()]
        self._waypoints.publish(make_path(points, stamp, heights))

    def tick(self, world: World, control: Control, events: list[Event]) -> None:
        """Publish the clock and then the sensors of the world's present tick."""
        state = world.state
        stamp = make_stamp(state.stamp)
        self._clock.publish(Clock(clock=stamp))
        odometry = make_odometry(state, self._role)
        if self._vehicle_status.get_subscription_count():
            self._vehicle_status.publish(
                _vehicle_status(odometry, state, world.acceleration, control))
        if self._odometry.get_subscription_count():
            self._odometry.publish(odometry)
        if self._speedometer.get_subscription_count():
            self._speedometer.publish(Float32(data=float(state.velocity[0])))
        for event in events:
            self._event(event, stamp)
        if self._camera_info.get_subscription_count():
            self._camera_info_message.header.stamp = stamp
            self._camera_info.publish(self._camera_info_message)
        if self._image.get_subscription_count():
            self._camera.render(state.pose, world.others, out=self._picture.pixels)
            self._picture.message.header.stamp = stamp
            self._image.publish(self._picture.message)

    def _event(self, event: Event, stamp: Any) -> None:
        if isinstance(event, Collision):
            message = CarlaCollisionEvent(other_actor_id=event.other_id)
            message.header.stamp, message.header.frame_id = stamp, f'{self._role}/collision'
            impulse = message.normal_impulse
            # The one vector that the bridge passes on in CARLA's left-handed axes.
            impulse.x, impulse.y, impulse.z = event.impulse[0], -event.impulse[1], event.impulse[2]
            self._collision.publish(message)
        elif isinstance(event, LaneInvasion):
            crossed = CarlaLaneInvasionEvent(crossed_lane_markings=list(event.markings))
            crossed.header.stamp, crossed.header.frame_id = stamp, f'{self._role}/lane_invasion'
            self._lane_invasion.publish(crossed)


def _vehicle_status(odometry: Odometry, state: VehicleState,
                    acceleration: tuple[float, float, float], control: Control) \
        -> CarlaEgoVehicleStatus:
    message = CarlaEgoVehicleStatus(header=odometry.header, velocity=state.speed,
                                    orientation=odometry.pose.pose.orientation,
                                    control=make_control(control))
    linear = message.acceleration.linear
    linear.x, linear.y, linear.z = acceleration
    return message


def _vehicle_info(vehicle: VehicleSettings, role: str) -> CarlaEgoVehicleInfo:
    message = CarlaEgoVehicleInfo(
        id=EGO_ID, type=VEHICLE_TYPE, rolename=role, mass=vehicle.mass,
        use_gear_autobox=True, drag_coefficient=vehicle.drag_area)
    message.center_of_mass.z = vehicle.centre_height
    half = 0.5 * vehicle.track
    # Front left, front right, rear left, rear right, as CARLA orders them. The torques are the
    # forces at full brake, shared by the wheels.
    for x, steer in ((vehicle.front_axle, vehicle.max_steer_angle), (-vehicle.rear_axle, 0.0)):
        for y in (half, -half):
            wheel = CarlaEgoVehicleInfoWheel(
                tire_friction=vehicle.friction, max_steer_angle=steer,
                radius=vehicle.wheel_radius,
                max_brake_torque=0.25 * vehicle.brake_force * vehicle.wheel_radius)
            if x < 0.0:
                wheel.max_handbrake_torque = 2.0 * wheel.max_brake_torque
            wheel.position.x, wheel.position.y, wheel.position.z = x, y, vehicle.wheel_radius
            message.wheels.append(wheel)
    return message
