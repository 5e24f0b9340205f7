# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stands between a policy and a vehicle: watchdogs, safe stop, and the command gate."""
