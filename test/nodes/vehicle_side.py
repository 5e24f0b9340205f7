# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bridge in the test's own hands: each message to the policy node is the test's decision."""

from carla_msgs.msg import CarlaCollisionEvent, CarlaEgoVehicleControl
from nav_msgs.msg import Odometry, Path
import numpy as np
from sensor_msgs.msg import Image
from stack import EGO, START

from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.ros import qos
from av_td3_ros.ros.images import make_image
from av_td3_ros.ros.messages import make_odometry, make_path, read_control, read_stamp

TICK = 50_000_000
STRAIGHT = np.stack([np.arange(0.0, 2000.0), np.zeros(2000)], axis=1)


class VehicleSide:
    """Publishes ticks of a car that follows a straight route, and listens to its commands."""

    def __init__(self, ros):
        self.ros = ros
        self.commands = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd')
        self.image = ros.publisher(Image, f'{EGO}/rgb_front/image', timeout=START)
        self.odometry = ros.publisher(Odometry, f'{EGO}/odometry')
        self.route = ros.publisher(Path, f'{EGO}/waypoints', qos.ROUTE)
        self.collision = ros.publisher(CarlaCollisionEvent, f'{EGO}/collision')
        self.number = 1
        self._sent = 0
        ros.wait_for(lambda: ros.node.count_publishers(f'{EGO}/vehicle_control_cmd'), 'commands')

    @property
    def stamp(self):
        """Stamp of the present tick, ns."""
        return self.number * TICK

    @property
    def stamps(self):
        """Stamps of the commands so far, ns."""
        return [read_stamp(command.header.stamp) for command in self.commands]

    def state(self, number=None):
        """Return the car's state at a tick."""
        number = self.number if number is None else number
        return VehicleState(number * TICK, Pose(0.3 * number % 1500.0, 0.4, 0.0, 0.02),
                            (6.0, 0.1), 0.03)

    def picture(self, number=None):
        """Return the camera's picture at a tick, which no other tick has."""
        number = self.number if number is None else number
        return np.random.default_rng(number).integers(0, 256, (90, 100, 4), dtype=np.uint8)

    def send_image(self, number=None):
        """Publish the picture of a tick."""
        number = self.number if number is None else number
        self._sent = len(self.commands)
        self.image(make_image(self.picture(number), 'bgra8', number * TICK, 'ego/rgb_front'))

    def send_odometry(self, number=None):
        """Publish the odometry of a tick."""
        self.odometry(make_odometry(self.state(number), 'ego_vehicle'))

    def send_route(self, points=STRAIGHT):
        """Publish a route."""
        self.route(make_path(points, self.stamp))

    def answer(self, within=5.0):
        """Return the command of the present tick, sent after its picture."""
        def found():
            return next((command for command in self.commands[self._sent:]
                         if read_stamp(command.header.stamp) == self.stamp), None)
        return read_control(self.ros.wait_for(
            found, f'a command with stamp {self.stamp}', within))

    def tick(self):
        """Go on by a complete tick, and return its command."""
        self.number += 1
        self.send_odometry()
        self.send_image()
        return self.answer()
