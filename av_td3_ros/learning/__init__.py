# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks, TD3, replay memory and checkpoint: torch only; no ROS and no car."""
