# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A batch on its way into the networks, and what is wrong with one that they cannot take."""

from __future__ import annotations

from typing import Any, Mapping

import torch

from av_td3_ros.learning import fast
from av_td3_ros.learning.augmentation import random_shift
from av_td3_ros.learning.encoders import Encoder

__all__ = ['Given', 'Inputs', 'describe_batch']


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


class Given:
    """
    What an update learns from, on the device that learns: ``tensors`` by name.

    ``image`` and ``next_image`` (B, C, H, W) uint8, absent for flat states; ``vector`` and
    ``next_vector`` (B, vector_dim), ``action`` and ``noise`` (B, action_dim), ``reward`` and
    ``discount`` (B, 1) float32; where there is something to :meth:`imitate` ``demonstrated`` and
    ``imitation``. ``dtype`` is that of images in the networks.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
        self.tensors, self.dtype = dict(tensors), dtype
        self.now = Inputs(tensors.get('image'), tensors['vector'], dtype)
        self.then = Inputs(tensors.get('next_image'), tensors['next_vector'], dtype)

    @classmethod
    def of(cls, batch: Any, noise: torch.Tensor | None, rng: torch.Generator, *, shift: int,
           device: torch.device, dtype: torch.dtype) -> Given:
        """Bring a replay batch to ``device``; draw the shifts of its images, and missing noise."""
        tensors: dict[str, torch.Tensor] = {}
        for prefix, seen in (('', batch.observation), ('next_', batch.next_observation)):
            if isinstance(seen, torch.Tensor):
                tensors[f'{prefix}vector'] = seen.to(device)
                continue
            image = seen['image'].to(device)
            tensors[f'{prefix}image'] = random_shift(image, shift, rng) if shift else image
            tensors[f'{prefix}vector'] = seen['vector'].to(device)
        if noise is None:
            noise = torch.randn(batch.action.shape, generator=rng)
        for name, value in (('action', batch.action), ('noise', noise), ('reward', batch.reward),
                            ('discount', batch.discount)):
            tensors[name] = value.to(device)
        return cls(tensors, dtype)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def imitate(self, demonstrated: torch.Tensor, weight: float) -> None:
        """Have the actions of the rows ``demonstrated`` (B,) bool imitated, with a weight."""
        device = self['action'].device
        self.tensors['demonstrated'] = demonstrated.to(device)
        self.tensors['imitation'] = torch.tensor(weight, device=device)


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
