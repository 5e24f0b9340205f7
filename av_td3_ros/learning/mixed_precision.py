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
    change. The same numbers, bit for bit. All else, normalizations' weights and statistics or
    whether it is training, is the master's, as of the last :meth:`refresh`; hooks of the master's
    weights are not called.
    """

    def __init__(self, master: nn.Module) -> None:
        _watch_optimizers()
        self.master = master
        self._build()
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied tensors begin to count their changes anew: copied and unpickled it is made anew.
        return BFloat16Copy, (self.master,)

    def _build(self) -> None:
        self._originals = list(self.master.modules())
        copies = {original: copy.copy(original) for original in self._originals}
        self.network = copies[self.master]
        # Each module with its copy, and what the copy has of its own.
        self._pairs: list[tuple[nn.Module, nn.Module, dict[str, Any]]] = []
        self._layers: list[tuple[nn.Module, str]] = []
        self._weights: list[nn.Parameter] = []
        for original, copied in copies.items():
            own: dict[str, Any] = {'_modules': {
                name: child and copies[child] for name, child in original._modules.items()}}
            if isinstance(original, _CONVERTED):
                own['_parameters'] = {
                    name: self._converted(original, name) for name in original._parameters}
            self._pairs.append((original, copied, own))
        self._marks: list[tuple[Any, ...]] = []
        self._gradients = [torch.empty_like(weight, dtype=torch.float32)
                           for weight in self._weights]

    def _converted(self, layer: nn.Module, name: str) -> nn.Parameter | None:
        parameter = layer._parameters[name]
        if parameter is None:
            return None
        weight = nn.Parameter(torch.empty_like(parameter, dtype=torch.bfloat16))
        self._layers.append((layer, name))
        self._weights.append(weight)
        return weight

    def _masters(self) -> list[Any]:
        return [layer._parameters[name] for layer, name in self._layers]

    @torch.no_grad()
    def refresh(self) -> None:
        """
        Take from the master what has changed.

        Torch counts the changes of a tensor, all but those through ``.data`` or numpy: who makes
        such calls :func:`~.fast.count_change`.
        """
        if list(self.master.modules()) != self._originals:
            self._build()
        for original, copied, own in self._pairs:
            copied.__dict__.update(original.__dict__)
            copied.__dict__.update(own)
        masters = self._masters()
        marks = [(master, master._version, master.data_ptr()) for master in masters]
        if len(marks) != len(self._marks) or any(
                one[0] is not other[0] or one[1:] != other[1:]
                for one, other in zip(marks, self._marks)):
            torch._foreach_copy_(self._weights, masters)
            self._marks = marks
        for weight, master in zip(self._weights, masters):
            weight.requires_grad_(master.requires_grad)

    def forget_gradients(self) -> None:
        """Leave out what was computed before; an update that was broken off leaves gradients."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def hand_over_gradients(self) -> None:
        """Give the master the gradients, in float32, until the next ones; each must be there."""
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
