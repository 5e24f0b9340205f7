# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured while an agent learns, and the TensorBoard event files it goes to."""
