# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``inspect_checkpoint FILE``: what a checkpoint holds, and whether it verifies."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any, Mapping, Sequence

import torch

from av_td3_ros.learning.checkpoint import CheckpointError, describe, tensors
from av_td3_ros.learning.encoders import get_cnn_extractor
from av_td3_ros.learning.policy import Policy
from av_td3_ros.learning.restoration import check, HYPER_PARAMETERS, Refused, TITLES
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.learning.torch_archive import ArchiveRefused, read_archive
from av_td3_ros.settings import SettingsError

KINDS = {'': 'weights', '_target': 'target', '_optimizer': 'optimizer'}
STATES = ('random_states', 'replay', 'exploration', 'extra')


def inspect(path: Path) -> dict[str, Any]:
    """
    Return what ``path`` holds, as plain types.

    ``verifies`` is whether an agent as the file describes it can load it, ``reason`` why not.
    ``checksum`` is 'right', 'none' or 'wrong'. ``missing`` names what an exact resume needs and
    the file lacks. Raises OSError where the file cannot be read.
    """
    found: dict[str, Any] = {'file': str(path), 'bytes': path.stat().st_size, 'verifies': False,
                             'reason': None, 'checksum': 'none', 'sha256': None}
    try:
        archive = read_archive(path)
    except ArchiveRefused as error:
        found['reason'] = str(error)
        found['checksum'] = 'wrong' if 'SHA-256' in str(error) else 'unknown'
        return found
    found.update(checksum='right' if archive.sealed else 'none', sha256=archive.sha256)
    content = archive.content
    if not isinstance(content, dict):
        found['reason'] = f'it holds a {type(content).__name__}, not a dictionary'
        return found
    found.update(_described(content))
    if 'critic_state_dict' not in content:
        return _inspect_policy(path, found)
    try:
        found['warnings'] = check(_agent_like(content), content, archive.sealed).warnings
        found['verifies'] = True
    except (Refused, SettingsError, ValueError, TypeError, KeyError) as error:
        found['reason'] = str(error)
    return found


def _inspect_policy(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Complete what is found of a policy file: actor and encoder alone."""
    try:
        Policy().load_checkpoint(path)
    except CheckpointError as error:
        found['reason'] = str(error)
        return found
    found.update(verifies=True, missing=[], hyper_parameters={}, warnings=[
        'a policy file, for driving: a training that starts from it has a new critic'])
    return found


def _described(content: Mapping[str, Any]) -> dict[str, Any]:
    parts, missing = {}, []
    flat = content.get('use_dict_buffer') is False
    for part in TITLES:
        for kind, title in KINDS.items():
            key = f'{part}{kind}_state_dict'
            state = content.get(key)
            if state is None:
                if not (flat and part.endswith('_cnn')):
                    missing.append(key)
                continue
            entries = state.get('state', state) if kind == '_optimizer' else state
            parts[key] = {'part': part, 'kind': title, 'entries': len(entries),
                          'parameters': sum(tensor.numel() for _, tensor in tensors(entries))}
    missing += [key for key in ('format_version', 'random_states', 'config', 'total_it')
                if content.get(key) is None]
    scalars = ('total_it', 'format_version', 'architecture', 'use_dict_buffer', 'state_dim',
               'action_dim', 'max_action', 'software')
    return {**{key: content.get(key) for key in scalars}, 'parts': parts,
            'hyper_parameters': {key: content.get(key) for key in HYPER_PARAMETERS},
            'states': [key for key in STATES if content.get(key) is not None],
            'missing': missing, 'config': content.get('config')}


def _agent_like(content: Mapping[str, Any]) -> TD3Agent:
    """Return an agent of the kind that the file says it is of."""
    config = content.get('config') or {}
    heads = {part: {'hidden_layers': _hidden_layers(content, part)}
             for part in ('actor', 'critic')}
    algorithm, networks = (found if isinstance(found := config.get(name), dict) else {}
                           for name in ('algorithm', 'networks'))
    with torch.random.fork_rng(devices=[]):
        encoders: dict[str, Any] = {}
        if content.get('use_dict_buffer') is True:
            state = content.get('actor_cnn_state_dict') or {}
            architecture = 'resnet18' if 'input_projection.weight' in state else \
                'nature_layernorm' if 'ln1.weight' in state else 'nature'
            first = state.get('input_projection.weight', state.get('conv1.weight'))
            bias = state.get('feature_head.0.bias', state.get('fc.bias'))
            if first is None or bias is None:
                raise Refused('actor_cnn_state_dict is of no encoder that there is')
            encoders = {name: get_cnn_extractor(first.shape[1], len(bias), architecture)
                        for name in ('actor_cnn', 'critic_cnn')}
        return TD3Agent(
            content['state_dim'], content['action_dim'], content.get('max_action', 1.0),
            **encoders, use_dict_buffer=bool(encoders), seed=0,
            config={'algorithm': algorithm, 'networks': {
                **networks, **{part: {**(networks.get(part) or {}), **heads[part]}
                               for part in heads}}},
            other_sections=set(config) | {'algorithm', 'networks'})


def _hidden_layers(content: Mapping[str, Any], part: str) -> list[int]:
    state = content.get(f'{part}_state_dict')
    prefix = 'Q1.' if part == 'critic' else ''
    sizes: list[int] = []
    while isinstance(state, dict) and isinstance(
            bias := state.get(f'{prefix}fc{len(sizes) + 1}.bias'), torch.Tensor):
        sizes.append(bias.numel())
    return sizes[:-1]


def table(found: Mapping[str, Any]) -> str:
    """Return :func:`inspect`'s answer for people."""
    verdict = 'yes' if found['verifies'] else f'NO: {found["reason"]}'
    lines = [f'{found["file"]}  ({found["bytes"]:,} bytes)',
             f'verifies          {verdict}', f'checksum          {found["checksum"]}']
    if 'parts' in found:
        lines += [f'iteration         {found["total_it"]}',
                  f'encoder           {found["architecture"] or "none named"}',
                  f'dimensions        state {found["state_dim"]}, action {found["action_dim"]}, '
                  f'max_action {found["max_action"]}',
                  'hyper-parameters  ' + (', '.join(
                      f'{key} {value}' for key, value in found['hyper_parameters'].items())
                      or 'none'),
                  'states            ' + (', '.join(found['states']) or 'none'),
                  'missing           ' + (', '.join(found['missing']) or 'nothing'), '',
                  f'{"part":<38}{"entries":>9}{"parameters":>14}']
        lines += [f'{key:<38}{part["entries"]:>9}{part["parameters"]:>14,}'
                  for key, part in found['parts'].items()]
    lines += [f'warning: {line}' for line in found.get('warnings', ())]
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> str | None:
    """Run the command; return an error message, or None where the file verifies."""
    parser = argparse.ArgumentParser(prog='inspect_checkpoint', description=__doc__)
    parser.add_argument('file', type=Path, metavar='FILE')
    parser.add_argument('--json', action='store_true', help='print JSON')
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        found = inspect(arguments.file)
    except OSError as error:
        return f'{arguments.file} cannot be read: {describe(error)}'
    sys.stdout.write((json.dumps(found, indent=1) if arguments.json else table(found)) + '\n')
    return None if found['verifies'] else f'{arguments.file} does not verify: {found["reason"]}'


if __name__ == '__main__':
    sys.exit(main())
