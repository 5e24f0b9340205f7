# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Writes the parameter files in config/ from the declarations of the settings.

The files hold every parameter of every node with its default, its description and its range. They
are never edited by hand here: change the declaration and run this. A test holds them to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
import textwrap
from typing import Any, Iterator, Mapping

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from av_td3_ros.driving.guard import GuardSettings  # noqa: E402
from av_td3_ros.nodes.player_settings import PlayerSettings  # noqa: E402
from av_td3_ros.nodes.policy_settings import PolicySettings  # noqa: E402
from av_td3_ros.nodes.recorder import RecorderSettings  # noqa: E402
from av_td3_ros.nodes.simulator import SimulatorSettings  # noqa: E402
from av_td3_ros.nodes.training_settings import TrainingNodeSettings  # noqa: E402
from av_td3_ros.nodes.visualization_settings import VisualizationSettings  # noqa: E402
from av_td3_ros.settings import Declaration, declarations  # noqa: E402
from av_td3_ros.training.configuration import RunSettings  # noqa: E402

WIDTH = 99

HEAD = """\
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# {title}
#
# Every parameter of every node. Copy this file, change what you like, and pass
# it on: ros2 launch av_td3_ros {launch} params_file:=my.yaml
# Written by scripts/generate_config.py from the declarations in the code.
"""

# Each node's section, what is said about it, its settings, and the part of them that it shows:
# the run without ROS has the nodes' own sections, which it reads from theirs.
POLICY, TRAINER = '/**/av_td3_policy', '/av_td3_trainer'
SIMULATOR, GUARD, TRAIN = '/carla_ros_bridge', '/**/av_td3_guard', '/**/av_td3_train'
VISUALIZATION = '/**/av_td3_visualization'
PLAYER, RECORDER = '/av_td3_player', '/av_td3_recorder'
NODES: dict[str, tuple[str, type, tuple[str, ...]]] = {
    POLICY: ('drives the vehicle with the policy', PolicySettings, ()),
    TRAINER: ('learns from the experience', TrainingNodeSettings, ()),
    SIMULATOR: ('the embedded simulator, for simulator:=embedded', SimulatorSettings, ()),
    GUARD: ('brakes when commands stop', GuardSettings, ()),
    VISUALIZATION: ('draws what the policy sees, for visualize:=true', VisualizationSettings, ()),
    PLAYER: ('sends a bag to a policy node in shadow mode, and judges its answers',
             PlayerSettings, ()),
    RECORDER: ('writes topics to a bag, where there is no ros2 bag',
               RecorderSettings, ()),
    TRAIN: ('training without ROS (executable train), beside what the nodes above have',
            RunSettings, ('simulation', 'curriculum', 'demonstrations', 'evaluation')),
}

# A simulation that waits for a command each tick loses no picture, however slow the policy is.
_WAITING = {'synchronous_mode_wait_for_vehicle_control_command': True}
# The launch files start the guard too.
_GUARDED = {'expect_guard': True}
# What learns to drive in the embedded town (docs/learning.md); the declarations' defaults are
# those of plain TD3.
_TASK = {'action.repeat': 2, 'action.max_steer': 0.8}
_EXPLORATION = {'exploration.expl_noise': 0.3, 'exploration.steer_share': 0.45}
_LEARNING = {'algorithm.discount': 0.98, 'algorithm.n_step': 3, 'algorithm.learning_starts': 3000,
             'algorithm.actor_starts': 1000, 'algorithm.policy_noise': 0.1,
             'algorithm.noise_clip': 0.25}
FILES: dict[str, dict[str, Any]] = {
    'training.yaml': {
        'title': 'Training: the car drives episodes, and learns from them.',
        'launch': 'training.launch.py',
        'nodes': (POLICY, TRAINER, SIMULATOR, GUARD, VISUALIZATION, TRAIN),
        'values': {POLICY: {'training': True, 'lockstep': True, **_GUARDED, **_TASK,
                            **_EXPLORATION},
                   TRAINER: {'lockstep': True, **_LEARNING}, SIMULATOR: _WAITING}},
    'driving.yaml': {
        'title': 'Driving: the car follows the route that it is given, and learns nothing.',
        'launch': 'driving.launch.py', 'nodes': (POLICY, SIMULATOR, GUARD, VISUALIZATION),
        'values': {POLICY: {'training': False, **_GUARDED, **_TASK}, SIMULATOR: _WAITING}},
    'replay.yaml': {
        'title': 'Replaying: a bag is played to the policy, whose commands nobody obeys.',
        'launch': 'replay.launch.py', 'nodes': (POLICY, PLAYER),
        # Where odometry comes late in the bag, its picture waits for it as it does offline.
        'values': {POLICY: {'training': False, 'shadow': True, 'pair_timeout': 10.0, **_TASK}}},
}


def content(name: str) -> str:
    """Return what the file config/``name`` must hold."""
    file = FILES[name]
    parts = [HEAD.format(**file)]
    for node in file['nodes']:
        title, settings, shown = NODES[node]
        lines = [f'# {node.rsplit("/", 1)[-1]}: {title}', f'{node}:', '  ros__parameters:']
        lines += _parameters(settings, shown, file['values'].get(node, {}))
        parts.append('\n'.join(lines) + '\n')
    return '\n'.join(parts)


def _parameters(settings: type, shown: tuple[str, ...], values: Mapping[str, Any]
                ) -> Iterator[str]:
    """Yield the lines of a node's parameters."""
    sections: list[str] = []
    for declaration in declarations(settings):
        *path, name = declaration.name.split('.')
        if shown and declaration.name.split('.')[0] not in shown:
            continue
        common = 0
        while common < min(len(path), len(sections)) and path[common] == sections[common]:
            common += 1
        for depth in range(common, len(path)):
            yield f'{_indent(depth)}{path[depth]}:'
        sections = path
        indent = _indent(len(path))
        yield from textwrap.wrap(_comment(declaration), WIDTH, initial_indent=f'{indent}# ',
                                 subsequent_indent=f'{indent}# ', break_long_words=False,
                                 break_on_hyphens=False)
        yield f'{indent}{name}: {as_yaml(values.get(declaration.name, declaration.default))}'


def _indent(depth: int) -> str:
    return '  ' * (depth + 2)


def _comment(declaration: Declaration) -> str:
    """Return description and range as a sentence."""
    text = declaration.description.rstrip('.')
    low, high = declaration.ge, declaration.le
    if declaration.choices:
        text += ' (' + ' or '.join(choice or "''" for choice in declaration.choices) + ')'
    elif low is not None and high is not None:
        text += f' ({low:g} to {high:g})'
    elif low is not None:
        text += f' ({low:g} or more)'
    elif high is not None:
        text += f' ({high:g} or less)'
    return text[0].upper() + text[1:]


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line, such that it is read back in its own type."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float):
        # YAML 1.1, which rcl and PyYAML read, wants a dot and a signed exponent.
        text = repr(value)
        if 'e' in text:
            mantissa, exponent = text.split('e')
            mantissa += '' if '.' in mantissa else '.0'
            text = f'{mantissa}e{int(exponent):+03d}'
        return text
    return yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]


def main() -> int:
    """Write the files; with --check only tell whether they are right."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; status 1 if stale')
    check = parser.parse_args().check
    stale = 0
    for name in FILES:
        path, text = ROOT / 'config' / name, content(name)
        if path.is_file() and path.read_text(encoding='utf-8') == text:
            continue
        stale += 1
        if check:
            print(f'{path} is not what the declarations say; run scripts/generate_config.py',
                  file=sys.stderr)
        else:
            path.write_text(text, encoding='utf-8')
            print(f'wrote {path}')
    return 1 if check and stale else 0


if __name__ == '__main__':
    sys.exit(main())
