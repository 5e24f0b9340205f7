# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a running ROS graph should look like: facts about one, and what is wrong with them."""
