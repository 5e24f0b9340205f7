# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A policy node as one would write it first, for latency.py: rclpy's defaults and cv_bridge.

It turns each picture into 84x84 gray with OpenCV, stacks four, takes the action of a TD3 agent,
and publishes one command.
"""

from __future__ import annotations

import collections
from pathlib import Path
import sys

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from carla_msgs.msg import CarlaEgoVehicleControl  # noqa: E402
import cv2  # noqa: E402
from cv_bridge import CvBridge  # noqa: E402
import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from av_td3_ros.learning import fast  # noqa: E402
from av_td3_ros.learning.encoders import NatureEncoder  # noqa: E402
from av_td3_ros.learning.networks import Actor  # noqa: E402

EGO = '/carla/ego_vehicle'


class PlainNode(Node):
    """Subscribes, converts, acts, publishes."""

    def __init__(self):
        super().__init__('plain_policy')
        self.bridge, self.frames = CvBridge(), collections.deque(maxlen=4)
        self.encoder: nn.Module = NatureEncoder()
        self.actor = Actor(535, 2)
        self.create_subscription(Image, f'{EGO}/rgb_front/image', self.on_image, 10)
        self.publisher = self.create_publisher(
            CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd', 10)

    def on_image(self, message):
        """Answer a picture with a command."""
        picture = self.bridge.imgmsg_to_cv2(message, desired_encoding='bgr8')
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        frame = cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA)
        self.frames.extend([frame] * (1 if self.frames else 4))
        with torch.no_grad():
            image = torch.from_numpy(np.stack(self.frames)).float()[None] / 255.0
            action = self.actor(torch.cat([self.encoder(image), torch.zeros(1, 23)], dim=1))[0]
        command = CarlaEgoVehicleControl()
        command.header = message.header
        command.steer, drive = float(action[0]), float(action[1])
        command.throttle, command.brake = max(drive, 0.0), max(-drive, 0.0)
        self.publisher.publish(command)


def main():
    """Run until the context is shut down."""
    fast.enabled = False
    rclpy.init()
    rclpy.spin(PlainNode())


if __name__ == '__main__':
    main()
