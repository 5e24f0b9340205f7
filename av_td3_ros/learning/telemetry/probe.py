# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Looking into an agent without changing it.

Nothing here draws a random number, gathers statistics of batches or touches a gradient.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from av_td3_ros.learning.encoders import Encoder
from av_td3_ros.learning.td3 import TD3Agent

_RECTIFIERS = (F.relu, F.leaky_relu, torch.relu, torch.relu_)


class _Rectified(TorchFunctionMode):
    """Notes, for each rectifier that a network applies, which of its units were ever active."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []

    def __torch_function__(self, func: Callable, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _RECTIFIERS:
            # A unit of a convolution is a channel, wherever in the image it is looked at.
            others = [dimension for dimension in range(out.dim()) if dimension != 1]
            self.dead.append(out.amax(dim=others) <= 0)
            self.norms.append(out.flatten(1).float().norm(dim=1).mean())
        return out


@torch.no_grad()
def network_health(agent: TD3Agent, observation: Any, action: torch.Tensor) -> dict[str, float]:
    """
    Return dead units and feature norms of the agent's networks on a batch.

    ``observation`` and ``action`` are a replay batch's. ``dead_units/NETWORK`` is the share, in
    [0, 1], of rectified units that are zero (of leaky ones: never positive) for the whole batch,
    and ``dead_units/NETWORK/LAYER`` that of a layer, counted from 1; a convolution's unit is a
    channel. ``feature_norms/ENCODER`` is the mean L2 norm of the features that an encoder gives
    out, ``feature_norms/HEAD/LAYER`` that of a head's hidden layer. The critic's two heads are
    ``critic_q1`` and ``critic_q2``.
    """
    found: dict[str, float] = {}

    def watch(name: str, network: Callable[..., torch.Tensor], *inputs: torch.Tensor
              ) -> torch.Tensor:
        with _Rectified() as seen:
            out = network(*inputs)
        if seen.dead:
            found[f'dead_units/{name}'] = torch.cat(seen.dead).float().mean().item()
        for number, (dead, norm) in enumerate(zip(seen.dead, seen.norms), start=1):
            found[f'dead_units/{name}/{number}'] = dead.float().mean().item()
            if not isinstance(network, Encoder):
                found[f'feature_norms/{name}/{number}'] = norm.item()
        return out

    def state(name: str) -> torch.Tensor:
        encoder: nn.Module | None = getattr(agent, name)
        if encoder is None:
            return observation.to(agent.device)
        features = watch(name, encoder, _scaled(agent, encoder, observation))
        found[f'feature_norms/{name}'] = features.float().norm(dim=1).mean().item()
        return torch.cat([features, observation['vector'].to(agent.device)], dim=1)

    watch('actor', agent.actor, state('actor_cnn'))
    both = torch.cat([state('critic_cnn'), action.to(agent.device)], dim=1)
    watch('critic_q1', agent.critic.Q1, both)
    watch('critic_q2', agent.critic.Q2, both)
    return found


@torch.no_grad()
def q_values(agent: TD3Agent, observation: Any, action: torch.Tensor
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return both estimates, (B,) float64, of a batch of observations and actions."""
    q1, q2 = agent.critic(_state(agent, agent.critic_cnn, observation), action.to(agent.device))
    return _array(q1), _array(q2)


@torch.no_grad()
def policy_values(agent: TD3Agent, observation: Any) -> np.ndarray:
    """Return what states are worth under the policy: the smaller estimate, (B,) float64."""
    action = agent.actor(_state(agent, agent.actor_cnn, observation))
    return np.minimum(*q_values(agent, observation, action))


def _array(values: torch.Tensor) -> np.ndarray:
    return values[:, 0].double().cpu().numpy()


def _scaled(agent: TD3Agent, encoder: Encoder, observation: Mapping[str, torch.Tensor]
            ) -> torch.Tensor:
    image = observation['image'].to(agent.device)
    return encoder.scale(image.contiguous(memory_format=torch.channels_last))


def _state(agent: TD3Agent, encoder: Encoder | None, observation: Any) -> torch.Tensor:
    """Return what a head takes: the encoder's features and the vector, (B, state_dim)."""
    if encoder is None:
        return observation.to(agent.device)
    return torch.cat([encoder(_scaled(agent, encoder, observation)),
                      observation['vector'].to(agent.device)], dim=1)
