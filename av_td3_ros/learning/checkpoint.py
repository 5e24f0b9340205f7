# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One file holds a training (being written)."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a load brought back."""

    total_it: int


def save(agent, path, *, replay=None, exploration=None, extra=None):
    raise NotImplementedError


def load(agent, path, *, replay=None, exploration=None):
    raise NotImplementedError
