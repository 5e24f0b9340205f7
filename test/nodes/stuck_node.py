# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that does not end: its parameter ``how`` is python or native."""

import ctypes
import os
import sys
import time

from rclpy.node import Node

from av_td3_ros.ros.process import run


class StuckNode(Node):
    """Sleeps when it is destroyed; in native code with the interpreter's lock, or without."""

    def __init__(self):
        super().__init__('stuck')
        self._how = self.declare_parameter('how', 'python').value
        self.get_logger().info('ready')

    def destroy_node(self):
        if self._how == 'native':
            ctypes.PyDLL(None).sleep(60)
        else:
            time.sleep(60)


if __name__ == '__main__':
    sys.exit(run(StuckNode, deadline=float(os.environ['DEADLINE'])))
