# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Twin Delayed Deep Deterministic policy gradient (Fujimoto et al., 2018, arXiv:1802.09477).

Actor and critic each see images through an encoder of their own; all four networks have
target networks. The discount of each transition comes with the batch, so that an n-step
return needs no other code and ``terminated`` (not ``truncated``) ends the bootstrap.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import math
from pathlib import Path
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

from av_td3_ros.learning import checkpoint, fast
from av_td3_ros.learning.acting import Acting, Observation
from av_td3_ros.learning.encoders import Encoder, get_cnn_extractor
from av_td3_ros.learning.inputs import describe_batch, Given
from av_td3_ros.learning.mixed_precision import BFloat16Copy
from av_td3_ros.learning.networks import Actor, Critic
from av_td3_ros.learning.recorded import Recorder
from av_td3_ros.learning.settings import plain, read_config
from av_td3_ros.settings import as_dict

logger = logging.getLogger(__name__)

NETWORKS = ('actor', 'critic', 'actor_cnn', 'critic_cnn')
VECTOR_DIM = 23


class LearningStopped(RuntimeError):
    """A loss or gradient was not finite; the weights are the last good ones."""


class TD3Agent:
    """
    TD3 on flat states, or on images with a vector (``use_dict_buffer``).

    ``state_dim`` counts what actor and critic take: the encoder's features and the vector's
    entries. Encoders that are not given are made from the configuration. ``config`` has the
    sections of :class:`.TD3Settings`, all optional; a key that
    nothing reads is named in a warning, unless its section is one of ``other_sections``, which
    belong to other parts of the program. ``config`` is kept whole and saved with the agent.

    Deterministic for a seed on one machine and number of threads. Initial weights come from
    torch's default generator, all later draws from :attr:`rng`, which is seeded with ``seed``, or
    with torch's initial seed where that is None. ``cuda_graphs`` has gradients on a GPU computed
    by CUDA graphs (:mod:`.recorded`), which call no hooks; elsewhere it does nothing.

    Public: ``actor``, ``critic``, ``actor_cnn``, ``critic_cnn`` (None for flat states), the same
    with ``_target`` and ``_optimizer``; ``total_it`` (updates done), ``discount``, ``tau``,
    ``policy_freq``, ``policy_noise``, ``noise_clip``, ``max_action``, ``state_dim``,
    ``action_dim``, ``use_dict_buffer``, ``settings``, ``config``.
    """

    actor_target: Actor
    critic_target: Critic
    actor_cnn_target: Encoder | None
    critic_cnn_target: Encoder | None
    actor_optimizer: torch.optim.Adam
    critic_optimizer: torch.optim.Adam
    actor_cnn_optimizer: torch.optim.Adam | None
    critic_cnn_optimizer: torch.optim.Adam | None

    def __init__(self, state_dim: int, action_dim: int, max_action: float = 1.0,
                 actor_cnn: Encoder | None = None, critic_cnn: Encoder | None = None,
                 use_dict_buffer: bool = True, config: Mapping[str, Any] | None = None, *,
                 other_sections: Collection[str] = (), device: str | torch.device = 'cpu',
                 seed: int | None = None, cuda_graphs: bool = False) -> None:
        self.settings, unread = read_config(config, other_sections)
        if unread:
            logger.warning('Configuration keys that nothing reads: %s', ', '.join(unread))
        self.config = _merged(as_dict(self.settings), plain(config or {}))
        self.state_dim, self.action_dim = int(state_dim), int(action_dim)
        self.max_action, self.use_dict_buffer = float(max_action), bool(use_dict_buffer)
        self.device = torch.device(device)
        algorithm, networks = self.settings.algorithm, self.settings.networks
        self.discount, self.tau = algorithm.discount, algorithm.tau
        self.policy_freq, self.policy_noise = algorithm.policy_freq, algorithm.policy_noise
        self.noise_clip = algorithm.noise_clip
        self.total_it = 0
        self.actor_starts = algorithm.actor_starts
        self.failure: str | None = None

        self.actor_cnn, self.critic_cnn = self._encoders(actor_cnn, critic_cnn)
        self.actor = Actor(state_dim, action_dim, max_action, networks.actor.hidden_layers)
        self.critic = Critic(state_dim, action_dim, networks.critic.hidden_layers)
        for name in NETWORKS:
            network = getattr(self, name)
            target = optimizer = None
            if network is not None:
                network.to(self.device).eval()
                target = copy.deepcopy(network).requires_grad_(False)
                optimizer = torch.optim.Adam(
                    network.parameters(), lr=self.settings.learning_rate(name), fused=True)
            setattr(self, f'{name}_target', target)
            setattr(self, f'{name}_optimizer', optimizer)
        # On the processor wherever the networks are: its state goes into checkpoints, which are
        # loaded on other devices too.
        self.rng = torch.Generator()
        self.rng.manual_seed(torch.initial_seed() if seed is None else seed)
        self._acting = Acting(self.actor, self.actor_cnn)
        # What computes in updates for networks and targets, by name, where copies do.
        self._copies: dict[str, BFloat16Copy] = {}
        self._uses_copies = False
        self._before_change: Callable[[], None] | None = None
        self._recorder = Recorder() if cuda_graphs and self.device.type == 'cuda' else None

    def _encoders(self, actor_cnn: Encoder | None, critic_cnn: Encoder | None) \
            -> tuple[Encoder | None, Encoder | None]:
        if not self.use_dict_buffer:
            if actor_cnn is not None or critic_cnn is not None:
                raise ValueError('an agent of flat states (use_dict_buffer=False) has no encoders')
            return None, None
        if actor_cnn is None and critic_cnn is None:
            if self.state_dim <= VECTOR_DIM:
                raise ValueError(f'state_dim {self.state_dim} leaves no image features beside '
                                 f'{VECTOR_DIM} vector entries; pass use_dict_buffer=False for '
                                 'flat states')
            actor_cnn, critic_cnn = (
                get_cnn_extractor(output_dim=self.state_dim - VECTOR_DIM,
                                  architecture=self.settings.networks.cnn.architecture)
                for _ in range(2))
        if not isinstance(actor_cnn, Encoder) or not isinstance(critic_cnn, Encoder):
            raise TypeError('actor_cnn and critic_cnn must both be made by get_cnn_extractor')
        memory = {tensor.data_ptr() for tensor in actor_cnn.state_dict().values()}
        if any(tensor.data_ptr() in memory for tensor in critic_cnn.state_dict().values()):
            raise ValueError('actor_cnn and critic_cnn share tensors; they must be two encoders')
        if actor_cnn.output_dim != critic_cnn.output_dim \
                or actor_cnn.output_dim > self.state_dim:
            raise ValueError(
                f'encoders with {actor_cnn.output_dim} and {critic_cnn.output_dim} features do '
                f'not fit state_dim {self.state_dim}')
        cnn = self.config['networks']['cnn']
        cnn['architecture'] = actor_cnn.architecture
        return actor_cnn, critic_cnn

    @property
    def vector_dim(self) -> int:
        """Entries of the observation's vector; of the whole state where there is no image."""
        return self.state_dim - (0 if self.actor_cnn is None else self.actor_cnn.output_dim)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks that this agent has, by name."""
        return {name: network for name in NETWORKS
                if (network := getattr(self, name)) is not None}

    def act(self, observation: Observation) -> np.ndarray:
        """
        Return the policy's action (action_dim,) float32 for one observation, without noise.

        The observation is a flat state (state_dim,), or ``image`` (4, 84, 84) uint8, oldest frame
        first, with ``vector`` (vector_dim,) float32. Raises ValueError for other shapes.
        """
        if not self._acting.runs(self.actor, self.actor_cnn):
            self._acting = Acting(self.actor, self.actor_cnn)
        return self._acting(observation)

    def update(self, batch: Any, noise: torch.Tensor | None = None,
               demonstrated: torch.Tensor | None = None) -> dict[str, float]:
        """
        Make one gradient update of the critic, and every policy_freq-th of actor and targets.

        ``batch`` has ``observation`` and ``next_observation`` ((B, state_dim), or ``image``
        (B, 4, 84, 84) uint8 with ``vector``), ``action`` (B, action_dim), ``reward`` (B, 1) and
        ``discount`` (B, 1), the discount of what follows: 0 where the episode terminated.
        ``noise`` (B, action_dim) replaces the standard normal draw behind the smoothing of
        target actions. ``demonstrated`` (B,) bool marks the rows whose action is worth imitating,
        with the weight :attr:`imitation`.

        Returns the losses, mean estimates and gradient norms. Raises :class:`LearningStopped`
        where one is not finite: that network is left as it was, and further calls raise too
        until a checkpoint is loaded.
        """
        if self.failure is not None:
            raise LearningStopped(self.failure)
        # Once an update: fast.enabled may change at any time.
        self._uses_copies = fast.enabled and self.settings.algorithm.precision == 'bfloat16'
        # Images in the convolutions' own type, which autocast would make of them for each encoder
        # anew.
        given = Given.of(batch, noise, self.rng, shift=self.settings.algorithm.random_shift,
                         device=self.device,
                         dtype=torch.bfloat16 if self._uses_copies else torch.float32)
        try:
            report = self._step(self._critic_gradients, given, 'critic', 'critic_cnn')
            self.total_it += 1
            if self.total_it % self.policy_freq == 0:
                if self.total_it >= self.actor_starts:
                    if demonstrated is not None and self.settings.algorithm.imitation > 0.0:
                        given.imitate(demonstrated, self.imitation)
                    report.update(self._step(self._actor_gradients, given, 'actor', 'actor_cnn'))
                self._update_targets()
        except LearningStopped as error:
            self.failure = f'{error} {describe_batch(batch)}'
            raise LearningStopped(self.failure) from None
        return report

    def _critic_gradients(self, given: Given) -> dict[str, torch.Tensor]:
        with torch.no_grad(), self._arithmetic():
            # Target policy smoothing.
            noise = (given['noise'] * self.policy_noise).clamp(-self.noise_clip, self.noise_clip)
            next_state = given.then.state(self._working('actor_cnn_target'))
            next_action = (self._working('actor_target')(next_state).to(noise.dtype)
                           + noise).clamp(-self.max_action, self.max_action)
            # Clipped double Q-learning.
            target_q1, target_q2 = self._working('critic_target')(
                given.then.state(self._working('critic_cnn_target')), next_action)
            target_q = given['reward'] + given['discount'] * torch.min(target_q1, target_q2)

        with self._arithmetic():
            q1, q2 = self._working('critic')(given.now.state(self._working('critic_cnn')),
                                             given['action'])
        loss = F.mse_loss(q1.to(target_q.dtype), target_q) \
            + F.mse_loss(q2.to(target_q.dtype), target_q)
        norms = self._backward(loss, 'critic', 'critic_cnn')
        return {'critic_loss': loss.detach(), 'q1': q1.detach().mean(), 'q2': q2.detach().mean(),
                'target_q': target_q.mean(), **norms}

    @property
    def imitation(self) -> float:
        """Weight of imitating demonstrations in the next update; see ``algorithm.imitation``."""
        algorithm = self.settings.algorithm
        gone = self.total_it / algorithm.imitation_updates if algorithm.imitation_updates else 0.0
        return algorithm.imitation * max(1.0 - gone, 0.0)

    def _actor_gradients(self, given: Given) -> dict[str, torch.Tensor]:
        with torch.no_grad(), self._arithmetic():
            critic_state = given.now.state(self._working('critic_cnn'))
        self.critic.requires_grad_(False)
        try:
            with self._arithmetic():
                action = self._working('actor')(given.now.state(self._working('actor_cnn')))
                q1 = self._working('critic').first(critic_state, action)
            loss = -q1.float().mean()
            report = {}
            if 'imitation' in given:
                # TD3+BC (Fujimoto and Gu, 2021), on the demonstrations among the batch.
                distance = (action.float() - given['action']).square().mean(dim=1)
                shown = given['demonstrated']
                apart = (distance * shown).sum() / shown.sum().clamp(min=1)
                loss = loss / q1.detach().float().abs().mean() + given['imitation'] * apart
                report['imitation_loss'] = apart.detach()
            norms = self._backward(loss, 'actor', 'actor_cnn')
        finally:
            self.critic.requires_grad_(True)
        return {'actor_loss': loss.detach(), **report, **norms}

    @torch.no_grad()
    def _update_targets(self) -> None:
        for name, network in self.networks().items():
            target = getattr(self, f'{name}_target')
            torch._foreach_lerp_(list(target.parameters()), list(network.parameters()), self.tau)
            for kept, current in zip(target.buffers(), network.buffers()):
                kept.copy_(current)
            if self._uses_copies:
                self._copies[f'{name}_target'].refresh()

    def _backward(self, loss: torch.Tensor, *names: str) -> dict[str, torch.Tensor]:
        """Leave the gradients of ``loss`` in the named networks; return their norms."""
        parameters = self._parameters(names)
        for parameter in itertools.chain(*parameters.values()):
            parameter.grad = None
        copies = self._copies_of(parameters)
        for kept in copies:
            kept.forget_gradients()
        loss.backward()
        for kept in copies:
            kept.hand_over_gradients()
        return {f'{name}_grad_norm': fast.norm([parameter.grad for parameter in own])
                for name, own in parameters.items()}

    def _step(self, gradients_of: Callable[[Given], Mapping[str, torch.Tensor]], given: Given,
              *names: str) -> dict[str, float]:
        """Step the named networks' optimisers, or raise if anything is not finite."""
        parameters = self._parameters(names)
        with _batch_statistics(getattr(self, names[-1])):
            report = fast.numbers(self._computed(gradients_of, given, parameters))
            number = f'in update {self.total_it + (names[0] == "critic")};'
            loss = report[f'{names[0]}_loss']
            if not math.isfinite(loss):
                raise LearningStopped(f'The loss of the {names[0]} is {loss} {number}')
            for name, own in parameters.items():
                norm = report[f'{name}_grad_norm']
                if not math.isfinite(norm):
                    raise LearningStopped(f'The gradient of the {name} has norm {norm} {number}')
                largest = self.settings.max_grad_norm(name)
                if 0.0 < largest < norm:
                    torch._foreach_mul_([parameter.grad for parameter in own], largest / norm)
            self.finish_snapshot()
            for name in parameters:
                fast.step_adam(getattr(self, f'{name}_optimizer'))
            for kept in self._copies_of(parameters):
                kept.refresh()      # while what was written is still in the caches
        return report

    def _parameters(self, names: Iterable[str]) -> dict[str, list[nn.Parameter]]:
        """Return what those of the named networks that there are learn, by their names."""
        optimizers = {name: getattr(self, f'{name}_optimizer') for name in names}
        return {name: [parameter for group in optimizer.param_groups
                       for parameter in group['params']]
                for name, optimizer in optimizers.items() if optimizer is not None}

    def _copies_of(self, names: Iterable[str]) -> list[BFloat16Copy]:
        return [self._copies[name] for name in names] if self._uses_copies else []

    def _computed(self, gradients_of: Callable[[Given], Mapping[str, torch.Tensor]], given: Given,
                  parameters: Mapping[str, list[nn.Parameter]]) -> Mapping[str, torch.Tensor]:
        """Return what ``gradients_of`` returns, by a recording of it where there are any."""
        if self._recorder is None or not fast.enabled:
            return gradients_of(given)
        networks = [self._working(f'{name}{kind}') for name in self.networks()
                    for kind in ('', '_target')]
        tensors = [tensor for network in networks
                   for tensor in itertools.chain(network.parameters(), network.buffers())]
        known = (self.policy_noise, self.noise_clip, self.max_action,
                 [(tensor.data_ptr(), tensor.requires_grad) for tensor in tensors])
        return self._recorder(
            next(iter(parameters)), gradients_of, given,
            list(itertools.chain(*parameters.values())),
            [buffer for name in parameters for buffer in getattr(self, name).buffers()], known)

    def _working(self, name: str) -> Any:
        """Return what computes for the named network, or target, in this update."""
        network = getattr(self, name)
        if network is None or not self._uses_copies:
            return network
        kept = self._copies.get(name)
        if kept is None or kept.master is not network:
            kept = self._copies[name] = BFloat16Copy(network)
        kept.refresh()
        return kept.network

    def _arithmetic(self) -> contextlib.AbstractContextManager:
        if self.settings.algorithm.precision == 'float32':
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def before_change(self, wait: Callable[[], None]) -> None:
        """Have ``wait`` called before the weights change next; see :mod:`.snapshot`."""
        self._before_change = wait

    def finish_snapshot(self) -> None:
        """Wait until a snapshot under way has copied the weights: they are about to change."""
        if self._before_change is not None:
            wait, self._before_change = self._before_change, None
            wait()

    def save_checkpoint(self, path: str | Path, *, replay: Any = None, exploration: Any = None,
                        extra: Any = None) -> None:
        """Save everything to ``path``, durably; see :func:`.checkpoint.save`."""
        checkpoint.save(self, path, replay=replay, exploration=exploration, extra=extra)

    def load_checkpoint(self, path: str | Path, *, replay: Any = None, exploration: Any = None,
                        extra: Any = None, keep_hyper_parameters: bool = False,
                        ) -> checkpoint.Loaded:
        """Load ``path``, or raise and change nothing; see :func:`.checkpoint.load`."""
        return checkpoint.load(self, path, replay=replay, exploration=exploration, extra=extra,
                               keep_hyper_parameters=keep_hyper_parameters)


@contextlib.contextmanager
def _batch_statistics(encoder: Encoder | None) -> Iterator[None]:
    """
    Let batch-norm layers use and gather the batch's statistics, as training does.

    Elsewhere (acting, targets, the critic under the policy's loss) they use the gathered ones.
    What was gathered is undone where the update fails.
    """
    buffers = [] if encoder is None else list(encoder.buffers())
    if not buffers:
        yield
        return
    before = [buffer.clone() for buffer in buffers]
    encoder.train()
    try:
        yield
    except LearningStopped:
        for buffer, kept in zip(buffers, before):
            buffer.copy_(kept)
        raise
    finally:
        encoder.eval()


def _merged(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as given, completed with the settings that it leaves out."""
    merged = dict(settings)
    for key, value in config.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) \
            if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
