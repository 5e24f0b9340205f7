# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A driver to be killed: it answers each odometry with the same command until it is ended.

Parameters: ``throttle``; ``freeze``, after which number of commands the stamp stays as it is;
``nan``, the number of the one command that is not finite.
"""

import math

from carla_msgs.msg import CarlaEgoVehicleControl
from nav_msgs.msg import Odometry
from rclpy.node import Node

from av_td3_ros.ros import qos
from av_td3_ros.ros.process import run


class Driver(Node):
    """Answers odometry."""

    def __init__(self):
        super().__init__('driver')
        self.declare_parameter('throttle', 0.6)
        self.declare_parameter('freeze', 0)
        self.declare_parameter('nan', 0)
        self.publisher = self.create_publisher(
            CarlaEgoVehicleControl, '/carla/ego_vehicle/vehicle_control_cmd', qos.STREAM)
        self.create_subscription(
            Odometry, '/carla/ego_vehicle/odometry', self.on_odometry, qos.STREAM)
        self.stamp, self.sent = None, 0

    def on_odometry(self, message):
        command = CarlaEgoVehicleControl(throttle=self.get_parameter('throttle').value)
        freeze = self.get_parameter('freeze').value
        if not freeze or self.sent < freeze:
            self.stamp = message.header.stamp
        command.header.stamp = self.stamp
        self.sent += 1
        if self.sent == self.get_parameter('nan').value:
            command.throttle = math.nan
        self.publisher.publish(command)


if __name__ == '__main__':
    run(Driver)
