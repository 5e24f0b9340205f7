# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The visualization node: draws what the policy sees, does and looks at, for who wants to watch.

Driving does without it, and is not held up by it. It is a process of its own of low
priority; its subscriptions keep the newest few messages, so that no publisher waits for it; and as
long as nobody subscribes to what it publishes, it listens to nothing, loads no weights, torch or
OpenCV, and draws nothing.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from av_td3_ros.nodes.visualization_settings import VisualizationSettings
from av_td3_ros.ros import qos
from av_td3_ros.ros.endpoints import Endpoints
from av_td3_ros.ros.parameters import declare
from av_td3_ros.ros.process import run

# Wall time between looks at whether anybody subscribes, s.
_LOOK = 0.25


class VisualizationNode(Endpoints, Node):
    """Publishes ``~/image`` and ``~/markers``, each while somebody subscribes to it."""

    def __init__(self) -> None:
        super().__init__('av_td3_visualization', namespace='/carla/ego_vehicle')
        self.settings = declare(self, VisualizationSettings)
        os.nice(self.settings.niceness)
        self._image = self.create_publisher(Image, '~/image', qos.LATEST)
        self._markers = self.create_publisher(MarkerArray, '~/markers', qos.LATEST)
        self._wanted = False, False
        self._watch: Any = None
        self.create_timer(_LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        """Begin and end to watch as there are subscriptions."""
        wanted = (self._image.get_subscription_count() > 0,
                  self._markers.get_subscription_count() > 0)
        if wanted != self._wanted:
            self._wanted = wanted
            self._end()
            if any(wanted):
                self._begin(*wanted)
        if self._watch is not None:
            self._watch.poll()

    def _begin(self, image: bool, markers: bool) -> None:
        what = ' and '.join(name for name, asked in (('image', image), ('markers', markers))
                            if asked)
        self.get_logger().info(f'{what}: somebody watches')
        # Only now: torch and OpenCV take seconds and 200 MB, and most drives are not watched.
        from av_td3_ros.nodes.visualization_watch import Watch
        self._watch = Watch(self, self.settings, self._image.publish if image else None,
                            self._markers.publish if markers else None)

    def _end(self) -> None:
        if self._watch is None:
            return
        self.get_logger().info(f'drew {self._watch.drawn} times')
        self._watch.destroy()
        self._watch = None

    def destroy_node(self) -> None:
        """End to watch, too."""
        self._end()
        super().destroy_node()


def main(args: Any = None) -> int:
    """Run the node."""
    return run(VisualizationNode, args=args)


if __name__ == '__main__':
    sys.exit(main())
