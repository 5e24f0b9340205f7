# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Copies of an agent's state that hardly hold up its learning.

Weights, targets and moments stay as they are until the next optimiser step, which comes at the
end of the next update's forward and backward passes. So a snapshot copies only what is small at
once; the rest is copied by another thread meanwhile, and whatever is left when the step comes is
copied by both.
"""

from __future__ import annotations

import collections
import threading
from typing import Any, Mapping

import numpy as np
import torch

from av_td3_ros.learning.checkpoint import contents
from av_td3_ros.learning.td3 import TD3Agent

_SMALL = 16 << 10
_PIECE = 2 << 20


class Snapshot:
    """Memory for copies of one agent's state; used again for each :meth:`take`."""

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}
        self._pieces: collections.deque[tuple[np.ndarray, np.ndarray]] = collections.deque()
        self._left = 0
        self._changed = threading.Condition()

    def take(self, agent: TD3Agent, **state: Any) -> dict[str, Any]:
        """
        Return :func:`.checkpoint.contents` with copies, which are filled by :meth:`complete`.

        Call it in the thread that learns. ``state`` is replay, exploration and extra.
        """
        agent.finish_snapshot()
        content = self._copied(contents(agent, **state), '')
        self._left = len(self._pieces)
        agent.before_change(self.complete)
        return content

    def complete(self) -> None:
        """Copy what is left, together with whoever else calls this; return when all is copied."""
        while True:
            try:
                into, source = self._pieces.popleft()
            except IndexError:
                break
            np.copyto(into, source)
            with self._changed:
                self._left -= 1
                self._changed.notify_all()
        with self._changed:
            self._changed.wait_for(lambda: self._left == 0)

    def _copied(self, item: Any, where: str) -> Any:
        if isinstance(item, torch.Tensor):
            return self._copied_tensor(item.detach(), where)
        if isinstance(item, Mapping):
            return {key: self._copied(value, f'{where}.{key}') for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return type(item)(self._copied(value, f'{where}.{index}')
                              for index, value in enumerate(item))
        return item

    def _copied_tensor(self, tensor: torch.Tensor, where: str) -> torch.Tensor:
        buffer = self._buffers.get(where)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype)
            self._buffers[where] = buffer
        size = tensor.numel() * tensor.element_size()
        if size <= _SMALL or tensor.device.type != 'cpu' or not tensor.is_contiguous():
            buffer.copy_(tensor)
        else:
            into, source = buffer.view(-1).numpy(), tensor.view(-1).numpy()
            step = _PIECE // tensor.element_size()
            self._pieces.extend((into[start:start + step], source[start:start + step])
                                for start in range(0, len(into), step))
        return buffer
