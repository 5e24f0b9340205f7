# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks a checkpoint's content against an agent, completely, before anything changes."""

from __future__ import annotations

import functools
import math
from typing import Any, Callable, Mapping, TYPE_CHECKING

import torch
from torch import nn

from av_td3_ros.learning import random_states
from av_td3_ros.learning.settings import ALIASES
from av_td3_ros.settings import flatten

if TYPE_CHECKING:
    from av_td3_ros.learning.td3 import TD3Agent

TITLES = {'actor': 'actor', 'critic': 'critic', 'actor_cnn': 'actor CNN',
          'critic_cnn': 'critic CNN'}
# Name and inclusive range of the hyper-parameters that a file gives back to the agent.
HYPER_PARAMETERS = {'discount': (0.0, 1.0), 'tau': (0.0, 1.0), 'policy_freq': (1, 1 << 31),
                    'policy_noise': (0.0, 1e9), 'noise_clip': (0.0, 1e9)}
_FIRST = {'total_it', 'use_dict_buffer', 'config', 'state_dim', 'action_dim', 'max_action',
          *HYPER_PARAMETERS, *(f'{part}{kind}_state_dict' for part in TITLES
                               for kind in ('', '_optimizer'))}
_LATER = {'format_version', 'software', 'architecture', 'random_states', 'replay', 'exploration',
          'extra', *(f'{part}_target_state_dict' for part in TITLES)}
_ADAM = ('step', 'exp_avg', 'exp_avg_sq')
Extremes = Callable[[torch.Tensor], 'tuple[float, float]']


class Refused(ValueError):
    """
    The content does not fit; the message names the key and why.

    ``damaged`` tells that it fits no agent, rather than only not this one.
    """

    damaged = True


class Misfit(Refused):
    """The content is of another kind of agent."""

    damaged = False


class Restoration:
    """What a load will change; :meth:`apply` does it and cannot fail."""

    def __init__(self, agent: TD3Agent, extremes: Extremes) -> None:
        self.extremes = extremes
        self.warnings: list[str] = []
        self.log: list[str] = []
        self._agent = agent
        self._copies: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._steps: list[Callable[[], None]] = []

    def copy(self, into: torch.Tensor, source: torch.Tensor) -> None:
        """Plan to copy a tensor."""
        self._copies.append((into, source))

    def then(self, step: Callable[[], None]) -> None:
        """Plan a step."""
        self._steps.append(step)

    @torch.no_grad()
    def apply(self) -> None:
        """Change the agent."""
        self._agent.finish_snapshot()
        for into, source in self._copies:
            into.copy_(source)
        for step in self._steps:
            step()


def extremes(tensor: torch.Tensor) -> tuple[float, float]:
    """Return the lowest and the highest number, NaN where one is."""
    low, high = torch.aminmax(tensor)
    return low.item(), high.item()


def check(agent: TD3Agent, content: Any, sealed: bool, keep_hyper_parameters: bool = False,
          extremes: Extremes = extremes) -> Restoration:
    """
    Check everything in ``content`` against ``agent``, without changing it.

    ``sealed`` tells whether the file's checksum was there: only files of the first format, which
    have neither ``format_version`` nor what came with it, may come without. ``extremes`` is asked
    for what the numbers of a tensor lie between: large ones are not looked at here, and need
    not have been read before :meth:`Restoration.apply`. Raises :class:`Refused`.
    """
    plan = Restoration(agent, extremes)
    if not isinstance(content, dict):
        raise Refused(f'it holds a {type(content).__name__}, not a dictionary')
    first_format = not sealed and not {'format_version', 'software', 'architecture',
                                       'random_states'} & set(content)
    _check_keys(plan, content, first_format)
    _check_identity(agent, content)
    for part in TITLES:
        _check_network(plan, agent, content, part, '')
        _check_target(plan, agent, content, part, first_format)
        _check_optimizer(plan, agent, content, part, keep_hyper_parameters)
    _check_hyper_parameters(plan, agent, content, keep_hyper_parameters)
    if first_format:
        plan.warnings.append('the file has no random states and no checksum: the resume is not '
                             'exact')
    else:
        try:
            plan.then(random_states.check(agent, content['random_states']))
        except ValueError as error:
            raise Refused(str(error)) from None
        plan.log.append('Random states restored')
    if not first_format and not sealed:
        raise Refused('its checksum is missing: the file was written again by another program, '
                      'or its end is damaged')
    total_it = content['total_it']

    def finish() -> None:
        agent.total_it, agent.failure = total_it, None
    plan.then(finish)
    return plan


def _check_keys(plan: Restoration, content: Mapping[str, Any], first_format: bool) -> None:
    if not first_format:
        version = content.get('format_version')
        if version != 1 or isinstance(version, bool):
            raise Refused(f'format_version is {_short(version)}; this program reads 1')
    needed = _FIRST if first_format else _FIRST | _LATER
    for key in sorted(needed - set(content)):
        if first_format and key in HYPER_PARAMETERS.keys() | {'config', 'max_action'}:
            plan.warnings.append(f"{key} is missing: the agent's own is kept")
            continue
        raise Refused(f'{key} is missing')
    surplus = sorted(str(key)[:80] for key in set(content) - _FIRST - _LATER)
    if surplus and not first_format:
        raise Refused(f'{surplus[0]} is surplus: no checkpoint has that key')
    if surplus:
        plan.warnings.append(f'nothing reads the keys {", ".join(surplus)}')
    if not isinstance(content.get('config', {}), dict):
        raise Refused('config is no dictionary')
    for name in ('algorithm', 'exploration', 'networks'):
        # An agent completes its configuration with these before it saves.
        if not first_format and not isinstance(content['config'].get(name), dict):
            raise Refused(f'config.{name} is missing')
    for key in ('replay', 'exploration', 'extra'):
        if not isinstance(content.get(key), (dict, type(None))):
            raise Refused(f'{key} is no dictionary')


def _check_identity(agent: TD3Agent, content: Mapping[str, Any]) -> None:
    """Refuse a file of another kind of agent, naming both."""
    total_it = content['total_it']
    if not isinstance(total_it, int) or isinstance(total_it, bool) \
            or not 0 <= total_it < 1 << 62:
        raise Refused(f'total_it is {_short(total_it)}, which is no number of updates')
    theirs, ours = content['use_dict_buffer'], agent.use_dict_buffer
    if not isinstance(theirs, bool) or theirs != ours:
        kinds = {True: 'images with a vector', False: 'flat states'}
        raise Misfit(f'use_dict_buffer is {_short(theirs)}: the file is of an agent of '
                     f'{kinds[theirs is True]}, this agent takes {kinds[ours]}')
    for key in ('state_dim', 'action_dim', 'max_action'):
        value = content.get(key, getattr(agent, key))
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or value != getattr(agent, key):
            raise Misfit(f'{key} is {_short(value)} in the file and {getattr(agent, key)} in '
                         'this agent')
    if agent.actor_cnn is None:
        return
    ours = agent.actor_cnn.architecture
    for part in ('actor_cnn', 'critic_cnn'):
        state = content[f'{part}_state_dict']
        theirs = _architecture(state)
        if theirs != ours:
            raise Misfit(f'{part}_state_dict is of the encoder {theirs}, this agent has {ours}')
    if content.get('architecture', ours) != ours:
        raise Misfit(f'architecture is {_short(content["architecture"])}, this agent has the '
                     f'encoder {ours}')


def _architecture(state: Any) -> str:
    """Return the name of the encoder that a state dict is of, by what only it has."""
    if state is None:
        return 'None (no encoder was saved)'
    if not isinstance(state, dict):
        return 'unknown'
    if 'input_projection.weight' in state or any(
            str(key).startswith('backbone.') for key in state):
        return 'resnet18'
    return 'nature_layernorm' if any(str(key).startswith('ln') for key in state) else 'nature'


def _check_network(plan: Restoration, agent: TD3Agent, content: Mapping[str, Any], part: str,
                   kind: str) -> None:
    """Check ``<part><kind>_state_dict`` against the agent's network of that name."""
    key = f'{part}{kind}_state_dict'
    network: nn.Module | None = getattr(agent, f'{part}{kind}')
    state = content[key]
    if network is None:
        if state is not None:
            raise Refused(f'{key} holds an encoder, which this agent of flat states lacks')
        return
    if not isinstance(state, dict):
        raise Refused(f'{key} is {_short(state)}, not the state of a network')
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    surplus = [str(name)[:80] for name in state if name not in own]
    if missing or surplus:
        raise Refused(f'{key} has {len(missing)} missing entries'
                      f'{_first(missing)} and {len(surplus)} surplus ones{_first(surplus)}')
    for name, into in own.items():
        least = 0.0 if name.endswith('running_var') else -math.inf
        plan.copy(into, _checked_tensor(plan, state[name], into, f'{key}.{name}', least))
    title = TITLES[part] + kind.replace('_', ' ')
    plan.log.append(f'{title[0].upper()}{title[1:]} restored ({len(own)} layers)')


def _check_target(plan: Restoration, agent: TD3Agent, content: Mapping[str, Any], part: str,
                  first_format: bool) -> None:
    if not first_format or f'{part}_target_state_dict' in content:
        _check_network(plan, agent, content, part, '_target')
        return
    target = getattr(agent, f'{part}_target')
    if target is None:
        return
    for name, into in target.state_dict().items():
        plan.copy(into, content[f'{part}_state_dict'][name])
    if part == 'actor':
        plan.warnings.append('the file has no target networks: they are copied from the '
                             'networks, and the resume is not exact')


def _check_optimizer(plan: Restoration, agent: TD3Agent, content: Mapping[str, Any], part: str,
                     keep: bool) -> None:
    key = f'{part}_optimizer_state_dict'
    optimizer: torch.optim.Adam | None = getattr(agent, f'{part}_optimizer')
    given = content[key]
    if optimizer is None:
        if given is not None:
            raise Refused(f'{key} is surplus: this agent of flat states has no encoder')
        return
    if not isinstance(given, dict) or set(given) != {'state', 'param_groups'} \
            or not isinstance(given['state'], dict) \
            or not isinstance(given['param_groups'], (list, tuple)) \
            or len(given['param_groups']) != 1 or not isinstance(given['param_groups'][0], dict):
        raise Refused(f'{key} is not the state of one Adam')
    network = getattr(agent, part)
    own = dict(network.named_parameters())
    # Adam numbers parameters as their network lists them, which the file tells too.
    names = [name for name in content[f'{part}_state_dict'] if name in own]
    group = given['param_groups'][0]
    if group.get('params') != list(range(len(names))):
        raise Refused(f'{key}.param_groups[0].params does not number {len(names)} parameters')
    states = given['state']
    if states and set(states) != set(range(len(names))):
        odd = sorted(map(str, set(states) ^ set(range(len(names)))))
        raise Refused(f'{key}.state does not cover the {len(names)} parameters, first {odd[0]}')
    moments: dict[nn.Parameter, dict[str, torch.Tensor]] = {}
    for index, entry in states.items():
        moments[own[names[index]]] = _moments(plan, entry, own[names[index]],
                                              f'{key}.state[{index}]')
    # In the network's own order, as torch keeps it.
    moments = {parameter: moments[parameter] for parameter in own.values() if states}
    settings = _adam_settings(group, f'{key}.param_groups[0]')
    current = optimizer.param_groups[0]
    changed = {name: value for name, value in settings.items()
               if value != _listed(current[name])}
    for name, value in changed.items():
        plan.warnings.append(f'{part}_optimizer: {name} is {value} in the file and '
                             f'{_listed(current[name])} in this agent; '
                             + ("the agent's is kept" if keep else "the file's is taken"))

    def swap() -> None:
        # Copies, because the file's tensors are views of one buffer; into memory that is there.
        before = dict(optimizer.state)
        optimizer.state.clear()
        for parameter, entry in moments.items():
            own_entry = before.get(parameter) or {
                name: torch.empty_like(parameter) for name in _ADAM[1:]}
            own_entry['step'] = entry['step'].to(parameter.device, copy=True)
            for name in _ADAM[1:]:
                own_entry[name].copy_(entry[name])
            optimizer.state[parameter] = {name: own_entry[name] for name in _ADAM}
        if not keep:
            current.update({name: tuple(value) if name == 'betas' else value
                            for name, value in changed.items()})
    plan.then(swap)
    plan.log.append(f'{TITLES[part][0].upper()}{TITLES[part][1:]} optimizer restored')


def _moments(plan: Restoration, entry: Any, like: torch.Tensor,
             where: str) -> dict[str, torch.Tensor]:
    """Check what Adam keeps for one parameter."""
    if not isinstance(entry, dict) or set(entry) != set(_ADAM):
        odd = sorted(map(str, set(entry) ^ set(_ADAM))) if isinstance(entry, dict) else ['']
        raise Refused(f'{where} must hold step, exp_avg and exp_avg_sq, and nothing else '
                      f'({odd[0][:80]})')
    step = entry['step']
    if isinstance(step, (int, float)) and not isinstance(step, bool):
        step = torch.tensor(float(step))
    if not isinstance(step, torch.Tensor) or step.dim() or not step.is_floating_point() \
            or not 0 <= step.item() < 1 << 40:
        raise Refused(f'{where}.step is no number of steps')
    return {'step': step.to(torch.float32),
            **{name: _checked_tensor(plan, entry[name], like, f'{where}.{name}', least)
               for name, least in (('exp_avg', -math.inf), ('exp_avg_sq', 0.0))}}


def _adam_settings(group: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name in ('amsgrad', 'maximize'):
        if group.get(name):
            raise Refused(f'{where}.{name} is on, which this Adam does not do')
    found = {}
    for name, high in (('lr', math.inf), ('eps', 1.0), ('weight_decay', 1.0)):
        value = group.get(name)
        value = value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not math.isfinite(value) or not 0.0 <= value <= high:
            raise Refused(f'{where}.{name} is {_short(value)}')
        found[name] = value
    betas = group.get('betas')
    if not isinstance(betas, (list, tuple)) or len(betas) != 2 or not all(
            isinstance(beta, float) and 0.0 <= beta < 1.0 for beta in betas):
        raise Refused(f'{where}.betas is {_short(betas)}')
    return {**found, 'betas': list(betas)}


def _check_hyper_parameters(plan: Restoration, agent: TD3Agent, content: Mapping[str, Any],
                            keep: bool) -> None:
    for name, (low, high) in HYPER_PARAMETERS.items():
        own = getattr(agent, name)
        value = content.get(name, own)
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not math.isfinite(value) or not low <= value <= high \
                or (name == 'policy_freq' and not isinstance(value, int)):
            raise Refused(f'{name} is {_short(value)}')
        if value == own:
            continue
        plan.warnings.append(f'{name} is {value} in the file and {own} in this agent; '
                             + ("the agent's is kept" if keep else "the file's is taken"))
        if not keep:
            plan.then(functools.partial(_set_hyper_parameter, agent, name, value))
    own = flatten({key: agent.config.get(key, {}) for key in ('algorithm', 'networks')})
    given = content.get('config', {})
    theirs = {ALIASES.get(key, key): value for key, value in flatten(
        {key: given.get(key, {}) for key in ('algorithm', 'networks')}).items()}
    ignored = {f'algorithm.{name}' for name in HYPER_PARAMETERS} | {'algorithm.seed'}
    for key in sorted(set(own) & set(theirs) - ignored):
        if own[key] != theirs[key] and 'learning_rate' not in key and not key.endswith('_lr'):
            plan.warnings.append(f'{key} was {_short(theirs[key])} when the file was saved and is '
                                 f'{_short(own[key])} in this agent, which keeps it')


def _set_hyper_parameter(agent: TD3Agent, name: str, value: float) -> None:
    setattr(agent, name, value)
    agent.config['algorithm'][name] = value


def _checked_tensor(plan: Restoration, tensor: Any, like: torch.Tensor, where: str,
                    least: float) -> torch.Tensor:
    """Return a tensor of the type and shape of ``like``, finite and nowhere below ``least``."""
    if not isinstance(tensor, torch.Tensor):
        raise Refused(f'{where} is {_short(tensor)}, not a tensor')
    if tensor.shape != like.shape:
        raise Refused(f'{where} has shape {list(tensor.shape)}, this agent has '
                      f'{list(like.shape)}')
    if tensor.dtype != like.dtype:
        raise Refused(f'{where} is of {tensor.dtype}, this agent of {like.dtype}')
    if tensor.is_floating_point() and tensor.numel():
        low, high = plan.extremes(tensor)
        if not math.isfinite(low) or not math.isfinite(high):
            raise Refused(f'{where} is not finite')
        if low < least:
            raise Refused(f'{where} has entries below {least:g}')
    return tensor


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _first(names: list[str]) -> str:
    return f' (first {names[0]})' if names else ''


def _short(value: Any) -> str:
    """Describe a value of unknown size in a few words."""
    if value is None or isinstance(value, (bool, float, str)):
        return repr(value)[:80]
    if isinstance(value, int):
        return str(value)[:80]
    return f'a {type(value).__name__}'
