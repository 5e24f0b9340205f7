# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames, route, image, observation, action, reward, episode: no ROS and no network."""
