# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention is where blurring changes the action, and nowhere else."""

from agents import flat_agent, image_agent, VECTOR
import numpy as np
import pytest
import torch

from av_td3_ros.learning.attention import attention
from av_td3_ros.learning.encoders import ENCODERS
from av_td3_ros.learning.policy import export_policy, Policy


def observation(seed=0):
    rng = np.random.default_rng(seed)
    return {'image': rng.integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': rng.standard_normal(VECTOR).astype(np.float32)}


def policy_of(agent):
    policy = Policy()
    policy.load(export_policy(agent))
    return policy


class LooksAt:
    """Acts by the contrast in a part of the newest frame."""

    def __init__(self, rows, columns, strength=1.0):
        self._part, self._strength = (slice(*rows), slice(*columns)), strength

    def actions(self, images, vector):
        contrast = images[:, -1][:, self._part[0], self._part[1]].flatten(1).std(dim=1) / 255.0
        return torch.stack([self._strength * contrast, torch.zeros(len(images))], dim=1)


@pytest.mark.parametrize('rows, columns', [
    ((0, 12), (0, 12)), ((60, 72), (12, 24)), ((36, 48), (36, 48)), ((72, 84), (72, 84))])
def test_it_is_highest_where_the_policy_looks(rows, columns):
    looks = attention(LooksAt(rows, columns), observation())
    assert looks.shape == (84, 84) and looks.dtype == np.float32
    row, column = np.unravel_index(looks.argmax(), looks.shape)
    assert rows[0] - 2 <= row < rows[1] + 2 and columns[0] - 2 <= column < columns[1] + 2
    # Three spots away there is nothing any more.
    far = looks[(rows[0] + 42) % 84, (columns[0] + 42) % 84]
    assert far < 0.02 * looks.max()


def test_its_values_are_changes_of_the_action():
    one, three = (attention(LooksAt((30, 50), (30, 50), strength), observation())
                  for strength in (1.0, 3.0))
    assert three == pytest.approx(3.0 * one, rel=1e-4, abs=1e-6)
    assert 0.01 < one.max() < 0.3      # noise in [0, 1] has a standard deviation of 0.29


def test_a_policy_that_uses_no_picture_looks_nowhere():
    class Blind:

        def actions(self, images, vector):
            return torch.full((len(images), 2), 0.3)
    assert (attention(Blind(), observation()) == 0.0).all()


def test_an_even_picture_has_nothing_to_look_at():
    even = {**observation(), 'image': np.full((4, 84, 84), 120, np.uint8)}
    assert attention(policy_of(image_agent()), even).max() < 1e-4


@pytest.mark.parametrize('architecture', sorted(ENCODERS))
def test_it_is_of_the_policys_own_actions_and_changes_nothing(architecture):
    policy = policy_of(image_agent(architecture))
    seen = observation(3)
    before = policy.act(seen)
    images = torch.from_numpy(np.stack([seen['image'], 255 - seen['image']])).float()
    actions = policy.actions(images, seen['vector'])
    assert actions[0].numpy() == pytest.approx(before, abs=2e-6)
    assert actions[1].numpy() == pytest.approx(
        policy.act({**seen, 'image': 255 - seen['image']}), abs=2e-6)
    looks = attention(policy, seen)
    assert np.isfinite(looks).all() and 0.0 < looks.max() <= 2.0 * np.sqrt(2.0)
    assert (policy.act(seen) == before).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(RuntimeError, match='no policy'):
        attention(Policy(), observation())
    policy = policy_of(image_agent())
    with pytest.raises(ValueError, match='do not fit'):
        attention(policy, {**observation(), 'image': np.zeros((3, 84, 84), np.uint8)})
    with pytest.raises(ValueError, match='vector of shape'):
        attention(policy, {**observation(), 'vector': np.zeros(5, np.float32)})
    with pytest.raises(ValueError, match='do not fit'):
        attention(policy_of(flat_agent()), observation())
