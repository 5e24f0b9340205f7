# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Image encoders: stacks of grayscale frames to features.

The names of the parameters are those of existing checkpoint files and must not change.
"""

from __future__ import annotations

import math
from typing import Callable

import torch
from torch import nn
import torch.nn.functional as F

from av_td3_ros.learning.fast import linear, prepared

IMAGE_SHAPE = (84, 84)


class Encoder(nn.Module):
    """
    What every encoder has.

    ``forward`` takes (B, channels, H, W) float32 within ``input_range`` and returns
    (B, output_dim) float32. :meth:`scale` brings uint8 images into that range.
    """

    architecture = ''
    input_range = (0.0, 1.0)

    def __init__(self, input_channels: int, output_dim: int,
                 image_shape: tuple[int, int]) -> None:
        super().__init__()
        self.input_channels = input_channels
        self.output_dim = output_dim
        self.image_shape = image_shape

    def scale(self, image: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return uint8 images within ``input_range``, rounded from float32 where need be."""
        low, high = self.input_range
        if low:
            return image.to(torch.float32).mul_((high - low) / 255.0).add_(low).to(dtype)
        # bfloat16 holds every uint8, and one product with it is computed in float32.
        return image.to(dtype).mul_((high - low) / 255.0)

    def single_images(self, fixed: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return ``forward`` for one image at a time; ``fixed``: with the weights of now."""
        return self


def _convolved(size: int) -> int:
    """Return the side of the third layer's output for an image of this side."""
    for kernel, stride in ((8, 4), (4, 2), (3, 1)):
        size = (size - kernel) // stride + 1
    return size


class NatureEncoder(Encoder):
    """The network of Mnih et al., 2015, with features of 512 numbers."""

    architecture = 'nature'

    def __init__(self, input_channels: int = 4, output_dim: int = 512,
                 image_shape: tuple[int, int] = IMAGE_SHAPE) -> None:
        super().__init__(input_channels, output_dim, image_shape)
        flat = 64 * _convolved(image_shape[0]) * _convolved(image_shape[1])
        self.conv1 = nn.Conv2d(input_channels, 32, kernel_size=8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, stride=1)
        self.fc = nn.Linear(flat, output_dim)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(image), inplace=True)
        x = F.relu(self.conv2(x), inplace=True)
        # Flat before the ReLU: gradients come flat, and torch is slow where layouts differ.
        x = F.relu(self.conv3(x).flatten(1), inplace=True)
        return F.relu(linear(x, self.fc.weight, self.fc.bias), inplace=True)

    def single_images(self, fixed: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        shape = 1, self.input_channels, *self.image_shape
        convolve = prepared((self.conv1, self.conv2, self.conv3),
                            torch.linspace(0.0, 1.0, math.prod(shape)).view(shape))
        if convolve is None:
            return self

        def forward(image: torch.Tensor) -> torch.Tensor:
            if not fixed:
                convolve.refresh()
            x = convolve(image).flatten(1)
            return F.relu(F.linear(x, self.fc.weight, self.fc.bias), inplace=True)
        return forward


class NatureLayerNormEncoder(Encoder):
    """:class:`NatureEncoder` with a LayerNorm before each activation, and leaky ReLUs."""

    architecture = 'nature_layernorm'
    input_range = (-1.0, 1.0)

    def __init__(self, input_channels: int = 4, output_dim: int = 512,
                 image_shape: tuple[int, int] = IMAGE_SHAPE) -> None:
        super().__init__(input_channels, output_dim, image_shape)
        sides = [list(image_shape)]
        for kernel, stride in ((8, 4), (4, 2), (3, 1)):
            sides.append([(side - kernel) // stride + 1 for side in sides[-1]])
        self.conv1 = nn.Conv2d(input_channels, 32, kernel_size=8, stride=4)
        self.ln1 = nn.LayerNorm([32, *sides[1]])
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.ln2 = nn.LayerNorm([64, *sides[2]])
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, stride=1)
        self.ln3 = nn.LayerNorm([64, *sides[3]])
        self.fc = nn.Linear(64 * sides[3][0] * sides[3][1], output_dim)
        self.ln4 = nn.LayerNorm(output_dim)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.leaky_relu(self.ln1(self.conv1(image)), 0.01)
        x = F.leaky_relu(self.ln2(self.conv2(x)), 0.01)
        x = F.leaky_relu(self.ln3(self.conv3(x)), 0.01).flatten(1)
        return F.leaky_relu(self.ln4(linear(x, self.fc.weight, self.fc.bias)), 0.01)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2015), in torchvision's names."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class ResNet18Backbone(nn.Module):
    """ResNet-18 in torchvision's names, without its last layer: 120 entries, 512 features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


class ResNet18Encoder(Encoder):
    """A 1x1 convolution to three channels, ResNet-18, and a linear head: 123 entries."""

    architecture = 'resnet18'

    def __init__(self, input_channels: int = 4, output_dim: int = 512,
                 image_shape: tuple[int, int] = IMAGE_SHAPE) -> None:
        super().__init__(input_channels, output_dim, image_shape)
        self.input_projection = nn.Conv2d(input_channels, 3, kernel_size=1, bias=False)
        self.backbone = ResNet18Backbone()
        self.feature_head = nn.Sequential(nn.Linear(512, output_dim), nn.ReLU())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.feature_head(self.backbone(self.input_projection(image)))


ENCODERS = {cls.architecture: cls
            for cls in (NatureEncoder, NatureLayerNormEncoder, ResNet18Encoder)}


def get_cnn_extractor(input_channels: int = 4, output_dim: int = 512,
                      architecture: str = 'resnet18',
                      image_shape: tuple[int, int] = IMAGE_SHAPE) -> Encoder:
    """
    Make an image encoder with fresh weights.

    Raises ValueError for an architecture other than 'resnet18', 'nature', 'nature_layernorm'.
    """
    if architecture not in ENCODERS:
        raise ValueError(f'there is no encoder {architecture!r}; there are '
                         + ', '.join(sorted(ENCODERS)))
    return ENCODERS[architecture](input_channels, output_dim, tuple(image_shape))
