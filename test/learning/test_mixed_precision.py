# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Copies with bfloat16 weights compute bit by bit what autocast does, and follow their masters."""

import copy
import pickle

import pytest
import torch

from av_td3_ros.learning import fast
from av_td3_ros.learning.encoders import get_cnn_extractor
from av_td3_ros.learning.mixed_precision import BFloat16Copy
from av_td3_ros.learning.networks import Actor
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.td3 import TD3Agent

ENCODERS = 'nature', 'nature_layernorm', 'resnet18'


@pytest.fixture(autouse=True)
def untouched():
    """Leave the switch as it was."""
    before = fast.enabled
    yield
    fast.enabled = before


def autocast(network, *inputs):
    with torch.autocast('cpu', torch.bfloat16):
        return network(*inputs)


def equal(one, other):
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() \
        and all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('architecture', ENCODERS)
def test_outputs_gradients_and_statistics_are_those_of_autocast(architecture, train):
    torch.manual_seed(0)
    one = get_cnn_extractor(architecture=architecture).train(train)
    other, images = copy.deepcopy(one), torch.rand(3, 4, 84, 84)
    kept = BFloat16Copy(other)
    for _ in range(2):
        one.zero_grad()
        other.zero_grad()
        expected, found = autocast(one, images), autocast(kept.network, images)
        expected.float().square().mean().backward()
        found.float().square().mean().backward()
        kept.hand_over_gradients()
        assert torch.equal(found, expected) and found.dtype == expected.dtype
        for name, parameter in one.named_parameters():
            gradient = other.get_parameter(name).grad
            assert gradient.dtype == torch.float32 and torch.equal(gradient, parameter.grad), name
        assert equal(one, other)


CHANGES = {
    'in place': lambda network: network.fc1.weight.mul_(2.0),
    'a view': lambda network: network.fc1.weight[3:5].fill_(1.0),
    'detached': lambda network: network.fc1.bias.detach().add_(1.0),
    'loaded': lambda network: network.load_state_dict(Actor(6, 2).state_dict()),
    'assigned': lambda network: network.load_state_dict(Actor(6, 2).state_dict(), assign=True),
    'another parameter': lambda network: setattr(
        network.fc3, 'weight', torch.nn.Parameter(torch.zeros(2, 256))),
    'numpy, and told': lambda network: (
        network.fc2.weight.numpy(force=True).fill(0.5), fast.count_change([network.fc2.weight])),
}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_a_copy_follows_changes(change):
    network, state = Actor(6, 2), torch.rand(5, 6)
    kept = BFloat16Copy(network)
    before = autocast(kept.network, state)
    with torch.no_grad():
        change(network)
    kept.refresh()
    found = autocast(kept.network, state)
    assert torch.equal(found, autocast(network, state)) and not torch.equal(found, before)


def batch(seed, rows=6):
    rng = torch.Generator().manual_seed(seed)
    seen = [{'image': torch.randint(0, 256, (rows, 4, 84, 84), dtype=torch.uint8, generator=rng),
             'vector': torch.randn(rows, 23, generator=rng)} for _ in range(2)]
    return Batch(seen[0], torch.rand(rows, 2, generator=rng), torch.randn(rows, 1, generator=rng),
                 seen[1], torch.full((rows, 1), 0.99))


def made(architecture='nature', **algorithm):
    torch.manual_seed(0)
    return TD3Agent(535, 2, seed=0, config={
        'networks': {'cnn': {'architecture': architecture}},
        'algorithm': {'precision': 'bfloat16', **algorithm}})


def updated(agent, seeds, enabled):
    fast.enabled = enabled
    return [agent.update(batch(seed)) for seed in seeds]


def same(one, other):
    return all(equal(getattr(one, name + kind), getattr(other, name + kind))
               for name in one.networks() for kind in ('', '_target'))


@pytest.mark.parametrize('architecture', ENCODERS)
def test_updates_are_those_of_autocast(architecture):
    one, other = made(architecture), made(architecture)
    assert updated(one, range(3), True) == updated(other, range(3), False)
    assert same(one, other)


def test_ways_may_change_between_updates():
    one, other = made(), made()
    for seed, enabled in enumerate((True, False, False, True, False, True, True)):
        assert updated(one, [seed], enabled) == updated(other, [seed], False)
    assert same(one, other)


def test_weights_may_change_between_updates(tmp_path):
    """By hand, by an optimizer of the agent, and from a checkpoint."""
    agents = one, other = made(), made()
    for agent, enabled in zip(agents, (True, False)):
        updated(agent, [0, 1], enabled)
        agent.save_checkpoint(tmp_path / f'{enabled}.pth')
        updated(agent, [2], enabled)
        with torch.no_grad():
            agent.critic.Q1.fc1.weight.mul_(1.5)
            agent.actor_cnn_target.fc.bias.add_(0.1)
        updated(agent, [3, 4], enabled)
    assert same(one, other)
    for agent, enabled in zip(agents, (True, False)):
        agent.load_checkpoint(tmp_path / f'{enabled}.pth')
        updated(agent, [5, 6], enabled)
    assert same(one, other)


def test_an_optimizer_that_is_stepped_from_outside_is_seen():
    agents = one, other = made(), made()
    for agent, enabled in zip(agents, (True, False)):
        updated(agent, [0, 1], enabled)
        agent.critic_optimizer.step()
        agent.actor_cnn_optimizer.step()
        updated(agent, [2, 3], enabled)
    assert same(one, other)


def test_a_copied_agent_computes_with_its_own():
    agent = made()
    updated(agent, range(3), True)
    other = copy.deepcopy(agent)
    before = copy.deepcopy(agent.actor.state_dict())
    updated(other, [7, 8], True)
    assert all(torch.equal(before[key], value) for key, value in agent.actor.state_dict().items())
    expected = made()
    updated(expected, [0, 1, 2, 7, 8], False)
    assert same(other, expected)


@pytest.mark.parametrize('way', [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_a_copied_agent_follows_its_own_changes(way, tmp_path):
    """Its tensors count their changes from 0 again, up to what the original's had counted."""
    agents = []
    for enabled in (True, False):
        torch.manual_seed(0)
        agent = TD3Agent(23, 2, use_dict_buffer=False, seed=0, config={
            'algorithm': {'precision': 'bfloat16'}})
        fast.enabled = enabled
        agent.update(flat(0))
        agent.save_checkpoint(tmp_path / f'{enabled}.pth')
        agent.update(flat(1))
        for _ in range(3):
            agent = way(agent)
            agent.load_checkpoint(tmp_path / f'{enabled}.pth')
            agent.update(flat(2))
            agent.update(flat(3))
        agents.append(agent)
    assert same(*agents)


def flat(seed):
    given = batch(seed, 32)
    return given._replace(observation=given.observation['vector'],
                          next_observation=given.next_observation['vector'])


def test_an_update_that_was_broken_off_leaves_no_gradients(monkeypatch):
    agents = made(), made()
    real = torch.Tensor.backward
    for agent, enabled in zip(agents, (True, False)):
        updated(agent, [0], enabled)

        def broken(*arguments, **options):
            real(*arguments, **options)
            raise KeyboardInterrupt
        monkeypatch.setattr(torch.Tensor, 'backward', broken)
        with pytest.raises(KeyboardInterrupt):
            updated(agent, [1], enabled)
        monkeypatch.setattr(torch.Tensor, 'backward', real)
        updated(agent, [2, 3], enabled)
    assert same(*agents)


def test_parts_and_attributes_of_networks_may_be_replaced():
    agents = made('resnet18'), made('resnet18')
    for agent, enabled in zip(agents, (True, False)):
        updated(agent, [0, 1], enabled)
        torch.manual_seed(1)
        agent.critic_target.Q1.fc2 = torch.nn.Linear(256, 256).requires_grad_(False)
        agent.critic_target.Q2 = copy.deepcopy(agent.critic_target.Q1)
        agent.actor_target.max_action = 0.3
        agent.actor_cnn.backbone.bn1.momentum = 0.5
        agent.critic_cnn_target.train()
        updated(agent, [2, 3], enabled)
    assert same(*agents)
    assert not agents[0].actor_cnn.training and not agents[0].critic_cnn.training


def test_tensors_may_be_swapped():
    agents = made(), made()
    for agent, enabled in zip(agents, (True, False)):
        updated(agent, [0, 1], enabled)
        torch.utils.swap_tensors(agent.critic_target.Q1.fc2.weight,
                                 agent.critic_target.Q2.fc2.weight)
        updated(agent, [2, 3], enabled)
    assert same(*agents)


@pytest.mark.parametrize('enabled', [True, False])
def test_what_is_frozen_is_refused(enabled):
    agent = made()
    updated(agent, [0], enabled)
    before = agent.critic.Q2.fc1.weight.requires_grad_(False).clone()
    with pytest.raises((RuntimeError, TypeError)):
        updated(agent, [1], enabled)
    assert torch.equal(agent.critic.Q2.fc1.weight, before)
