# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The agent: parity with an independent TD3, what each update changes, what stops it."""

import logging

from agents import batch_for, fingerprint, flat_agent, image_agent, learn
import numpy as np
import pytest
from td3_reference import ReferenceTD3
import torch

from av_td3_ros.learning.networks import get_cnn_extractor
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.td3 import LearningStopped, TD3Agent


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def layers(network):
    """Return the layers of an actor or Q-network in float64."""
    linear = list(network.children())
    return [(layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
            for layer in linear]


@pytest.mark.parametrize('dtype, seed, most', [
    (torch.float64, 0, 1e-10), (torch.float64, 3, 1e-10), (torch.float32, 0, 1e-6),
    (torch.float32, 1, 1e-6), (torch.float32, 2, 1e-6)])
def test_equals_independent_reference(dtype, seed, most):
    """
    100 updates equal those of gradients derived by hand, in numpy's float64, in every number.

    In float32 that is so as long as no number falls on the other side of a corner (of a ReLU, a
    minimum or a limit) than it does in float64, as with these seeds; where one does (seed 3), the
    same derivation in numpy's float32 parts from its float64 in the same way.
    """
    torch.manual_seed(seed)
    config = {'networks': {part: {'hidden_layers': [64, 64]} for part in ('actor', 'critic')}}
    agent = TD3Agent(17, 6, 1.0, use_dict_buffer=False, config=config)
    for name in ('actor', 'critic', 'actor_target', 'critic_target'):
        getattr(agent, name).to(dtype)
    reference = ReferenceTD3(layers(agent.actor), layers(agent.critic.Q1),
                             layers(agent.critic.Q2), 1.0)
    start = [p.detach().clone() for p in agent.critic.parameters()]
    draw = np.random.default_rng(seed)
    for _ in range(100):
        # Drawn in float32, so that both see the same numbers.
        state, following = draw.standard_normal((2, 64, 17)).astype(np.float32)
        action = draw.uniform(-1, 1, (64, 6)).astype(np.float32)
        reward = draw.standard_normal((64, 1)).astype(np.float32)
        discount = (0.99 * (draw.random((64, 1)) > 0.1)).astype(np.float32)
        normal = draw.standard_normal((64, 6)).astype(np.float32)
        batch = [torch.from_numpy(value).to(dtype) for value in (
            state, action, reward, following, discount, normal)]
        agent.update(Batch(observation=batch[0], action=batch[1], reward=batch[2],
                           next_observation=batch[3], discount=batch[4]), noise=batch[5])
        reference.update(*(value.double().numpy() for value in batch))
    pairs = [(agent.actor, reference.actor), (agent.critic.Q1, reference.q[0]),
             (agent.critic.Q2, reference.q[1]), (agent.actor_target, reference.actor_target),
             (agent.critic_target.Q1, reference.q_target[0]),
             (agent.critic_target.Q2, reference.q_target[1])]
    errors = np.concatenate([np.abs(ours - theirs).ravel() for network, expected in pairs
                             for pair in zip(layers(network), expected.layers)
                             for ours, theirs in zip(*pair)])
    assert errors.max() < most
    # The comparison is about something: the weights have moved by far more than that.
    assert max(float((a - b).abs().max().detach())
               for a, b in zip(start, agent.critic.parameters())) > 1e-3


@pytest.mark.parametrize('architecture', ['nature', 'nature_layernorm', 'resnet18'])
def test_image_update_equals_plain_one(architecture):
    """The fast update equals the paper's lines written plainly with torch's own modules."""
    agent, plain = image_agent(architecture), image_agent(architecture)
    for number in range(2):
        batch = batch_for(agent, 4, seed=number)
        noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(number))
        agent.update(batch, noise=noise)
        plain_update(plain, batch, noise)
    for name in agent.networks():
        for kind in ('', '_target'):
            ours = getattr(agent, name + kind).state_dict()
            theirs = getattr(plain, name + kind).state_dict()
            for key in ours:
                # Adam's first steps are signs: rounding flips the few that are near zero.
                difference = (ours[key].double() - theirs[key].double()).abs()
                assert float(difference.mean()) < 3e-5, (name, kind, key)


def plain_update(agent, batch, noise):
    """One update of TD3 as the paper has it, on the agent's own networks."""
    def state(encoder, observation):
        # In the same layout of memory, or rounding would differ.
        image = encoder.scale(observation['image'].contiguous(memory_format=torch.channels_last))
        return torch.cat([encoder(image), observation['vector']], 1)

    now, then = batch.observation, batch.next_observation
    with torch.no_grad():
        noise = (noise * agent.policy_noise).clamp(-agent.noise_clip, agent.noise_clip)
        action = (agent.actor_target(state(agent.actor_cnn_target, then)) + noise).clamp(-1, 1)
        target = batch.reward + batch.discount * torch.min(
            *agent.critic_target(state(agent.critic_cnn_target, then), action))
    agent.critic_cnn.train()
    q1, q2 = agent.critic(state(agent.critic_cnn, now), batch.action)
    agent.critic_cnn.eval()
    loss = ((q1 - target) ** 2).mean() + ((q2 - target) ** 2).mean()
    optimizers = agent.critic_optimizer, agent.critic_cnn_optimizer
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    agent.total_it += 1
    if agent.total_it % agent.policy_freq:
        return
    agent.actor_cnn.train()
    action = agent.actor(state(agent.actor_cnn, now))
    agent.actor_cnn.eval()
    with torch.no_grad():
        features = state(agent.critic_cnn, now)
    loss = -agent.critic(features, action)[0].mean()
    optimizers = agent.actor_optimizer, agent.actor_cnn_optimizer
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    with torch.no_grad():
        for name, network in agent.networks().items():
            target = getattr(agent, f'{name}_target')
            for kept, current in zip(target.parameters(), network.parameters()):
                kept.copy_(agent.tau * current + (1 - agent.tau) * kept)
            for kept, current in zip(target.buffers(), network.buffers()):
                kept.copy_(current)


def changed(agent, before):
    return {name for name, state in before.items()
            if any(not torch.equal(state[key], value)
                   for key, value in getattr(agent, name).state_dict().items())}


def copies(agent):
    return {name + kind: {key: value.clone() for key, value
                          in getattr(agent, name + kind).state_dict().items()}
            for name in agent.networks() for kind in ('', '_target')}


@pytest.mark.parametrize('architecture', ['nature', 'resnet18'])
def test_policy_and_targets_are_delayed(architecture):
    agent = image_agent(architecture)
    before = copies(agent)
    learn(agent, 1, size=4)
    assert changed(agent, before) == {'critic', 'critic_cnn'}
    before = copies(agent)
    learn(agent, 1, size=4)
    assert changed(agent, before) == set(before)


def test_terminated_ends_the_bootstrap():
    """With a discount of 0 the target is the reward, whatever follows."""
    agent = flat_agent()
    batch = batch_for(agent, 16)
    batch = batch._replace(discount=torch.zeros(16, 1), reward=torch.full((16, 1), 3.0),
                           next_observation=batch.next_observation * 1e6)
    assert agent.update(batch)['target_q'] == pytest.approx(3.0)
    batch = batch._replace(discount=torch.full((16, 1), 0.99))
    assert agent.update(batch)['target_q'] != pytest.approx(3.0)


def test_batch_norm_modes_and_buffers():
    """Acting leaves the statistics alone, learning moves them, targets have the same ones."""
    agent = image_agent('resnet18')
    norm, target = (cnn.backbone.bn1 for cnn in (agent.critic_cnn, agent.critic_cnn_target))
    before = norm.running_mean.clone()
    batch = batch_for(agent, 4)
    observation = {key: value[0].numpy() for key, value in batch.observation.items()}
    first = agent.act(observation)
    assert torch.equal(norm.running_mean, before)
    assert np.array_equal(agent.act(observation), first)
    learn(agent, 2, size=4)
    assert not torch.equal(norm.running_mean, before)
    assert torch.equal(norm.running_mean, target.running_mean)
    # One gathering pass for each update of the network, two updates of the critic's.
    assert int(norm.num_batches_tracked) == int(target.num_batches_tracked) == 2
    assert int(agent.actor_cnn.backbone.bn1.num_batches_tracked) == 1
    assert not any(module.training for cnn in (agent.actor_cnn, agent.critic_cnn)
                   for module in cnn.modules())


@pytest.mark.parametrize('field, network', [('reward', 'critic'), ('next_observation', 'critic')])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_not_finite_stops_learning_and_keeps_weights(field, network, value):
    agent = flat_agent()
    learn(agent, 3)
    batch = batch_for(agent)
    getattr(batch, field)[5, 0] = value
    before = fingerprint(agent)
    with pytest.raises(LearningStopped) as stopped:
        agent.update(batch)
    said = str(stopped.value)
    assert network in said and field in said and 'update 4' in said and 'row 5' in said
    agent.rng.manual_seed(0)
    state, agent.failure = agent.failure, None
    fresh = flat_agent()
    learn(fresh, 3)
    fresh.rng.manual_seed(0)
    assert fingerprint(agent) == fingerprint(fresh) and before != ''
    agent.failure = state
    with pytest.raises(LearningStopped):
        agent.update(batch_for(agent))


def test_not_finite_undoes_batch_statistics():
    agent = image_agent('resnet18')
    learn(agent, 1, size=4)
    batch = batch_for(agent, 4)
    batch.reward[0] = float('inf')
    before = copies(agent)
    with pytest.raises(LearningStopped):
        agent.update(batch)
    assert changed(agent, before) == set()


def test_gradients_overflowing_behind_a_finite_loss_stop_learning():
    agent = flat_agent()
    batch = batch_for(agent)
    batch = batch._replace(reward=torch.full_like(batch.reward, 1e18),
                           observation=batch.observation * 1e20)
    before = copies(agent)
    with pytest.raises(LearningStopped, match='critic'):
        agent.update(batch)
    assert changed(agent, before) == set()


def test_gradient_clipping_limits_each_network():
    norms = {}
    for limit in (0.0, 1e-3):
        config = {'networks': {'critic': {'max_grad_norm': limit, 'hidden_layers': [16, 16]}},
                  'algorithm': {'learning_rate': 1.0}}
        agent = flat_agent(config=config)
        agent.critic_optimizer = torch.optim.SGD(agent.critic.parameters(), lr=1.0)
        before = [p.detach().clone() for p in agent.critic.parameters()]
        reported = agent.update(batch_for(agent))['critic_grad_norm']
        moved = torch.cat([(p - b).flatten() for p, b in zip(agent.critic.parameters(), before)])
        norms[limit] = moved.norm().item(), reported
    assert norms[0.0][0] == pytest.approx(norms[0.0][1], rel=1e-4)
    assert norms[1e-3][0] == pytest.approx(1e-3, rel=1e-3)
    assert norms[1e-3][1] == pytest.approx(norms[0.0][1], rel=1e-4)


def test_learning_rates_of_each_network():
    config = {'algorithm': {'learning_rate': 1e-3}, 'networks': {
        'cnn': {'learning_rate': 2e-4, 'critic_cnn_lr': '5e-5'}, 'actor': {'learning_rate': 1e-4}}}
    agent = image_agent(config=config)
    rates = {name: getattr(agent, f'{name}_optimizer').param_groups[0]['lr']
             for name in agent.networks()}
    assert rates == {'actor': 1e-4, 'critic': 1e-3, 'actor_cnn': 2e-4, 'critic_cnn': 5e-5}


def test_unread_keys_are_named(caplog):
    config = {'algorithm': {'gamma': 0.9, 'leaning_rate': 1.0}, 'carla': {'port': 2000},
              'training': {'batch_size': 32, 'episodes': 5}, 'reward': {'speed': 1.0}}
    with caplog.at_level(logging.WARNING):
        agent = flat_agent(config=config, other_sections=('reward',))
    assert agent.discount == 0.9 and agent.settings.algorithm.batch_size == 32
    said = caplog.text
    for key in ('algorithm.leaning_rate', 'carla.port', 'training.episodes'):
        assert key in said
    assert 'gamma' not in said and 'training.batch_size' not in said and 'reward' not in said


def test_encoders_must_be_two():
    cnn = get_cnn_extractor(4, 8, 'nature')
    with pytest.raises(ValueError, match='share'):
        TD3Agent(31, 2, 1.0, cnn, cnn)
    with pytest.raises(TypeError):
        TD3Agent(31, 2, 1.0, cnn)
    with pytest.raises(ValueError, match='flat'):
        TD3Agent(31, 2, 1.0, cnn, cnn, use_dict_buffer=False)


def test_agent_without_encoders_makes_its_own():
    agent = TD3Agent(535, 2)
    assert agent.actor_cnn.architecture == agent.critic_cnn.architecture == 'nature'
    assert agent.vector_dim == 23


def test_seed_repeats_and_random_shift_learns():
    config = {'algorithm': {'random_shift': 4}, **{}}
    one, two, other = (image_agent(config=config, seed=seed) for seed in (3, 3, 4))
    for agent in (one, two, other):
        learn(agent, 2)
    assert fingerprint(one) == fingerprint(two) != fingerprint(other)


def test_bfloat16_stays_close_and_keeps_float32_weights():
    agents = [image_agent(config={'algorithm': {'precision': precision}})
              for precision in ('float32', 'bfloat16')]
    losses = [agent.update(batch_for(agent, 16))['critic_loss'] for agent in agents]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.05)
    assert all(p.dtype == torch.float32 for p in agents[1].critic_cnn.parameters())
