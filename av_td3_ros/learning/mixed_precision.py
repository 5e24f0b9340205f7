# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks for bfloat16 arithmetic whose weights are converted once, not at each use."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from av_td3_ros.learning.fast import count_change

__all__ = ['BFloat16Copy']

# Layers whose weights autocast converts; it leaves those of normalizations as they are.
_CONVERTED = nn.Linear, nn.Conv2d


class BFloat16Copy:
    """
    Computes under autocast what ``master``, a network of float32 weights, computes there.

    Autocast makes bfloat16 of the weights of linear layers and convolutions wherever they are
    used, and float32 of each gradient. :attr:`network` has them in bfloat16 until the master's
    change. The same numbers, bit for bit. What else the layers have, normalizations' weights and
    statistics for example, is the master's own.
    """

    def __init__(self, master: nn.Module) -> None:
        _watch_optimizers()
        self.master = master
        self.network = copy.deepcopy(master)
        self._layers: list[tuple[nn.Module, str]] = []
        self._weights: list[nn.Parameter] = []
        for original, own in zip(master.modules(), self.network.modules()):
            own._buffers = original._buffers
            if not isinstance(original, _CONVERTED):
                own._parameters = original._parameters
                continue
            for name, parameter in original._parameters.items():
                if parameter is not None:
                    weight = nn.Parameter(parameter.detach().to(torch.bfloat16),
                                          requires_grad=parameter.requires_grad)
                    setattr(own, name, weight)
                    self._layers.append((original, name))
                    self._weights.append(weight)
        self._seen = self._masters()
        self._versions = _versions(self._seen)
        self._gradients = [torch.empty_like(weight, dtype=torch.float32)
                           for weight in self._weights]

    def _masters(self) -> list[torch.Tensor]:
        return [layer._parameters[name] for layer, name in self._layers]

    @torch.no_grad()
    def refresh(self) -> None:
        """
        Take the master's weights where they have changed.

        Torch counts the changes of a tensor, all but those through ``.data`` or numpy: who makes
        such calls :func:`~.fast.count_change`.
        """
        masters = self._masters()
        versions = _versions(masters)
        if versions != self._versions or any(one is not other for one, other
                                             in zip(masters, self._seen)):
            torch._foreach_copy_(self._weights, masters)
            self._seen, self._versions = masters, versions

    @torch.no_grad()
    def hand_over_gradients(self) -> None:
        """Give the master the gradients, in float32; each weight must have one."""
        torch._foreach_copy_(self._gradients, [weight.grad for weight in self._weights])
        for master, weight, gradient in zip(self._masters(), self._weights, self._gradients):
            master.grad, weight.grad = gradient, None


@functools.lru_cache(maxsize=None)
def _watch_optimizers() -> None:
    """Have the changes counted that optimizers make from here on, in the whole process."""
    register_optimizer_step_post_hook(_count_step)


def _count_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        count_change(group['params'])


def _versions(tensors: list[torch.Tensor]) -> list[int]:
    return [tensor._version for tensor in tensors]
