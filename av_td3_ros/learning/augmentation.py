# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random shifts of training images (Yarats et al., 2020, "DrQ")."""

from __future__ import annotations

import torch


def random_shift(images: torch.Tensor, pad: int, generator: torch.Generator) -> torch.Tensor:
    """
    Move each stack of ``images`` (B, C, H, W) by up to ``pad`` pixels along both axes.

    Every frame of a stack moves alike; what comes in at an edge repeats the edge. The result
    has the same type and shape, laid out channels last.
    """
    batch, _, height, width = images.shape
    offset = torch.randint(-pad, pad + 1, (2, batch, 1), generator=generator,
                           device=generator.device).to(images.device)
    rows = (torch.arange(height, device=images.device) + offset[0]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=images.device) + offset[1]).clamp_(0, width - 1)
    item = torch.arange(batch, device=images.device)[:, None, None]
    shifted = images.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)
