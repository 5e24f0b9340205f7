#!/usr/bin/env bash
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs the test suite; arguments go to pytest, for example: scripts/test.sh test/learning -x

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup_env.sh
# A file stays on one worker, in its order: many share one graph of nodes between their tests.
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
