# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A batch on its way into the networks, and what is wrong with one that they cannot take."""

from __future__ import annotations

from typing import Any, Mapping

import torch

from av_td3_ros.learning import fast
from av_td3_ros.learning.encoders import Encoder

__all__ = ['Inputs', 'describe_batch']


class Inputs:
    """Observations on their way into several encoders: scaled once for each input range."""

    def __init__(self, image: torch.Tensor | None, vector: torch.Tensor, dtype: torch.dtype
                 ) -> None:
        self._image, self._vector, self._dtype = image, vector, dtype
        self._scaled: dict[tuple[float, float], torch.Tensor] = {}

    def state(self, encoder: Encoder | None) -> torch.Tensor:
        """Return what a head takes: the encoder's features and the vector, (B, state_dim)."""
        if encoder is None:
            return self._vector
        scaled = self._scaled.get(encoder.input_range)
        if scaled is None:
            scaled = fast.scaled(encoder, self._image, self._dtype)
            self._scaled[encoder.input_range] = scaled
        return torch.cat([encoder(scaled).to(self._vector.dtype), self._vector], dim=1)


def describe_batch(batch: Any) -> str:
    """Say what is wrong with a batch whose loss or gradient is not finite."""
    fields: dict[str, torch.Tensor] = {}
    for name in ('observation', 'action', 'reward', 'next_observation', 'discount'):
        value = getattr(batch, name)
        if isinstance(value, Mapping):
            fields.update({f'{name}.{key}': item for key, item in value.items()})
        else:
            fields[name] = value
    for name, value in fields.items():
        rows = (~torch.isfinite(value.reshape(len(value), -1)).all(dim=1)).nonzero().flatten()
        if len(rows):
            return (f'the batch has {name} not finite in {len(rows)} of {len(value)} rows, '
                    f'first in row {int(rows[0])}')
    return f'its batch of {len(fields["reward"])} is finite'
