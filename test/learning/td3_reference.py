# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
TD3 for flat states in numpy's float64, its gradients derived by hand.

Written from the paper (Fujimoto et al., 2018, algorithm 1) and Adam's (Kingma and Ba, 2015,
algorithm 1), and from nothing else: it shares no code with what it is compared with.
"""

import numpy as np


class Layers:
    """Fully connected layers with ReLUs between them."""

    def __init__(self, layers):
        self.layers = [(w.copy(), b.copy()) for w, b in layers]

    def forward(self, x):
        self.inputs = [x]
        for w, b in self.layers[:-1]:
            self.inputs.append(np.maximum(self.inputs[-1] @ w.T + b, 0.0))
        w, b = self.layers[-1]
        return self.inputs[-1] @ w.T + b

    def backward(self, gradient):
        """Return each layer's gradient and that of the input, after :meth:`forward`."""
        found = []
        for index in range(len(self.layers) - 1, -1, -1):
            found.append((gradient.T @ self.inputs[index], gradient.sum(axis=0)))
            gradient = gradient @ self.layers[index][0]
            if index:
                gradient = gradient * (self.inputs[index] > 0.0)
        return found[::-1], gradient

    def towards(self, other, tau):
        self.layers = [((1 - tau) * w + tau * v, (1 - tau) * b + tau * c)
                       for (w, b), (v, c) in zip(self.layers, other.layers)]


class Adam:
    """One optimiser over several networks."""

    def __init__(self, networks, lr):
        self.networks, self.lr, self.t = networks, lr, 0
        self.moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in pair]
                        for network in networks for pair in network.layers]

    def step(self, gradients):
        self.t += 1
        places = [(network, index) for network in self.networks
                  for index in range(len(network.layers))]
        for (network, index), moments, pair in zip(places, self.moments, gradients):
            fresh = []
            for place, (p, g) in enumerate(zip(network.layers[index], pair)):
                m, v = moments[place]
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g * g
                moments[place] = m, v
                fresh.append(p - self.lr * (m / (1 - 0.9 ** self.t))
                             / (np.sqrt(v / (1 - 0.999 ** self.t)) + 1e-8))
            network.layers[index] = tuple(fresh)


class ReferenceTD3:
    """The algorithm, from the weights of layers given as lists of (weight, bias)."""

    def __init__(self, actor, q1, q2, max_action, *, lr=3e-4, tau=0.005, policy_noise=0.2,
                 noise_clip=0.5, policy_freq=2):
        self.actor, self.actor_target = Layers(actor), Layers(actor)
        self.q, self.q_target = [Layers(q1), Layers(q2)], [Layers(q1), Layers(q2)]
        self.actor_adam, self.critic_adam = Adam([self.actor], lr), Adam(self.q, lr)
        self.max_action, self.tau = max_action, tau
        self.policy_noise, self.noise_clip = policy_noise, noise_clip
        self.policy_freq = policy_freq
        self.updates = 0

    def update(self, state, action, reward, next_state, discount, normal):
        self.updates += 1
        smoothing = np.clip(normal * self.policy_noise, -self.noise_clip, self.noise_clip)
        next_action = np.clip(
            self.max_action * np.tanh(self.actor_target.forward(next_state)) + smoothing,
            -self.max_action, self.max_action)
        following = np.hstack([next_state, next_action])
        target = reward + discount * np.minimum(*(q.forward(following) for q in self.q_target))
        taken, gradients = np.hstack([state, action]), []
        for q in self.q:
            error = q.forward(taken) - target
            gradients += q.backward(2.0 * error / len(error))[0]
        self.critic_adam.step(gradients)
        if self.updates % self.policy_freq:
            return
        squashed = np.tanh(self.actor.forward(state))
        self.q[0].forward(np.hstack([state, self.max_action * squashed]))
        upstream = -np.ones_like(reward) / len(state)
        _, by_input = self.q[0].backward(upstream)
        by_action = by_input[:, state.shape[1]:]
        by_output = by_action * self.max_action * (1.0 - squashed ** 2)
        self.actor_adam.step(self.actor.backward(by_output)[0])
        self.actor_target.towards(self.actor, self.tau)
        for target_q, q in zip(self.q_target, self.q):
            target_q.towards(q, self.tau)
