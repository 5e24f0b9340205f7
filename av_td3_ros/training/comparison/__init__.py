# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparison of trainings, from what they wrote for TensorBoard."""
