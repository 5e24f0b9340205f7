# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Where in the picture a policy looks: by what its action changes when a place is blurred.

The saliency of Greydanus et al., 2018 (Visualizing and Understanding Atari Agents, section 2.2):
at each place of a grid the frames are faded into a blurred copy of themselves by a Gaussian, and
the action for that is compared with the action for the frames as they are. What the policy does
not use changes nothing, however conspicuous it is; a gradient would tell of pixels instead.
"""

from __future__ import annotations

import functools
from typing import Mapping

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from av_td3_ros.learning.policy import Policy

# Standard deviations in pixels of a frame: of the blur, and of the place that is blurred. The
# places of the grid stand about one and a half of the latter apart, so that none is missed.
BLUR, SPOT = 5.0, 8.0
SPACING = 12.0


@torch.inference_mode()
def attention(policy: Policy, observation: Mapping[str, np.ndarray]) -> np.ndarray:
    """
    Return how far the action moves when the frames are blurred at a place, (H, W) float32.

    ``observation`` is that of :meth:`.Policy.act`, with ``image`` (C, H, W) uint8; all its frames
    are blurred at once. Values are the L2 distance between actions, at most
    2 ``max_action`` sqrt(action_dim), read at a grid of places and interpolated between them.
    Raises RuntimeError before a policy was loaded, and ValueError for an observation that does
    not fit or has no image.
    """
    image = torch.from_numpy(np.ascontiguousarray(observation['image'])).to(torch.float32)
    height, width = image.shape[1:]
    spots, shape = _spots(height, width)
    faded = torch.lerp(image, _blurred(image), spots[:, None])
    actions = policy.actions(torch.cat([image[None], faded]), observation['vector'])
    moved = (actions[1:] - actions[0]).norm(dim=1).view(1, 1, *shape)
    return F.interpolate(moved, (height, width), mode='bilinear')[0, 0].numpy()


@functools.lru_cache(maxsize=4)
def _spots(height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
    """Return a mask in [0, 1] for each place, (rows * columns, height, width), and the grid."""
    sides = [max(1, round(side / SPACING)) for side in (height, width)]
    # The centres of the grid's cells, as bilinear interpolation takes them.
    rows, columns = ((torch.arange(count) + 0.5) * side / count - 0.5
                     for count, side in zip(sides, (height, width)))
    down = torch.exp(-0.5 * ((torch.arange(height) - rows[:, None]) / SPOT) ** 2)
    across = torch.exp(-0.5 * ((torch.arange(width) - columns[:, None]) / SPOT) ** 2)
    masks = down[:, None, :, None] * across[None, :, None, :]
    return masks.reshape(-1, height, width), (sides[0], sides[1])


def _blurred(image: Tensor) -> Tensor:
    """Return frames (C, H, W) after a Gaussian blur; beyond the edge they go on as mirrored."""
    reach = min(int(3 * BLUR), *(side - 1 for side in image.shape[1:]))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / BLUR) ** 2)
    kernel /= kernel.sum()
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode='reflect')
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]
