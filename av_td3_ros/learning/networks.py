# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Actor and critic of TD3 (Fujimoto et al., 2018).

The names of the parameters are those of existing checkpoint files and must not change.
"""

from __future__ import annotations

from typing import Sequence

import torch
from torch import nn
import torch.nn.functional as F

from av_td3_ros.learning.encoders import Encoder, ENCODERS, get_cnn_extractor
from av_td3_ros.learning.fast import linear

__all__ = ['Actor', 'Critic', 'ENCODERS', 'Encoder', 'QNetwork', 'get_cnn_extractor']


class FullyConnected(nn.Module):
    """Linear layers ``fc1``, ``fc2``, … with ReLUs between them."""

    def __init__(self, inputs: int, hidden_layers: Sequence[int], outputs: int) -> None:
        super().__init__()
        sizes = [inputs, *hidden_layers, outputs]
        for number, (size, next_size) in enumerate(zip(sizes, sizes[1:]), start=1):
            layer = nn.Linear(size, next_size)
            self.add_module(f'fc{number}', layer)

    def _linear(self, x: torch.Tensor) -> torch.Tensor:
        layers = list(self._modules.values())
        for layer in layers[:-1]:
            x = F.relu(linear(x, layer.weight, layer.bias), inplace=True)
        return F.linear(x, layers[-1].weight, layers[-1].bias)


class Actor(FullyConnected):
    """The policy: states (B, state_dim) to actions (B, action_dim) within ±max_action."""

    def __init__(self, state_dim: int, action_dim: int, max_action: float = 1.0,
                 hidden_layers: Sequence[int] = (256, 256)) -> None:
        super().__init__(state_dim, hidden_layers, action_dim)
        self.max_action = float(max_action)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return self.max_action * torch.tanh(self._linear(state))


class QNetwork(FullyConnected):
    """One estimate of the return: (B, state_dim + action_dim) to (B, 1)."""

    def __init__(self, state_dim: int, action_dim: int,
                 hidden_layers: Sequence[int] = (256, 256)) -> None:
        super().__init__(state_dim + action_dim, hidden_layers, 1)

    def forward(self, state_action: torch.Tensor) -> torch.Tensor:
        return self._linear(state_action)


class Critic(nn.Module):
    """Twin Q-networks: states (B, state_dim), actions (B, action_dim) to two (B, 1)."""

    def __init__(self, state_dim: int, action_dim: int,
                 hidden_layers: Sequence[int] = (256, 256)) -> None:
        super().__init__()
        self.Q1 = QNetwork(state_dim, action_dim, hidden_layers)
        self.Q2 = QNetwork(state_dim, action_dim, hidden_layers)

    def forward(self, state: torch.Tensor,
                action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state_action = torch.cat([state, action], dim=1)
        return self.Q1(state_action), self.Q2(state_action)

    def first(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return the first estimate alone, which the policy is trained on."""
        return self.Q1(torch.cat([state, action], dim=1))
