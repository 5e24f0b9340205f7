# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Observed returns and overestimation, worked out by hand."""

import numpy as np
import pytest

from av_td3_ros.learning.replay import ReplayMemory
from av_td3_ros.learning.telemetry.returns import observed_returns, overestimation, spread


def test_returns_of_an_episode_that_terminated():
    # 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3
    assert observed_returns([1.0, 2.0, 4.0], 0.5).tolist() == [3.0, 4.0, 4.0]


def test_returns_of_an_episode_that_was_cut_off():
    # The state after the last step is worth 8: 4 + 4 = 8; 2 + 4 = 6; 1 + 3 = 4.
    assert observed_returns([1.0, 2.0, 4.0], 0.5, 8.0).tolist() == [4.0, 6.0, 8.0]


def test_returns_at_the_edges():
    assert observed_returns([], 0.9, 5.0).tolist() == []
    assert observed_returns([2.0], 0.0, 100.0).tolist() == [2.0]
    assert observed_returns([1.0, 1.0, 1.0], 1.0, 1.0).tolist() == [4.0, 3.0, 2.0]
    rewards = np.array([1.0, 2.0])
    observed_returns(rewards, 0.5)
    assert rewards.tolist() == [1.0, 2.0]


def test_returns_are_summed_in_double_precision():
    rewards = np.full(5000, 0.1, np.float32)
    geometric = float(np.float32(0.1)) * (1 - 0.999 ** 5000) / (1 - 0.999)
    assert observed_returns(rewards, 0.999)[0] == pytest.approx(geometric, rel=1e-12)


def test_overestimation_by_hand():
    found = overestimation(np.array([5.0, 3.0]), np.array([4.0, 6.0]), np.array([3.0, 4.0]))
    assert found == {
        'q1': 4.0, 'q_min': 3.5, 'return': 3.5,
        'overestimation': 0.5,        # (2 - 1) / 2
        'overestimation_min': 0.0,    # (1 - 1) / 2
        'error': pytest.approx(np.sqrt((4 + 1) / 2))}


@pytest.mark.parametrize('n_step', [1, 3])
@pytest.mark.parametrize('terminated', [True, False])
def test_returns_are_what_the_targets_of_n_step_returns_tend_to(n_step, terminated):
    """A critic that estimated the observed returns would meet its targets exactly."""
    rewards, discount, beyond = [1.0, -2.0, 4.0, 0.5, 3.0], 0.5, 0.0 if terminated else 8.0
    memory = ReplayMemory(100, image_shape=None, vector_dim=1, action_dim=1, n_step=n_step,
                          discount=discount)
    memory.begin_episode(0, None, np.zeros(1))
    for step, reward in enumerate(rewards):
        last = step == len(rewards) - 1
        memory.add(0, np.zeros(1), reward, last and terminated, last and not terminated, None,
                   np.full(1, step + 1.0))
    batch = memory.batch(np.arange(1, len(rewards) + 1))
    returns = observed_returns(rewards, discount, beyond)
    # The observation's one entry is the number of the step.
    value = np.append(returns, beyond)[batch.next_observation[:, 0].numpy().astype(int)]
    targets = batch.reward[:, 0].numpy() + batch.discount[:, 0].numpy() * value
    assert targets == pytest.approx(returns)


def test_spread():
    assert spread(5, 64).tolist() == [0, 1, 2, 3, 4]
    assert spread(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert spread(1, 64).tolist() == [0]
    assert len(spread(1000, 64)) == 64
