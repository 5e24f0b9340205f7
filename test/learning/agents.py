# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small agents and batches for tests."""

import hashlib
import pickle

import torch

from av_td3_ros.learning.networks import get_cnn_extractor
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.td3 import TD3Agent

FEATURES = 8
VECTOR = 23
SMALL = {'networks': {'actor': {'hidden_layers': [16, 16]}, 'critic': {'hidden_layers': [16, 16]}}}


def flat_agent(seed=0, state_dim=5, **arguments):
    """Return an agent of flat states with heads of 16-16."""
    torch.manual_seed(seed)
    arguments.setdefault('config', SMALL)
    return TD3Agent(state_dim, 2, 1.0, use_dict_buffer=False, **arguments)


def image_agent(architecture='nature', seed=0, features=FEATURES, **arguments):
    """Return an agent of images and vectors with few features and heads of 16-16."""
    torch.manual_seed(seed)
    arguments.setdefault('config', SMALL)
    encoders = [get_cnn_extractor(4, features, architecture) for _ in range(2)]
    return TD3Agent(features + VECTOR, 2, 1.0, *encoders, use_dict_buffer=True, **arguments)


def batch_for(agent, size=8, seed=0):
    """Return a random batch of what the agent takes."""
    draw = torch.Generator().manual_seed(seed)

    def observation():
        if not agent.use_dict_buffer:
            return torch.randn(size, agent.state_dim, generator=draw)
        return {'image': torch.randint(0, 256, (size, 4, 84, 84), generator=draw,
                                       dtype=torch.uint8),
                'vector': torch.randn(size, agent.vector_dim, generator=draw)}

    ended = (torch.rand(size, 1, generator=draw) < 0.1).float()
    return Batch(observation=observation(), next_observation=observation(),
                 action=torch.rand(size, agent.action_dim, generator=draw) * 2 - 1,
                 reward=torch.randn(size, 1, generator=draw), discount=0.99 * (1 - ended))


def learn(agent, updates, size=8, seed=0):
    """Make updates on random batches that depend on their number alone."""
    for _ in range(updates):
        agent.update(batch_for(agent, size, seed=seed + agent.total_it))


def fingerprint(agent):
    """Return a digest of all that an agent is: weights, targets, moments, random state."""
    digest = hashlib.sha256(pickle.dumps(
        [agent.total_it, agent.discount, agent.tau, agent.policy_freq, agent.policy_noise,
         agent.noise_clip, agent.failure, agent.config]))

    def add(item):
        if isinstance(item, torch.Tensor):
            digest.update(item.detach().contiguous().numpy().tobytes())
        elif isinstance(item, dict):
            for key, value in item.items():
                digest.update(str(key).encode())
                add(value)
        elif isinstance(item, (list, tuple)):
            for value in item:
                add(value)
        else:
            digest.update(repr(item).encode())

    for name in agent.networks():
        for owner in (name, f'{name}_target', f'{name}_optimizer'):
            add(getattr(agent, owner).state_dict())
    add(agent.rng.get_state())
    return digest.hexdigest()
