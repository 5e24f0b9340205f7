# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imitating demonstrations beside Q-learning (TD3+BC)."""

import copy

from agents import batch_for, flat_agent, SMALL
import pytest
import torch

from av_td3_ros.learning.td3 import TD3Agent


def agent(imitation=0.4, updates=0, **algorithm):
    config = {**copy.deepcopy(SMALL), 'algorithm': {
        'imitation': imitation, 'imitation_updates': updates, 'policy_freq': 1, **algorithm}}
    torch.manual_seed(0)
    return TD3Agent(5, 2, 1.0, use_dict_buffer=False, config=config, seed=0)


def test_the_weight_falls_to_nothing():
    fades, stays = agent(0.8, 10), agent(0.8)
    found = []
    for _ in range(12):
        found.append(fades.imitation)
        fades.update(batch_for(fades, seed=fades.total_it))
    assert found == pytest.approx([0.8 * max(1 - n / 10, 0) for n in range(12)])
    stays.update(batch_for(stays))
    assert stays.imitation == 0.8


@pytest.mark.parametrize('marked', [(), (0,), (1, 4, 6), tuple(range(8))])
def test_the_gradient_is_that_of_the_paper_over_the_marked_rows(marked):
    learner = agent(imitation=0.7, learning_rate=0.0)
    batch = batch_for(learner, 8, seed=3)
    demonstrated = torch.zeros(8, dtype=torch.bool)
    demonstrated[list(marked)] = True
    report = learner.update(batch, demonstrated=demonstrated)
    # With a step size of zero the networks are still those that the loss was taken from.
    action = learner.actor(batch.observation)
    value = learner.critic.first(batch.observation, action)
    distance = sum((((action[i] - batch.action[i]) ** 2).mean() for i in marked),
                   torch.zeros(())) / max(len(marked), 1)
    loss = -value.mean() / value.abs().mean().detach() + 0.7 * distance
    expected = torch.autograd.grad(loss, list(learner.actor.parameters()))
    for parameter, gradient in zip(learner.actor.parameters(), expected):
        torch.testing.assert_close(parameter.grad, gradient)
    assert report['actor_loss'] == pytest.approx(loss.item(), rel=1e-5)
    assert report['imitation_loss'] == pytest.approx(distance.item(), rel=1e-5, abs=1e-9)


def test_without_weight_or_demonstrations_it_is_plain_td3():
    plain, unweighted, undemonstrated = flat_agent(seed=0), agent(0.0), agent(0.4)
    plain.policy_freq = 1
    plain.rng.manual_seed(0)
    for number in range(5):
        batch = batch_for(plain, seed=number)
        plain.update(batch)
        unweighted.update(batch, demonstrated=torch.ones(8, dtype=torch.bool))
        undemonstrated.update(batch)
    for name in ('actor', 'critic', 'actor_target', 'critic_target'):
        weights = [getattr(each, name).state_dict()
                   for each in (plain, unweighted, undemonstrated)]
        for key, value in weights[0].items():
            assert torch.equal(value, weights[1][key]) and torch.equal(value, weights[2][key])


def test_imitation_alone_finds_the_demonstrated_action():
    learner = agent(imitation=100.0, learning_rate=3e-3)
    batch = batch_for(learner, 32, seed=1)
    shown = torch.tanh(batch.observation[:, :2])
    for _ in range(300):
        learner.update(batch._replace(action=shown), demonstrated=torch.ones(32, dtype=torch.bool))
    assert (learner.actor(batch.observation) - shown).abs().mean() < 0.05
