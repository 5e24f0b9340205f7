# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a car drives and learns, is saved, killed, loaded, and drives on."""
