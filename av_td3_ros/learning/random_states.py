# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every random state that learning depends on, into a checkpoint and back."""

from __future__ import annotations

import random
from typing import Any, Callable, Mapping, TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from av_td3_ros.learning.td3 import TD3Agent


# More numbers than any generator's state has.
_MOST = 100_000


def collect(agent: TD3Agent) -> dict[str, Any]:
    """Return the states of the agent's generator and of torch's, numpy's and Python's own."""
    legacy: Any = np.random.get_state(legacy=False)
    version, numbers, gauss = random.getstate()
    return {'agent': agent.rng.get_state(), 'torch': torch.get_rng_state(),
            'numpy': {'keys': torch.from_numpy(legacy['state']['key'].astype(np.int64)),
                      'position': int(legacy['state']['pos']),
                      'has_gauss': int(legacy['has_gauss']),
                      'cached_gaussian': float(legacy['gauss'])},
            'python': {'version': version, 'numbers': torch.tensor(numbers, dtype=torch.int64),
                       'gauss': gauss}}


def check(agent: TD3Agent, states: Mapping[str, Any]) -> Callable[[], None]:
    """
    Try every state on a generator of its own kind; return what sets them all.

    Raises ValueError with the key of a state that is missing or damaged.
    """
    if not isinstance(states, Mapping) or set(states) != {'agent', 'torch', 'numpy', 'python'}:
        raise ValueError('random_states must hold agent, torch, numpy and python, nothing else')
    key = 'agent'
    try:
        _require_small(states)
        agent_state = states['agent'].clone()
        torch.Generator().set_state(agent_state)
        key = 'torch'
        torch_state = states['torch'].clone()
        torch.Generator().set_state(torch_state)
        key = 'numpy'
        found = states['numpy']
        numpy_state = ('MT19937', found['keys'].numpy().astype(np.uint32), found['position'],
                       found['has_gauss'], found['cached_gaussian'])
        np.random.RandomState().set_state(numpy_state)
        key = 'python'
        found = states['python']
        python_state = (found['version'], tuple(found['numbers'].tolist()), found['gauss'])
        random.Random().setstate(python_state)
    except Exception as error:
        raise ValueError(f'random_states.{key} is damaged: {type(error).__name__}: '
                         f'{str(error)[:200]}') from None

    def apply() -> None:
        agent.rng.set_state(agent_state)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
    return apply


def _require_small(item: Any) -> None:
    """Refuse tensors that no generator has: they would be copied as lists of numbers."""
    for value in item.values():
        if isinstance(value, Mapping):
            _require_small(value)
        elif isinstance(value, torch.Tensor) and value.numel() > _MOST:
            raise ValueError(f'it has {value.numel()} numbers')
