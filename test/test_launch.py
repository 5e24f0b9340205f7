# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The launch files: what they would start, and with the real ``ros2 launch`` where it is installed.

CARLA's packages are stood in for by ones that only tell how they were started.
"""

import importlib.util
import json
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from av_td3_ros.carla_objects import objects_for, ObjectsError

ROOT = Path(__file__).resolve().parents[1]
OBJECTS = ROOT / 'config' / 'objects.json'
FILES = [path.name for path in sorted((ROOT / 'launch').glob('*.launch.py'))]
# Those that start a simulator.
DRIVING = [name for name in FILES if name != 'replay.launch.py']
# What the nodes need of the bridge, by the type and id that make it: contract of the bridge.
NEEDED = {
    'sensor.camera.rgb': 'rgb_front', 'sensor.pseudo.odom': 'odometry',
    'sensor.other.collision': 'collision', 'sensor.other.lane_invasion': 'lane_invasion',
    'sensor.pseudo.speedometer': 'speedometer', 'actor.pseudo.control': 'control'}


def vehicle(path=OBJECTS):
    """Return the one vehicle of a file of objects."""
    objects = json.loads(path.read_text())['objects']
    found, = (item for item in objects if item['type'].startswith('vehicle.'))
    return found


def test_objects_hold_what_the_nodes_need():
    ego = vehicle()
    assert ego['id'] == 'ego_vehicle'
    sensors = {item['type']: item['id'] for item in ego['sensors']}
    assert len(sensors) == len(ego['sensors'])
    assert {kind: sensors.get(kind) for kind in NEEDED} == NEEDED


def test_carlas_camera_is_the_embedded_simulators():
    # Imported here: it is slow, and no other test of these needs it.
    from av_td3_ros.simulation.camera import CameraSettings
    camera, = (item for item in vehicle()['sensors'] if item['id'] == 'rgb_front')
    settings = CameraSettings()
    assert (camera['image_size_x'], camera['image_size_y'], camera['fov']) \
        == (settings.width, settings.height, settings.fov)
    assert camera['spawn_point'] == {
        name: getattr(settings, name) for name in ('x', 'y', 'z', 'roll', 'pitch', 'yaw')}


def test_the_vehicle_gets_the_role_name(tmp_path):
    assert objects_for(OBJECTS, 'ego_vehicle') == OBJECTS
    path = objects_for(OBJECTS, 'hero')
    try:
        assert vehicle(path)['id'] == 'hero'
        assert vehicle(path)['sensors'] == vehicle()['sensors']
    finally:
        path.unlink()
    assert vehicle()['id'] == 'ego_vehicle'


@pytest.mark.parametrize('text, said', [
    ('{', 'cannot be read'),
    ('[]', 'holds no objects'),
    ('{"objects": [{"id": "a"}]}', 'holds no objects'),
    ('{"objects": [{"type": "sensor.camera.rgb", "id": "a"}]}', 'it has none'),
    ('{"objects": [{"type": "vehicle.x", "id": "a"}, {"type": "vehicle.y", "id": "b"}]}',
     "it has 'a', 'b'"),
])
def test_a_wrong_file_of_objects_is_one_sentence(tmp_path, text, said):
    path = tmp_path / 'objects.json'
    path.write_text(text)
    with pytest.raises(ObjectsError, match=said) as error:
        objects_for(path, 'hero')
    assert str(path) in str(error.value) and '\n' not in str(error.value)


# What is launched

@pytest.fixture
def carla_packages(tmp_path, monkeypatch):
    """Install packages that are named like CARLA's and print how they are started."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package, executable in (('carla_ros_bridge', None),
                                ('carla_spawn_objects', 'carla_spawn_objects'),
                                ('carla_waypoint_publisher', 'carla_waypoint_publisher')):
        (index / package).touch()
        (tmp_path / 'share' / package).mkdir()
        if executable:
            path = tmp_path / 'lib' / package / executable
            path.parent.mkdir(parents=True)
            path.write_text('#!/bin/sh\nshift $(($# - 1))\n'
                            'echo "STARTED $(basename $0)" $(tr "\\n" " " < "$1")\n'
                            'exec sleep 600\n')
            path.chmod(0o755)
    (tmp_path / 'share' / 'carla_ros_bridge' / 'carla_ros_bridge.launch.py').write_text(
        'from launch import LaunchDescription\n'
        'from launch.actions import OpaqueFunction\n'
        'def tell(context):\n'
        '    print("STARTED bridge", dict(context.launch_configurations), flush=True)\n'
        'def generate_launch_description():\n'
        '    return LaunchDescription([OpaqueFunction(function=tell)])\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', os.pathsep.join(
        [str(tmp_path), os.environ.get('AMENT_PREFIX_PATH', '')]))
    # Copies of the objects with another role name go where pytest tidies up.
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    return tmp_path


def graph(name, **given):
    """Return the actions that a launch file makes of its arguments."""
    pytest.importorskip('launch_ros')
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction
    spec = importlib.util.spec_from_file_location('described', ROOT / 'launch' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    context = LaunchContext()
    context.launch_configurations.update(given)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
    start, = (e for e in description.entities if isinstance(e, OpaqueFunction))
    return context, start.execute(context)


def names(actions):
    """Return package and executable of the nodes, and the class of what is no node."""
    return [f'{a.node_package}/{a.node_executable}' if hasattr(a, 'node_executable')
            else type(a).__name__ for a in actions]


@pytest.mark.parametrize('name', FILES)
def test_every_argument_is_described(name):
    pytest.importorskip('launch_ros')
    from launch.actions import DeclareLaunchArgument
    spec = importlib.util.spec_from_file_location('described', ROOT / 'launch' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = [e for e in module.generate_launch_description().entities
                 if isinstance(e, DeclareLaunchArgument)]
    assert {'role_name', 'simulator', 'params_file', 'use_sim_time', 'log_level'} \
        <= {a.name for a in arguments}
    # Where there are choices, launch adds them.
    assert all(a.description.split(' Valid choices')[0].endswith('.') for a in arguments)
    assert all(a.choices for a in arguments if a.name in ('simulator', 'log_level', 'resume'))


@pytest.mark.parametrize('name', DRIVING)
def test_with_carla_installed_its_packages_are_started(name, carla_packages):
    started = names(graph(name, simulator='carla', role_name='hero', town='Town03')[1])
    assert [one for one in started if not one.startswith('av_td3_ros/')] == [
        'IncludeLaunchDescription', 'carla_spawn_objects/carla_spawn_objects',
        'carla_waypoint_publisher/carla_waypoint_publisher']
    assert 'av_td3_ros/simulator_node' not in started
    assert {'av_td3_ros/policy_node', 'av_td3_ros/guard_node'} <= set(started)


@pytest.mark.parametrize('name', DRIVING)
def test_without_carla_notes_say_what_is_expected(name):
    started = names(graph(name, simulator='carla')[1])
    assert started.count('LogInfo') == 3
    assert 'av_td3_ros/simulator_node' not in started


@pytest.mark.parametrize('objects', ['', 'none'])
def test_nothing_is_spawned_without_objects(carla_packages, objects):
    started = names(graph(FILES[0], simulator='carla', objects_file=objects)[1])
    assert 'carla_spawn_objects/carla_spawn_objects' not in started


@pytest.mark.parametrize('given, said', [
    ({'objects_file': '/nowhere/objects.json'}, 'there is no folder /nowhere'),
    ({'carla_port': 'high'}, 'carla_port:=high should be a number'),
])
def test_wrong_arguments_are_one_sentence(given, said):
    pytest.importorskip('launch_ros')
    with pytest.raises(RuntimeError, match=said):
        graph(FILES[0], simulator='carla', **given)


def full_names(context, actions):
    """Return the full names of the nodes, and for each its remappings."""
    found = {}
    for action in actions:
        action._perform_substitutions(context)
        found[action.node_name] = dict(action.expanded_remapping_rules or [])
    return found


def test_several_vehicles_have_worlds_of_their_own_and_one_trainer():
    context, actions = graph('training.launch.py', vehicles='3', role_name='car')
    started = full_names(context, actions)
    assert set(started) == {'/av_td3_trainer'} | {
        f'/carla/car_{number}/{name}' for number in (1, 2, 3)
        for name in ('carla_ros_bridge', 'av_td3_policy', 'av_td3_guard')}
    for name, rules in started.items():
        if name != '/av_td3_trainer':
            own = name.rsplit('/', 1)[0]
            assert rules == {
                '/clock': f'{own}/world/clock', '/carla/status': f'{own}/world/status',
                '/carla/control': f'{own}/world/control',
                '/carla/world_info': f'{own}/world/world_info'}


@pytest.mark.parametrize('name', ['driving.launch.py', 'training.launch.py'])
def test_what_is_watched_is_drawn_by_a_node_beside(name):
    context, actions = graph(name, visualize='true')
    started = full_names(context, actions)
    assert '/carla/ego_vehicle/av_td3_visualization' in started


@pytest.mark.parametrize('count, told', [('1', True), ('2', False)])
def test_the_learner_of_several_worlds_follows_no_clock(count, told):
    context, actions = graph('training.launch.py', vehicles=count)
    trainer, = (a for a in actions if a.node_executable == 'training_node')
    trainer._perform_substitutions(context)
    given = [yaml.safe_load(Path(path).read_text())
             for path, is_file in trainer._Node__expanded_parameter_arguments if is_file]
    assert given[-1]['/av_td3_trainer']['ros__parameters']['use_sim_time'] is told


def test_one_vehicle_has_the_bridges_own_names():
    context, actions = graph('training.launch.py')
    started = full_names(context, actions)
    assert set(started) == {'/av_td3_trainer', '/carla_ros_bridge',
                            '/carla/ego_vehicle/av_td3_policy', '/carla/ego_vehicle/av_td3_guard'}
    assert not any(started.values())


@pytest.mark.parametrize('count', ['1', '2'])
def test_each_node_is_in_the_enclave_of_its_name(count):
    context, actions = graph('training.launch.py', vehicles=count, visualize='true')
    full_names(context, actions)
    given = {}
    for action in actions:
        words = [''.join(getattr(part, 'text', '') for part in word) for word in action.cmd]
        given[action.node_name] = words[words.index('--enclave') + 1]
    assert given == {name: name for name in given}
    if count == '1':
        policies = ElementTree.parse(ROOT / 'config' / 'sros2' / 'policies.xml')
        assert set(given) == {enclave.get('path') for enclave in policies.iter('enclave')}


@pytest.mark.parametrize('given, said', [
    ({'vehicles': '0'}, 'from 1 to 100'), ({'vehicles': 'two'}, 'from 1 to 100'),
    ({'vehicles': '2', 'simulator': 'carla'}, 'simulator:=embedded')])
def test_vehicles_that_cannot_be_are_one_sentence(given, said):
    pytest.importorskip('launch_ros')
    with pytest.raises(RuntimeError, match=said):
        graph('training.launch.py', **given)


@pytest.mark.parametrize('simulator', ['embedded', 'carla'])
def test_a_bag_takes_the_simulators_place(tmp_path, carla_packages, simulator):
    context, actions = graph('replay.launch.py', bag=str(tmp_path), simulator=simulator,
                             role_name='hero', out=str(tmp_path / 'report'), rate='0.5')
    assert names(actions) == ['av_td3_ros/policy_node', 'av_td3_ros/player_node']
    assert set(full_names(context, actions)) == {'/carla/hero/av_td3_policy', '/av_td3_player'}
    policy, player = (parameters(action) for action in actions)
    assert policy['shadow'] is True and policy['training'] is False
    assert policy['use_sim_time'] is True and player['use_sim_time'] is False
    assert player['bag'] == str(tmp_path) and player['out'] == str(tmp_path / 'report')
    assert (player['rate'], player['role_name']) == (0.5, 'hero')
    assert player['wait_for_commands'] is True and player['start_paused'] is False
    assert player['checkpoint'] == policy['checkpoint'] == str(ROOT / 'models' / 'policy.pth')


def test_a_replay_without_a_report(tmp_path):
    _, (_, player) = graph('replay.launch.py', bag=str(tmp_path), out='none')
    assert parameters(player)['out'] == ''


def parameters(action):
    """Return the parameters that a node is given beside its file."""
    given = next(one for one in action._Node__parameters if isinstance(one, dict))
    # Texts are kept as YAML.
    return {''.join(part.text for part in name): (
        yaml.safe_load(''.join(part.text for part in value)) if isinstance(value, tuple)
        else value) for name, value in given.items()}


@pytest.mark.parametrize('given, said', [
    ({}, 'bag:= should name'), ({'bag': '/nowhere/bag'}, 'bag:=/nowhere/bag should name'),
    ({'bag': '/', 'rate': 'fast'}, 'rate:=fast should be a number'),
    ({'bag': '/', 'out': str(ROOT)}, 'is there already; give another, or force:=true'),
    ({'bag': '/', 'checkpoint': '/nowhere/policy.pth'}, 'there is no folder /nowhere')])
def test_a_replay_that_cannot_be_is_one_sentence(given, said):
    pytest.importorskip('launch_ros')
    with pytest.raises(RuntimeError, match=said):
        graph('replay.launch.py', **given)


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_the_real_command_starts_carlas_packages(carla_packages, tmp_path, ros_domain):
    if not shutil.which('ros2') or not importlib.util.find_spec('ros2launch'):
        pytest.skip('needs the ros2 launch command')
    log = tmp_path / 'log.txt'
    with log.open('w') as output:
        process = subprocess.Popen(
            ['ros2', 'launch', str(ROOT / 'launch' / 'driving.launch.py'), 'simulator:=carla',
             'role_name:=hero', 'town:=Town03', 'carla_port:=2010'],
            stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, 'ROS_LOG_DIR': str(tmp_path)})
        try:
            for _ in range(600):
                if log.read_text().count('STARTED') >= 3:
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            process.send_signal(2)
            try:
                process.wait(60)
            finally:
                process.kill()
    lines = [line for line in log.read_text().splitlines() if 'STARTED' in line]
    bridge, = (line for line in lines if 'STARTED bridge' in line)
    for part in ('["hero"]', "'town': 'Town03'", "'port': '2010'",
                 "'synchronous_mode_wait_for_vehicle_control_command': 'True'"):
        assert part in bridge
    route, = (line for line in lines if 'carla_waypoint_publisher /**' in line)
    assert 'role_name: hero' in route and 'port: 2010' in route
    spawner, = (line for line in lines if 'carla_spawn_objects /**' in line)
    copy = Path(spawner.split('objects_definition_file: ')[1].split()[0])
    assert vehicle(copy)['id'] == 'hero'
    copy.unlink()
