# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training without ROS: the same agent, observation, reward and episodes on TownEnv."""
