# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A context for nodes that talk with nobody."""

import pytest
import rclpy
from rclpy.context import Context


@pytest.fixture(scope='module')
def context():
    """Return a context whose nodes are heard by none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')
        context = Context()
        rclpy.init(context=context)
        yield context
        rclpy.try_shutdown(context=context)
