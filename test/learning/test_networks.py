# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks' names, shapes, ranges, and the shift of images."""

import numpy as np
import pytest
import torch

from av_td3_ros.learning.augmentation import random_shift
from av_td3_ros.learning.networks import Actor, Critic, get_cnn_extractor


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_nature_is_as_existing_files_have_it():
    assert shapes(get_cnn_extractor(4, 512, 'nature')) == {
        'conv1.weight': (32, 4, 8, 8), 'conv1.bias': (32,), 'conv2.weight': (64, 32, 4, 4),
        'conv2.bias': (64,), 'conv3.weight': (64, 64, 3, 3), 'conv3.bias': (64,),
        'fc.weight': (512, 3136), 'fc.bias': (512,)}


def test_nature_layernorm_adds_four_norms():
    found = shapes(get_cnn_extractor(4, 512, architecture='nature_layernorm'))
    plain = shapes(get_cnn_extractor(4, 512, architecture='nature'))
    added = {name: shape for name, shape in found.items() if name not in plain}
    assert {name: shape for name, shape in found.items() if name in plain} == plain
    assert added == {f'{norm}.{kind}': shape for kind in ('weight', 'bias') for norm, shape in (
        ('ln1', (32, 20, 20)), ('ln2', (64, 9, 9)), ('ln3', (64, 7, 7)), ('ln4', (512,)))}


def test_resnet18_has_torchvisions_names():
    found = shapes(get_cnn_extractor())
    assert len(found) == 123
    backbone = [name[9:] for name in found if name.startswith('backbone.')]
    assert len(backbone) == 120
    assert found['input_projection.weight'] == (3, 4, 1, 1)
    assert found['feature_head.0.weight'] == (512, 512)
    # The parameters of torchvision.models.resnet18 without fc.
    assert sum(int(np.prod(shape)) for name, shape in found.items() if name.startswith(
        'backbone.') and not name.endswith(('running_mean', 'running_var', 'tracked'))) \
        == 11_689_512 - 513_000
    for name in ('layer2.0.downsample.0.weight', 'layer4.1.bn2.num_batches_tracked',
                 'layer1.1.conv2.weight', 'bn1.running_var'):
        assert name in backbone


@pytest.mark.parametrize('architecture', ['nature', 'nature_layernorm', 'resnet18'])
def test_features_and_input_range(architecture):
    encoder = get_cnn_extractor(4, 512, architecture).eval()
    image = torch.tensor([0, 255], dtype=torch.uint8).repeat(2, 4, 84, 42)
    scaled = encoder.scale(image)
    low, high = (-1.0, 1.0) if architecture == 'nature_layernorm' else (0.0, 1.0)
    assert scaled.min().item() == low and scaled.max().item() == pytest.approx(high)
    features = encoder(scaled)
    assert features.shape == (2, 512)
    if architecture != 'nature_layernorm':
        assert float(features.detach().min()) >= 0.0


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="'vgg'.*nature, nature_layernorm, resnet18"):
        get_cnn_extractor(architecture='vgg')


def test_heads():
    actor, critic = Actor(535, 2, 0.5), Critic(535, 2)
    assert shapes(actor)['fc1.weight'] == (256, 535) and shapes(actor)['fc3.bias'] == (2,)
    assert list(shapes(critic)) == [f'{q}.fc{number}.{kind}' for q in ('Q1', 'Q2')
                                    for number in (1, 2, 3) for kind in ('weight', 'bias')]
    state = torch.randn(7, 535) * 100
    action = actor(state)
    assert action.shape == (7, 2) and float(action.detach().abs().max()) <= 0.5
    q1, q2 = critic(state, action)
    assert q1.shape == q2.shape == (7, 1) and torch.equal(critic.first(state, action), q1)


def test_random_shift_moves_whole_stacks_within_the_pad():
    images = torch.arange(84 * 84).remainder(251).to(torch.uint8).view(1, 1, 84, 84)
    images = images.repeat(64, 4, 1, 1)
    shifted = random_shift(images, 4, torch.Generator().manual_seed(0))
    assert shifted.shape == images.shape and shifted.dtype == torch.uint8
    padded = np.pad(images[0, 0].numpy(), 4, mode='edge')
    allowed = {padded[y:y + 84, x:x + 84].tobytes(): (y, x) for y in range(9) for x in range(9)}
    met = {allowed[item[0].numpy().tobytes()] for item in shifted.contiguous()}
    assert len(met) > 30
    assert all(torch.equal(item[0], item[channel]) for item in shifted for channel in range(4))
