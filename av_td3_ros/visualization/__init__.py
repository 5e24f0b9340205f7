# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: what the policy sees, does and looks at; knows no ROS."""
