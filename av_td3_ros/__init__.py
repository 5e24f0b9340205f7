# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train and drive a TD3 agent end to end from a camera, against CARLA or an embedded town."""

__version__ = '0.1.0'
