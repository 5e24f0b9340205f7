# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train: simulator, policy with exploration, learner and guard."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument

from av_td3_ros import launch_common as common


def generate_launch_description():
    """Return the training graph."""
    return common.describe('training.yaml', [
        DeclareLaunchArgument(
            'checkpoint_dir', default_value='checkpoints',
            description='Folder that the training is saved to and resumed from; it is made where '
                        'it is missing.'),
        DeclareLaunchArgument(
            'resume', default_value='true', choices=common.BOOLEANS,
            description='Whether to go on from the newest checkpoint in checkpoint_dir, where '
                        'there is one.'),
        DeclareLaunchArgument(
            'vehicles', default_value='1',
            description='Number of vehicles that learn together, each in an embedded simulator '
                        'of its own; several are called <role_name>_1, <role_name>_2 and so on.'),
    ], graph)


def graph(context):
    """Return the nodes."""
    folder = Path(common.value(context, 'checkpoint_dir')).expanduser().absolute()
    vehicles = common.vehicles(context)
    # Several worlds have no clock in common; the learner needs none.
    clock = {} if len(vehicles) == 1 else {'use_sim_time': False}
    nodes = [common.trainer(context, checkpoint_dir=str(folder),
                            resume=common.value(context, 'resume') == 'true', **clock)]
    for vehicle in vehicles:
        nodes += [*common.simulator(context, vehicle),
                  common.policy(context, vehicle, training=True),
                  common.guard(context, vehicle),
                  *common.visualization(context, vehicle)]
    return nodes
