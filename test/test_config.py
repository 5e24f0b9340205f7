# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter files hold what the code declares, and ROS and our own reader take them alike."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from av_td3_ros.settings import (as_dict, build, declarations, flatten, read_parameter_file)

ROOT = Path(__file__).resolve().parents[1]


def load_generator(name='generate_config'):
    """Import the script, which is no module of the package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / 'scripts' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()
CASES = [(name, node) for name, file in generator.FILES.items() for node in file['nodes']]


@pytest.mark.parametrize('name', generator.FILES)
def test_the_file_is_what_the_declarations_say(name):
    path = ROOT / 'config' / name
    assert path.read_text(encoding='utf-8') == generator.content(name), \
        f'{path} is stale: run scripts/generate_config.py'


def test_the_page_of_parameters_is_what_the_declarations_say():
    pages = load_generator('generate_parameters')
    text = pages.content()
    assert pages.PAGE.read_text(encoding='utf-8') == text, \
        f'{pages.PAGE} is stale: run scripts/generate_parameters.py'
    for node, (_, settings, shown) in generator.NODES.items():
        section = text.split(f"\n## {node.rsplit('/', 1)[-1]}\n")[1].split('\n## ')[0]
        for declaration in declarations(settings):
            if not shown or declaration.name.split('.')[0] in shown:
                assert f'| `{declaration.name}`' in section


@pytest.mark.parametrize('name', generator.FILES)
def test_lines_are_short(name):
    assert max(map(len, generator.content(name).splitlines())) <= 99


@pytest.mark.parametrize('name, node', CASES)
def test_every_default_is_there_and_taken(name, node):
    _, settings, shown = generator.NODES[node]
    read = read_parameter_file(ROOT / 'config' / name, node.rsplit('/', 1)[-1])
    declared = {d.name for d in declarations(settings)
                if not shown or d.name.split('.')[0] in shown}
    assert set(read) == declared
    expected = {**flatten(as_dict(settings())), **generator.FILES[name]['values'].get(node, {})}
    assert flatten(as_dict(build(settings, read))) == expected


@pytest.mark.parametrize('name', generator.FILES)
def test_numbers_keep_their_type_in_yaml(name):
    for node, content in yaml.safe_load(generator.content(name)).items():
        settings = generator.NODES[node][1]
        types = {d.name: d for d in declarations(settings)}
        for key, value in flatten(content['ros__parameters']).items():
            values = value if types[key].is_list else [value]
            assert all(type(v) is types[key].type for v in values), f'{node} {key}: {value!r}'


def test_policy_and_training_of_each_file():
    for name, training in (('training.yaml', True), ('driving.yaml', False)):
        read = read_parameter_file(ROOT / 'config' / name, 'av_td3_policy')
        assert read['training'] is training


def test_a_run_without_ros_reads_the_training_file():
    from av_td3_ros.training.configuration import read_run_settings, RunSettings
    nodes = generator.FILES['training.yaml']['values']
    known = {declaration.name for declaration in declarations(RunSettings)}
    chosen = {name: value for node in (generator.POLICY, generator.TRAINER)
              for name, value in nodes[node].items() if name in known}
    assert chosen
    assert read_run_settings(ROOT / 'config' / 'training.yaml', {}) == build(RunSettings, chosen)


@pytest.mark.parametrize('value, text', [
    (1e-4, '0.0001'), (1e-7, '1.0e-07'), (2.5e30, '2.5e+30'), (5.0, '5.0'), (True, 'true'),
    ('', "''"), ('yes', "'yes'"), ('1', "'1'"), ((256, 256), '[256, 256]'), (3, '3')])
def test_values_as_yaml(value, text):
    assert generator.as_yaml(value) == text
    read = yaml.safe_load(text)
    read = tuple(read) if isinstance(read, list) else read
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize('name, node', CASES)
def test_rclpy_gives_each_node_its_parameters(name, node, ros_domain):
    rclpy = pytest.importorskip('rclpy')
    from rclpy.context import Context
    from rclpy.node import Node
    path = ROOT / 'config' / name
    basename = node.rsplit('/', 1)[-1]
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain,
               args=['--ros-args', '--params-file', str(path)])
    try:
        made = Node(basename, namespace='/carla/some_role' if node.startswith('/**') else '/',
                    context=context, automatically_declare_parameters_from_overrides=True,
                    start_parameter_services=False)
        for key, value in read_parameter_file(path, basename).items():
            got = made.get_parameter(key).value
            assert (list(got) if isinstance(value, list) else got) == value
        made.destroy_node()
    finally:
        rclpy.shutdown(context=context)
