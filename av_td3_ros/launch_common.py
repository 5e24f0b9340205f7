# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: their arguments, the nodes of the graph, and checks before the start.

Only this module and ``launch_carla`` need ``launch`` and ``launch_ros``; nothing else imports
them.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from pathlib import Path
import sys
from typing import Any, Callable

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler,
                            SetEnvironmentVariable, Shutdown)
from launch.event_handlers import OnShutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from av_td3_ros import launch_carla
from av_td3_ros.resources import PACKAGE, share_directory
from av_td3_ros.ros.compatibility import keep_on_this_host
from av_td3_ros.ros.middleware import profiles_for_images
from av_td3_ros.settings import read_parameter_file

BOOLEANS = ['true', 'false']
LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']
_ENDING = 'av_td3_ros.ending'
DEFAULT_CHECKPOINT = share_directory() / 'models' / 'policy.pth'


# What a bridge publishes and takes for the whole world, and where it is put for each of several
# worlds: beneath the vehicle's namespace.
_OF_THE_WORLD = {'/clock': 'clock', '/carla/status': 'status', '/carla/control': 'control',
                 '/carla/world_info': 'world_info'}


@dataclasses.dataclass(frozen=True)
class Vehicle:
    """One of the vehicles to start; ``alone`` where there is no other."""

    role: str
    number: int = 0
    alone: bool = True

    @property
    def namespace(self) -> str:
        """Return the namespace of the vehicle's topics and nodes."""
        return f'/carla/{self.role}'

    @property
    def remappings(self) -> list[tuple[str, str]]:
        """Return what keeps the vehicle's world apart from those of others."""
        return [] if self.alone else [
            (name, f'{self.namespace}/world/{short}') for name, short in _OF_THE_WORLD.items()]


def vehicles(context: LaunchContext) -> list[Vehicle]:
    """Return the vehicles that the arguments role_name and vehicles ask for."""
    role, count = value(context, 'role_name'), value(context, 'vehicles')
    if not count.isdigit() or not 1 <= int(count) <= 100:
        raise RuntimeError(f'vehicles:={count} should be a number from 1 to 100.')
    if int(count) == 1:
        return [Vehicle(role)]
    if value(context, 'simulator') == 'carla':
        raise RuntimeError(
            f'vehicles:={count} needs simulator:=embedded, which gives each vehicle a world of '
            'its own; in CARLA start the policy and guard of each further vehicle yourself.')
    return [Vehicle(f'{role}_{number + 1}', number, alone=False) for number in range(int(count))]


def arguments(configuration: str, *, bag: bool = False) -> list[Action]:
    """
    Declare the arguments of every launch file; ``configuration`` is its file in config/.

    With ``bag`` a bag takes the simulator's place, and the arguments of simulators are left out.
    """
    return [
        DeclareLaunchArgument(
            'role_name', default_value='ego_vehicle',
            description='Role name of the vehicle: the topics are under /carla/<role_name>.'),
        DeclareLaunchArgument(
            'simulator', default_value='embedded', choices=['embedded', 'carla'],
            description='Whose topics the bag has, which are the same: the bag takes the '
                        "simulator's place, so that neither is started." if bag else
                        "What drives: 'embedded' starts the simulator that comes with the "
                        "package; 'carla' starts the CARLA ROS bridge, spawner and waypoint "
                        'publisher where they are installed, and else expects them to run.'),
        *([] if bag else [DeclareLaunchArgument(
            'town', default_value='',
            description='OpenDRIVE file, or the name of a town: for the embedded simulator one '
                        'that comes with the package (empty takes that of params_file), for '
                        "CARLA one of its own (empty takes the bridge's).")]),
        DeclareLaunchArgument(
            'params_file', default_value=str(share_directory() / 'config' / configuration),
            description='YAML file with the parameters of all nodes.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='true', choices=BOOLEANS,
            description="Whether the nodes take the simulator's time from /clock."),
        DeclareLaunchArgument(
            'visualize', default_value='false', choices=BOOLEANS,
            description='Whether to start a node beside that draws what the policy sees and does '
                        'while somebody subscribes to its topics.'),
        DeclareLaunchArgument(
            'log_level', default_value='info', choices=LOG_LEVELS,
            description='Lowest severity that the nodes log.'),
        *([] if bag else launch_carla.arguments()),
    ]


def describe(configuration: str, own_arguments: list[Action],
             graph: Callable[[LaunchContext], list[Action]], *, bag: bool = False
             ) -> LaunchDescription:
    """Put a launch description together; ``graph`` returns the nodes once the values are known."""
    declared = [*arguments(configuration, bag=bag), *own_arguments]

    def start(context: LaunchContext) -> list[Action]:
        refuse_unknown(context, [argument.name for argument in declared])
        require_file(context, 'params_file', 'a ROS 2 parameter file')
        return graph(context)
    return LaunchDescription([*declared, *environment(),
                              RegisterEventHandler(OnShutdown(on_shutdown=_note_end)),
                              OpaqueFunction(function=start)])


def refuse_unknown(context: LaunchContext, known: list[str]) -> None:
    """
    Raise RuntimeError for an argument of the command line that no launch argument is.

    ``ros2 launch`` ignores those. Where another launch file includes ours, the command line is
    that file's, and nothing is said.
    """
    ours = Path(str(context.get_locals_as_dict().get('current_launch_file_path', ''))).name
    if not any(Path(argument).name == ours for argument in sys.argv):
        return
    for name in (argument.split(':=')[0] for argument in context.argv if ':=' in argument):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise RuntimeError(
                f'there is no launch argument {name!r}'
                + (f'; did you mean {near[0]!r}?' if near else f'; there are {", ".join(known)}.'))


def value(context: LaunchContext, name: str) -> str:
    """Return the value of a launch argument."""
    return str(LaunchConfiguration(name).perform(context))


def value_or_none(context: LaunchContext, name: str) -> str:
    """Return the value of an argument, empty for 'none': ``ros2 launch`` takes no empty one."""
    given = value(context, name)
    return '' if given == 'none' else given


def require_file(context: LaunchContext, name: str, what: str) -> None:
    """Raise RuntimeError with one sentence unless the argument ``name`` names a file."""
    path = Path(value(context, name)).expanduser()
    if path.is_file():
        return
    folder = path.parent
    if not folder.is_dir():
        there = f'there is no folder {folder}'
    else:
        files = sorted(p.name for p in folder.iterdir() if p.suffix == path.suffix)
        there = f'{folder} holds ' + (', '.join(files[:8]) if files
                                      else f'no {path.suffix or "such"} file')
    raise RuntimeError(f'{name}:={path} should name {what}, but there is no such file; {there}.')


def environment() -> list[Action]:
    """
    Return actions that set what the middleware needs, where the user has not set it.

    Discovery stays on this host; set ``ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET`` for other hosts.
    Fast DDS and Cyclone DDS get room for images.
    """
    settings = {'RCUTILS_COLORIZED_OUTPUT': os.environ.get('RCUTILS_COLORIZED_OUTPUT', '1')}
    if not any(name in os.environ for name in ('ROS_AUTOMATIC_DISCOVERY_RANGE',
                                               'ROS_LOCALHOST_ONLY')):
        keep_on_this_host(settings)
    settings.update(profiles_for_images(os.environ))
    return [SetEnvironmentVariable(name, setting) for name, setting in settings.items()]


def simulator(context: LaunchContext, vehicle: Vehicle | None = None) -> list[Action]:
    """Return what starts the simulator that the arguments ask for; each vehicle has its own."""
    if value(context, 'simulator') == 'carla':
        return carla(context)
    vehicle = vehicle or Vehicle(value(context, 'role_name'))
    parameters: dict[str, Any] = {'role_name': vehicle.role}
    town = value(context, 'town')
    if town.endswith('.xodr') or os.sep in town:
        require_file(context, 'town', 'an OpenDRIVE map')
        parameters['town'] = str(Path(town).expanduser().absolute())
    elif town:
        parameters['town'] = town
    # The source of the clock cannot wait for it.
    parameters['use_sim_time'] = False
    name, namespace = 'carla_ros_bridge', ''
    if not vehicle.alone:
        # A file's section is for the bridge's own name; here it is in a namespace.
        told = read_parameter_file(Path(value(context, 'params_file')).expanduser(), name)
        parameters = {**told, **parameters, 'seed': told.get('seed', 0) + vehicle.number}
        namespace = vehicle.namespace
    return [_node(context, Node, executable='simulator_node', name=name, namespace=namespace,
                  parameters=parameters, remappings=vehicle.remappings, **_lasting(vehicle))]


def carla(context: LaunchContext) -> list[Action]:
    """Return what starts CARLA's bridge, vehicle and route, or notes of what is not installed."""
    role, host, port = (value(context, name) for name in ('role_name', 'carla_host', 'carla_port'))
    if not port.isdigit():
        raise RuntimeError(f'carla_port:={port} should be a number.')
    actions = launch_carla.bridge(role, host, port, value(context, 'town'))
    if value_or_none(context, 'objects_file'):
        require_file(context, 'objects_file', 'a file of objects for carla_spawn_objects')
        objects = Path(value(context, 'objects_file')).expanduser().absolute()
        actions += launch_carla.spawner(objects, role)
    return actions + launch_carla.waypoints(role, host, port)


def policy(context: LaunchContext, vehicle: Vehicle | None = None, **parameters: Any) -> Action:
    """Return the policy node of the vehicle, a managed node that starts itself."""
    vehicle = vehicle or Vehicle(value(context, 'role_name'))
    return _node(context, LifecycleNode, executable='policy_node', name='av_td3_policy',
                 namespace=vehicle.namespace, parameters=parameters,
                 remappings=vehicle.remappings, **_lasting(vehicle))


def guard(context: LaunchContext, vehicle: Vehicle | None = None) -> Action:
    """Return the guard of the vehicle, which comes back if it should ever die."""
    vehicle = vehicle or Vehicle(value(context, 'role_name'))
    return _node(context, Node, executable='guard_node', name='av_td3_guard',
                 namespace=vehicle.namespace, parameters={}, remappings=vehicle.remappings,
                 respawn=True, respawn_delay=0.5)


def visualization(context: LaunchContext, vehicle: Vehicle | None = None) -> list[Action]:
    """Return the vehicle's visualization node, where it is asked for; its end ends nothing."""
    if value(context, 'visualize') != 'true':
        return []
    vehicle = vehicle or Vehicle(value(context, 'role_name'))
    # It goes by the stamps of what it shows: with a clock it would wake up at every tick.
    return [_node(context, Node, executable='visualization_node', name='av_td3_visualization',
                  namespace=vehicle.namespace, parameters={'use_sim_time': False},
                  remappings=vehicle.remappings)]


def _lasting(vehicle: Vehicle) -> dict[str, Any]:
    """Have the only vehicle end the launch with it; of several, one comes back by itself."""
    return {'needed': True} if vehicle.alone else {'respawn': True, 'respawn_delay': 2.0}


def player(context: LaunchContext, **parameters: Any) -> Action:
    """Return the player of a bag, whose end is the launch's."""
    # The source of the clock cannot wait for it.
    return _node(context, Node, executable='player_node', name='av_td3_player', namespace='',
                 parameters={**parameters, 'use_sim_time': False}, needed=True)


def trainer(context: LaunchContext, **parameters: Any) -> Action:
    """Return the training node."""
    return _node(context, Node, executable='training_node', name='av_td3_trainer', namespace='',
                 parameters=parameters, needed=True)


def _note_end(_event: Any, context: LaunchContext) -> None:
    context.launch_configurations[_ENDING] = 'true'


def _end(context: LaunchContext, reason: str) -> list[Action]:
    """End the launch, unless it is ending already: then every node's exit is expected."""
    return [] if _ENDING in context.launch_configurations else [Shutdown(reason=reason)]


def _node(context: LaunchContext, kind: type, *, name: str, namespace: str,
          parameters: dict[str, Any], needed: bool = False, **options: Any) -> Action:
    """Return a node with the parameters of params_file; one that is ``needed`` ends the launch."""
    use_sim_time = value(context, 'use_sim_time') == 'true'
    path = [*filter(None, namespace.split('/')), name]
    if needed:
        options['on_exit'] = [OpaqueFunction(function=_end, args=[f'{name} has ended'])]
    return kind(
        package=PACKAGE, name=name, namespace=namespace, output='screen', emulate_tty=True,
        parameters=[str(Path(value(context, 'params_file')).expanduser()),
                    {'use_sim_time': use_sim_time, **parameters}],
        # The enclave is that of config/sros2/policies.xml, and means nothing without security.
        ros_arguments=['--log-level', f"{'.'.join(path)}:={value(context, 'log_level')}",
                       '--enclave', '/' + '/'.join(path)],
        **options)
