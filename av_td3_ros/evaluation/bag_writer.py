# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writing bags in the CARLA bridge's topics, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import numpy as np
from rosbags.interfaces import (Qos, QosDurability, QosHistory, QosLiveliness, QosReliability,
                                QosTime)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from av_td3_ros.driving.frames import Control, Pose, quaternion_from_yaw, VehicleState
from av_td3_ros.evaluation.definitions import typestore

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
COMPRESSIONS = {'none': CompressionMode.NONE, 'file': CompressionMode.FILE,
                'message': CompressionMode.MESSAGE, 'storage': CompressionMode.STORAGE}
VERSION = 8
"""Of metadata.yaml: Iron's, which rosbag2 from Humble to Rolling reads."""

_TYPES = {
    '{role}/odometry': 'nav_msgs/msg/Odometry',
    '{role}/waypoints': 'nav_msgs/msg/Path',
    '{role}/vehicle_control_cmd': 'carla_msgs/msg/CarlaEgoVehicleControl',
    '{role}/vehicle_status': 'carla_msgs/msg/CarlaEgoVehicleStatus',
    '{role}/collision': 'carla_msgs/msg/CarlaCollisionEvent',
    '{role}/lane_invasion': 'carla_msgs/msg/CarlaLaneInvasionEvent',
    'objects': 'derived_object_msgs/msg/ObjectArray',
}
_CAR = 6     # derived_object_msgs/Object CLASSIFICATION_CAR
_BOX = 1     # shape_msgs/SolidPrimitive BOX


def offered(depth: int, *, latched: bool = False, reliable: bool = True) -> Qos:
    """Return QoS as a bag keeps it, so that a player offers the same."""
    none = QosTime(0, 0)
    return Qos(QosHistory.KEEP_LAST, depth,
               QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
               QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
               none, none, QosLiveliness.SYSTEM_DEFAULT, none, False)


class BridgeBag:
    """
    A new bag with what the bridge publishes of one vehicle; a context manager that closes it.

    Everything is received (the bag's own time) at its stamp plus ``start``, ns. storage: 'mcap' or
    'sqlite3'. compression: 'none', 'file', 'message', or (mcap only) 'storage'. jpeg: quality of
    ``CompressedImage`` in place of ``Image``, 0 for none. Raises rosbags' WriterError where the
    folder exists already.
    """

    def __init__(self, path: str | Path, *, role: str = 'ego_vehicle', storage: str = 'mcap',
                 compression: str = 'none', camera: str = 'rgb_front', jpeg: int = 0,
                 start: int = 0) -> None:
        self.role, self._camera, self._jpeg, self._start = role, camera, jpeg, start
        self._store = typestore()
        self._writer = Writer(Path(path), version=VERSION, storage_plugin=STORAGES[storage])
        self._writer.set_compression(COMPRESSIONS[compression], CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> 'BridgeBag':
        self._writer.__enter__()
        for name, kind in _TYPES.items():
            self._connect(name.format(role=self.role), kind)
        self._image = f'{self.role}/{self._camera}/image' + ('/compressed' if self._jpeg else '')
        self._connect(self._image, 'sensor_msgs/msg/CompressedImage' if self._jpeg
                      else 'sensor_msgs/msg/Image')
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def image(self, stamp: int, picture: np.ndarray, encoding: str = 'bgra8') -> None:
        """Write a picture, (H, W, C) or (H, W) uint8 in ``encoding``."""
        header = self._header(stamp, f'{self.role}/{self._camera}')
        if self._jpeg:
            import cv2
            _, data = cv2.imencode('.jpg', picture[..., :3], [cv2.IMWRITE_JPEG_QUALITY,
                                                              self._jpeg])
            self._write(self._image, stamp, self._make(
                'sensor_msgs/msg/CompressedImage', header=header,
                format=f'{encoding}; jpeg compressed bgr8', data=data.ravel()))
            return
        height, width = picture.shape[:2]
        data = np.ascontiguousarray(picture).reshape(-1)
        self._write(self._image, stamp, self._make(
            'sensor_msgs/msg/Image', header=header, height=height, width=width,
            encoding=encoding, is_bigendian=0, step=len(data) // height, data=data))

    def odometry(self, state: VehicleState, role: str | None = None) -> None:
        """Write the vehicle's odometry; or another's, in its own topic."""
        name = f'{role or self.role}/odometry'
        if name not in self._connections:
            self._connect(name, 'nav_msgs/msg/Odometry')
        zeros = np.zeros(36)
        self._write(name, state.stamp, self._make(
            'nav_msgs/msg/Odometry', header=self._header(state.stamp, 'map'),
            child_frame_id=role or self.role,
            pose=self._make('geometry_msgs/msg/PoseWithCovariance', pose=self._pose(state.pose),
                            covariance=zeros),
            twist=self._make('geometry_msgs/msg/TwistWithCovariance', covariance=zeros,
                             twist=self._twist(*state.velocity, state.yaw_rate))))

    def route(self, stamp: int, points: np.ndarray) -> None:
        """Write a route, (N, 2) in m, map frame."""
        empty = self._header(0, '')
        poses = [self._make('geometry_msgs/msg/PoseStamped', header=empty,
                            pose=self._pose(Pose(float(x), float(y), 0.0, 0.0)))
                 for x, y in points]
        self._write(f'{self.role}/waypoints', stamp, self._make(
            'nav_msgs/msg/Path', header=self._header(stamp, 'map'), poses=poses))

    def command(self, stamp: int, control: Control) -> None:
        """Write a command that answers the picture of ``stamp``."""
        self._write(f'{self.role}/vehicle_control_cmd', stamp, self._control(stamp, control))

    def status(self, state: VehicleState, acceleration: Sequence[float], control: Control) -> None:
        """Write the status; acceleration in m/s^2 in map axes, control as applied last."""
        vector = self._vector(*acceleration)
        self._write(f'{self.role}/vehicle_status', state.stamp, self._make(
            'carla_msgs/msg/CarlaEgoVehicleStatus', header=self._header(state.stamp, 'map'),
            velocity=state.speed, orientation=self._pose(state.pose).orientation,
            acceleration=self._make('geometry_msgs/msg/Accel', linear=vector,
                                    angular=self._vector()),
            control=self._control(0, control)))

    def collision(self, stamp: int, other: int, impulse: Sequence[float]) -> None:
        """Write a collision; impulse in N s."""
        self._write(f'{self.role}/collision', stamp, self._make(
            'carla_msgs/msg/CarlaCollisionEvent',
            header=self._header(stamp, f'{self.role}/collision'), other_actor_id=other,
            normal_impulse=self._vector(*impulse)))

    def lane_invasion(self, stamp: int, markings: Sequence[int]) -> None:
        """Write which markings were crossed, CARLA's numbers."""
        self._write(f'{self.role}/lane_invasion', stamp, self._make(
            'carla_msgs/msg/CarlaLaneInvasionEvent',
            header=self._header(stamp, f'{self.role}/lane_invasion'),
            crossed_lane_markings=np.array(markings, np.int32)))

    def objects(self, stamp: int, cars: Sequence[tuple[int, Pose, float, float, float]]) -> None:
        """Write other cars: id, pose in the map frame, speed m/s, length and width m."""
        header = self._header(stamp, 'map')
        made = []
        for number, pose, speed, length, width in cars:
            cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
            made.append(self._make(
                'derived_object_msgs/msg/Object', header=header, id=number, detection_level=1,
                object_classified=True, pose=self._pose(pose),
                # The bridge gives velocities of objects in map axes.
                twist=self._twist(float(speed * cos), float(speed * sin), 0.0),
                accel=self._make('geometry_msgs/msg/Accel', linear=self._vector(),
                                 angular=self._vector()),
                polygon=self._make('geometry_msgs/msg/Polygon', points=[]),
                shape=self._make('shape_msgs/msg/SolidPrimitive', type=_BOX,
                                 dimensions=np.array([length, width, 1.5]),
                                 polygon=self._make('geometry_msgs/msg/Polygon', points=[])),
                classification=_CAR, classification_age=0, classification_certainty=255))
        self._write('objects', stamp, self._make(
            'derived_object_msgs/msg/ObjectArray', header=header, objects=made))

    def _connect(self, name: str, kind: str) -> None:
        self._connections[name] = self._writer.add_connection(
            f'/carla/{name}', kind, typestore=self._store, offered_qos_profiles=[
                offered(1, latched=True) if name.endswith('/waypoints') else offered(10)])

    def _write(self, name: str, stamp: int, message: Any) -> None:
        data = self._store.serialize_cdr(message, message.__msgtype__)
        self._writer.write(self._connections[name], self._start + stamp, data)

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)

    def _header(self, stamp: int, frame: str) -> Any:
        sec, nanosec = divmod(stamp, 1_000_000_000)
        return self._make('std_msgs/msg/Header', frame_id=frame, stamp=self._make(
            'builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec))

    def _vector(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
        return self._make('geometry_msgs/msg/Vector3', x=float(x), y=float(y), z=float(z))

    def _twist(self, x: float, y: float, turn: float) -> Any:
        return self._make('geometry_msgs/msg/Twist', linear=self._vector(x, y),
                          angular=self._vector(z=turn))

    def _pose(self, pose: Pose) -> Any:
        x, y, z, w = quaternion_from_yaw(pose.yaw)
        return self._make(
            'geometry_msgs/msg/Pose',
            position=self._make('geometry_msgs/msg/Point', x=float(pose.x), y=float(pose.y),
                                z=float(pose.z)),
            orientation=self._make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w))

    def _control(self, stamp: int, control: Control) -> Any:
        return self._make(
            'carla_msgs/msg/CarlaEgoVehicleControl', header=self._header(stamp, ''),
            throttle=float(control.throttle), steer=float(control.steer),
            brake=float(control.brake), hand_brake=control.hand_brake, reverse=control.reverse,
            gear=control.gear, manual_gear_shift=control.manual_gear_shift)
