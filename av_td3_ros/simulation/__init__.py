# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded town: map, vehicle, traffic, camera, environment; no ROS."""
