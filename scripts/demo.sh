#!/usr/bin/env bash
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# A car drives and learns in the embedded town, over real ROS 2 topics, and its training is
# saved, killed, loaded and goes on. Writes demo_output/. Options: scripts/demo.sh --help

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup_env.sh
exec .venv/bin/python -m av_td3_ros.demo "$@"
