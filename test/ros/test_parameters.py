# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters from settings: types, ranges, overrides, changes while running."""

import dataclasses
import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap

import pytest
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter

from av_td3_ros.ros.parameters import declare, given
from av_td3_ros.settings import section, setting, SettingsError


@dataclasses.dataclass(frozen=True)
class Part:
    """A nested section."""

    rate: float = setting(0.5, 'a rate, 1/s', ge=0.0, le=1.0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """One of each kind."""

    speed: float = setting(3.0, 'a speed, m/s', ge=0.0, le=10.0, read_only=False)
    count: int = setting(2, 'a count', ge=1)
    on: bool = setting(True, 'a switch')
    mode: str = setting('a', 'a choice', choices=('a', 'b'), read_only=False)
    layers: tuple[int, ...] = setting((256, 256), 'sizes', ge=1)
    none: tuple[float, ...] = setting((), 'nothing by default')
    part: Part = section(Part)


@pytest.fixture
def make(context):
    nodes = []

    def make_node(**overrides):
        node = Node('tester', context=context, start_parameter_services=False,
                    parameter_overrides=[Parameter(name.replace('__', '.'), value=value)
                                         for name, value in overrides.items()])
        nodes.append(node)
        return node
    yield make_node
    for node in nodes:
        node.destroy_node()


def test_what_only_later_distributions_have_is_no_setting_of_ours(make, monkeypatch):
    """Humble's nodes do not declare it, and the guard gives it in any case."""
    node = make(start_type_description_service=False)
    has = node.has_parameter
    monkeypatch.setattr(
        node, 'has_parameter', lambda name: name != 'start_type_description_service' and has(name))
    assert declare(node, Settings) == Settings()


def test_defaults_are_declared_with_types_and_words(make):
    node = make()
    assert declare(node, Settings) == Settings()
    assert node.get_parameter('part.rate').value == 0.5
    assert list(node.get_parameter('layers').value) == [256, 256]
    described = node.describe_parameter('speed')
    assert described.description == 'a speed, m/s' and not described.read_only
    bounds = described.floating_point_range[0]
    assert (bounds.from_value, bounds.to_value) == (0.0, 10.0)
    bounds = node.describe_parameter('count').integer_range[0]
    assert bounds.from_value == 1 and node.describe_parameter('count').read_only
    assert node.describe_parameter('mode').additional_constraints == 'one of: a, b'
    assert node.describe_parameter('layers').additional_constraints == 'each at least 1'
    # rclpy has no typed empty array.
    with pytest.raises(ParameterUninitializedException):
        node.get_parameter('none')


def test_overrides_are_taken(make):
    settings = declare(make(speed=5, count=7, on=False, mode='b', layers=[8], part__rate=0.25),
                       Settings)
    assert settings == Settings(5.0, 7, False, 'b', (8,), (), Part(0.25))
    assert isinstance(settings.speed, float)


@pytest.mark.parametrize('overrides, words', [
    ({'speed': 'fast'}, "tester: speed must be a float, not 'fast'"),
    ({'speed': 11.0}, 'tester: speed is 11.0, but must be between 0 and 10'),
    ({'speed': float('nan')}, 'tester: speed must be finite'),
    ({'count': 2.5}, 'tester: count must be a'),
    ({'count': 0}, 'tester: count is 0, but must be at least 1'),
    ({'on': 1}, 'tester: on must be a bool'),
    ({'mode': 'c'}, "tester: mode is 'c', but must be one of a, b"),
    ({'layers': [0]}, 'tester: layers is 0'),
    ({'sped': 1.0}, "tester: there is no setting 'sped'; did you mean 'speed'?"),
    ({'part__rat': 1.0}, "there is no setting 'part.rat'; did you mean 'part.rate'?"),
])
def test_wrong_overrides_are_refused_in_one_sentence(make, overrides, words):
    with pytest.raises(SettingsError) as error:
        declare(make(**overrides), Settings)
    assert str(error.value).startswith(words) or words in str(error.value)


def test_ros_own_parameters_are_none_of_ours(make):
    assert declare(make(use_sim_time=True), Settings) == Settings()


def test_changes_while_running_are_checked_and_passed_on(make):
    node, seen = make(), []
    declare(node, Settings, seen.append)

    def set_one(name, value):
        return node.set_parameters([Parameter(name, value=value)])[0]

    assert set_one('speed', 4.0).successful and seen[-1] == Settings(speed=4.0)
    assert set_one('mode', 'b').successful and seen[-1] == Settings(speed=4.0, mode='b')
    count = len(seen)
    for name, value in (('speed', 12.0), ('speed', float('nan')), ('mode', 'c'), ('count', 3)):
        result = set_one(name, value)
        assert not result.successful and result.reason
    assert 'one of a, b' in set_one('mode', 'c').reason
    assert len(seen) == count
    both = node.set_parameters_atomically(
        [Parameter('speed', value=1.0), Parameter('mode', value='z')])
    assert not both.successful and node.get_parameter('speed').value == 4.0


PROGRAM = """
    import dataclasses, sys
    from rclpy.node import Node
    from av_td3_ros.ros.parameters import declare
    from av_td3_ros.ros.process import run
    from av_td3_ros.settings import setting

    @dataclasses.dataclass(frozen=True)
    class Settings:
        speed: float = setting(3.0, 'a speed', ge=0.0, le=10.0)

    class Tester(Node):
        def __init__(self):
            super().__init__('tester')
            self.settings = declare(self, Settings)
            self.publisher = None
            if self.settings.speed == 9.0:
                self.create_timer(0.01, lambda: 1 / 0)
            print(f'speed {self.settings.speed}', flush=True)

        def destroy_node(self):
            print('goodbye, context ok:', self.context.ok(), flush=True)
            super().destroy_node()

    sys.exit(run(Tester))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / 'program.py'
    path.write_text(textwrap.dedent(PROGRAM))
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, 'PYTHONPATH': str(root), 'ROS_LOG_DIR': str(tmp_path),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, str(path), '--ros-args', *arguments], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return start


@pytest.mark.parametrize('arguments, words', [
    (('-p', 'speed:=fast'), "tester: speed must be a float, not 'fast'"),
    (('-p', 'sped:=1.0'), "there is no setting 'sped'; did you mean 'speed'?"),
    (('-p', 'use_sim_time:=maybe'), 'use_sim_time'),
    (('--params-file', '/no/such/file.yaml'), '/no/such/file.yaml'),
])
def test_a_process_refuses_to_start_with_one_sentence(program, arguments, words):
    process = program(*arguments)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    ours = [line for line in error.splitlines() if '[rcl]' not in line]
    assert len(ours) == 1 and words in ours[0] and 'Traceback' not in error


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_process_ends_in_order_by_a_signal(program, number, tmp_path):
    file = tmp_path / 'parameters.yaml'
    file.write_text('tester:\n  ros__parameters:\n    speed: 5\n')
    process = program('--params-file', str(file))
    assert process.stdout.readline() == 'speed 5.0\n'
    process.send_signal(number)
    output, error = process.communicate(timeout=10)
    assert output == 'goodbye, context ok: True\n' and error == ''
    assert process.returncode == 0


def test_an_error_in_a_callback_is_an_error(program):
    process = program('-p', 'speed:=9.0')
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1 and 'ZeroDivisionError' in error


def test_what_is_given_is_known_before_there_is_a_node(tmp_path):
    file = tmp_path / 'parameters.yaml'
    file.write_text('/**/learner:\n  ros__parameters: {lockstep: true, deep: {er: 3}}\n')
    other = tmp_path / 'other.yaml'
    other.write_text('someone:\n  ros__parameters: {lockstep: false}\n')
    start, by_file = ['--ros-args'], ['--params-file', str(file)]
    assert given('lockstep', 'learner', start) is None
    assert given('lockstep', 'learner', [*start, '-p', 'lockstep:=true']) is True
    assert given('lockstep', 'learner', [*start, '--param', 'learner:lockstep:=true']) is True
    assert given('lockstep', 'learner', [*start, '-p', 'someone:lockstep:=true']) is None
    assert given('lockstep', 'learner', [*start, *by_file]) is True
    assert given('deep.er', 'learner', [*start, *by_file]) == 3
    # The later over the earlier; what is for others changes nothing.
    assert given('lockstep', 'learner', [*start, *by_file, '-p', 'lockstep:=false']) is False
    assert given('lockstep', 'learner', [*start, *by_file, '--params-file', str(other)]) is True
    # The node itself complains about these.
    assert given('lockstep', 'learner', [*start, '--params-file', '/nowhere.yaml']) is None
    assert given('lockstep', 'learner', [*start, '-p', 'lockstep:=[', '--params-file']) is None
    assert given('lockstep', 'learner', [*start, '-p', 'lockstep:=2024-13-45']) is None
    assert given('lockstep', 'learner', [*start, '-p', '/learner:lockstep:=true']) is True
