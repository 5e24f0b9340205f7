# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training has learned, as one flat mapping, and where two of them differ."""

import torch


def leaves(item, where=''):
    """Yield every leaf of nested mappings and sequences with its path."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield from leaves(value, f'{where}/{key}')
    elif isinstance(item, (list, tuple)):
        for index, value in enumerate(item):
            yield from leaves(value, f'{where}/{index}')
    else:
        yield where, item


def learned(checkpoint):
    """Return everything in a checkpoint that learning depends on, by its path."""
    parts = {key: value for key, value in checkpoint.items()
             if key.endswith('_state_dict') or key in ('exploration', 'total_it')}
    # The global generators of Python and numpy are seeded by nobody, and used by nobody.
    parts['random_states'] = {key: value for key, value in checkpoint['random_states'].items()
                              if not key.startswith(('numpy', 'python'))}
    parts['replay'] = {key: checkpoint['replay'][key]
                       for key in ('head', 'chain', 'rng', 'transitions')}
    return dict(leaves(parts))


def differences(one, other):
    """Return the paths at which two mappings are not equal, bit by bit."""
    names = list(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if not (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b):
            names.append(name)
    return sorted(names)
