# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From one observation to one action, quickly: buffers are made once and reused."""

from __future__ import annotations

import copy
from typing import Any, Mapping, Union

import numpy as np
import torch

from av_td3_ros.learning.encoders import Encoder
from av_td3_ros.learning.networks import Actor

Observation = Union[Mapping[str, np.ndarray], np.ndarray]


class Acting:
    """
    Runs an actor, and its encoder where it has one, on single observations.

    It reads the networks' weights at each call, unless they are ``fixed`` from here on. It is not
    for two threads at once.
    """

    def __init__(self, actor: Actor, encoder: Encoder | None, fixed: bool = False) -> None:
        self._actor, self._encoder, self._fixed = actor, encoder, fixed
        weight = next(actor.parameters())
        self._device, self._state_dim = weight.device, weight.shape[1]
        self._features = 0 if encoder is None else encoder.output_dim
        self._state = torch.zeros(1, self._state_dim)
        self._vector = self._state[0, self._features:].numpy()
        self._image: np.ndarray | None = None
        self._encode: Any = None if encoder is None else encoder.single_images(fixed)

    def __deepcopy__(self, memo: dict[int, Any]) -> Acting:
        # What encodes is a function of the encoder that it was made for, which a copy would keep.
        return Acting(copy.deepcopy(self._actor, memo), copy.deepcopy(self._encoder, memo),
                      self._fixed)

    def runs(self, actor: Actor, encoder: Encoder | None) -> bool:
        """Tell whether these are the networks that it was made for."""
        return actor is self._actor and encoder is self._encoder

    @torch.inference_mode()
    def __call__(self, observation: Observation) -> np.ndarray:
        """
        Return the action (action_dim,) float32 for an observation, without noise.

        The observation is a flat state (state_dim,), or ``image`` (channels, H, W) uint8 with
        ``vector`` (state_dim - output_dim,) float32. Raises ValueError for another shape or type.
        """
        if self._encoder is None:
            self._vector[:] = self._checked(observation, (self._state_dim,))
        else:
            self._vector[:] = self._checked(observation['vector'], self._vector.shape)
            self._state[0, :self._features] = self._encode(self._scaled(observation['image']))[0]
        return self._actor(self._state.to(self._device))[0].cpu().numpy()

    def batch(self, images: torch.Tensor, vector: np.ndarray) -> torch.Tensor:
        """
        Return the actions (B, action_dim) for images (B, channels, H, W), 0 to 255, float32.

        All of them go with the one ``vector``. Raises ValueError where the policy takes no images
        or others.
        """
        if self._encoder is None or images.dim() != 4 \
                or tuple(images.shape[1:]) != (self._encoder.input_channels,
                                               *self._encoder.image_shape):
            raise ValueError(f'images of shape {tuple(images.shape)} do not fit the policy')
        vector = self._checked(vector, self._vector.shape)
        low, high = self._encoder.input_range
        features = self._encoder((images * ((high - low) / 255.0) + low).to(self._device))
        state = torch.from_numpy(vector).to(self._device).expand(len(images), -1)
        return self._actor(torch.cat([features, state], dim=1)).cpu()

    def _scaled(self, image: Any) -> torch.Tensor:
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 \
                or image.shape[0] != self._encoder.input_channels:
            raise ValueError(f'an image must be uint8 of {self._encoder.input_channels} channels '
                             f'by height by width, not {image.dtype} {image.shape}')
        if self._image is None or self._image.shape != image.shape:
            self._image = np.empty(image.shape, np.float32)
            self._image_tensor = torch.from_numpy(self._image)[None]
        low, high = self._encoder.input_range
        np.multiply(image, np.float32((high - low) / 255.0), out=self._image)
        if low:
            self._image += np.float32(low)
        return self._image_tensor.to(self._device)

    @staticmethod
    def _checked(vector: Any, shape: tuple[int, ...]) -> np.ndarray:
        vector = np.asarray(vector)
        if vector.shape != shape:
            raise ValueError(f'a vector of shape {vector.shape} was given where {shape} is needed')
        return vector
