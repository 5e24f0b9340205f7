# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: their arguments, the nodes of the graph, and checks before the start.

Only this module and ``launch_carla`` need ``launch`` and ``launch_ros``; nothing else imports
them.
"""

from __future__ import annotations

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

BOOLEANS = ['true', 'false']
LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']
_ENDING = 'av_td3_ros.ending'
DEFAULT_CHECKPOINT = share_directory() / 'models' / 'policy.pth'


def arguments(configuration: str) -> list[Action]:
    """Declare the arguments of every launch file; ``configuration`` is its file in config/."""
    return [
        DeclareLaunchArgument(
            'role_name', default_value='ego_vehicle',
            description='Role name of the vehicle: the topics are under /carla/<role_name>.'),
        DeclareLaunchArgument(
            'simulator', default_value='embedded', choices=['embedded', 'carla'],
            description="What drives: 'embedded' starts the simulator that comes with the "
                        "package; 'carla' starts the CARLA ROS bridge, spawner and waypoint "
                        'publisher where they are installed, and else expects them to run.'),
        DeclareLaunchArgument(
            'town', default_value='',
            description='OpenDRIVE file, or the name of a town: for the embedded simulator one '
                        'that comes with the package (empty takes that of params_file), for '
                        "CARLA one of its own (empty takes the bridge's)."),
        DeclareLaunchArgument(
            'params_file', default_value=str(share_directory() / 'config' / configuration),
            description='YAML file with the parameters of all nodes.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='true', choices=BOOLEANS,
            description="Whether the nodes take the simulator's time from /clock."),
        DeclareLaunchArgument(
            'log_level', default_value='info', choices=LOG_LEVELS,
            description='Lowest severity that the nodes log.'),
        *launch_carla.arguments(),
    ]


def describe(configuration: str, own_arguments: list[Action],
             graph: Callable[[LaunchContext], list[Action]]) -> LaunchDescription:
    """Put a launch description together; ``graph`` returns the nodes once the values are known."""
    declared = [*arguments(configuration), *own_arguments]

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
    Fast DDS gets shared memory with room for images.
    """
    settings = {'RCUTILS_COLORIZED_OUTPUT': os.environ.get('RCUTILS_COLORIZED_OUTPUT', '1')}
    if not any(name in os.environ for name in ('ROS_AUTOMATIC_DISCOVERY_RANGE',
                                               'ROS_LOCALHOST_ONLY')):
        settings['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    profiles = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    if not any(name in os.environ for name in profiles):
        # The second name is Fast DDS 3's (from Kilted on), the first the older ones'.
        settings.update(dict.fromkeys(profiles, str(share_directory() / 'config/fastdds.xml')))
    return [SetEnvironmentVariable(name, setting) for name, setting in settings.items()]


def simulator(context: LaunchContext) -> list[Action]:
    """Return what starts the simulator that the arguments ask for."""
    if value(context, 'simulator') == 'carla':
        return carla(context)
    parameters: dict[str, Any] = {'role_name': value(context, 'role_name')}
    town = value(context, 'town')
    if town.endswith('.xodr') or os.sep in town:
        require_file(context, 'town', 'an OpenDRIVE map')
        parameters['town'] = str(Path(town).expanduser().absolute())
    elif town:
        parameters['town'] = town
    # The source of the clock cannot wait for it.
    parameters['use_sim_time'] = False
    return [_node(context, Node, executable='simulator_node', name='carla_ros_bridge',
                  namespace='', parameters=parameters, needed=True)]


def carla(context: LaunchContext) -> list[Action]:
    """Return what starts CARLA's bridge, vehicle and route, or notes of what is not installed."""
    role, host, port = (value(context, name) for name in ('role_name', 'carla_host', 'carla_port'))
    if not port.isdigit():
        raise RuntimeError(f'carla_port:={port} should be a number.')
    actions = launch_carla.bridge(role, host, port, value(context, 'town'))
    if value(context, 'objects_file'):
        require_file(context, 'objects_file', 'a file of objects for carla_spawn_objects')
        objects = Path(value(context, 'objects_file')).expanduser().absolute()
        actions += launch_carla.spawner(objects, role)
    return actions + launch_carla.waypoints(role, host, port)


def policy(context: LaunchContext, **parameters: Any) -> Action:
    """Return the policy node of the vehicle, a managed node that starts itself."""
    return _node(context, LifecycleNode, executable='policy_node', name='av_td3_policy',
                 namespace=f"/carla/{value(context, 'role_name')}", parameters=parameters,
                 needed=True)


def guard(context: LaunchContext) -> Action:
    """Return the guard of the vehicle, which comes back if it should ever die."""
    return _node(context, Node, executable='guard_node', name='av_td3_guard',
                 namespace=f"/carla/{value(context, 'role_name')}", parameters={},
                 respawn=True, respawn_delay=0.5)


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
    logger = '.'.join([*filter(None, namespace.split('/')), name])
    if needed:
        options['on_exit'] = [OpaqueFunction(function=_end, args=[f'{name} has ended'])]
    return kind(
        package=PACKAGE, name=name, namespace=namespace, output='screen', emulate_tty=True,
        parameters=[str(Path(value(context, 'params_file')).expanduser()),
                    {'use_sim_time': use_sim_time, **parameters}],
        ros_arguments=['--log-level', f"{logger}:={value(context, 'log_level')}"],
        **options)
