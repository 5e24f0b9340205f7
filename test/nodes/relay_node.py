# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A relay between the bridge and the policy node, to make faults of: images, odometry or the clock.

Parameter ``what``: ``image``, ``odometry`` or ``clock``. ``/relay/<what>`` (std_msgs/String) sets
the mode: ``pass``, ``stop``, ``freeze`` (the same content with new stamps), ``same`` (the same
message again), ``delay`` (ten messages later), ``nan``, ``offset:<seconds>`` on the stamps.
"""

import copy
import math

from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_stamp, read_stamp
from av_td3_ros.ros.process import run

EGO = '/carla/ego_vehicle'
TOPICS = {'image': (Image, f'{EGO}/rgb_front/image', f'{EGO}/relayed/image'),
          'odometry': (Odometry, f'{EGO}/odometry', f'{EGO}/relayed_odometry'),
          'clock': (Clock, '/clock', '/relayed_clock')}


class Relay(Node):
    """Passes messages on, or does not."""

    def __init__(self):
        super().__init__('relay')
        what = self.declare_parameter('what', 'image').value
        message, source, target = TOPICS[what]
        self.mode, self.kept, self.queue = 'pass', None, []
        self.publisher = self.create_publisher(message, target, qos.STREAM)
        self.create_subscription(message, source, self.on_message, qos.STREAM)
        self.create_subscription(String, f'/relay/{what}', self.on_mode, qos.STREAM)

    def on_mode(self, message):
        self.mode, self.kept, self.queue = message.data, None, []

    def on_message(self, message):
        mode, _, argument = self.mode.partition(':')
        if mode == 'stop':
            return
        if mode == 'freeze':
            self.kept = self.kept or copy.deepcopy(message)
            self.kept.header.stamp = message.header.stamp
            message = self.kept
        elif mode == 'same':
            message = self.kept = self.kept or message
        elif mode == 'delay':
            self.queue.append(message)
            if len(self.queue) <= 10:
                return
            message = self.queue.pop(0)
        elif mode == 'nan':
            message.pose.pose.position.x = math.nan
        elif mode == 'offset':
            where, name = (message, 'clock') if isinstance(message, Clock) else (
                message.header, 'stamp')
            shifted = read_stamp(getattr(where, name)) + int(float(argument) * 1e9)
            if shifted < 0:
                return
            setattr(where, name, make_stamp(shifted))
        self.publisher.publish(message)


if __name__ == '__main__':
    run(Relay)
