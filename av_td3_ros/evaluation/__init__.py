# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics, bags and reports: offline; knows no running node."""
