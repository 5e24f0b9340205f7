# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading event files as TensorBoard does."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder):
    """Return each tag's (step, value) pairs, as TensorBoard shows them."""
    events = EventAccumulator(str(folder), size_guidance={'scalars': 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()['scalars']}
