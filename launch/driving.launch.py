# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drive: simulator, policy from a checkpoint, guard; with learn:=true a training node too."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument

from av_td3_ros import launch_common as common


def generate_launch_description():
    """Return the driving graph."""
    return common.describe('driving.yaml', [
        DeclareLaunchArgument(
            'checkpoint', default_value=str(common.DEFAULT_CHECKPOINT),
            description='Checkpoint to drive with.'),
        DeclareLaunchArgument(
            'learn', default_value='false', choices=common.BOOLEANS,
            description='Whether to start a training node with that checkpoint beside, for the '
                        'services save_checkpoint and load_checkpoint; while driving a route that '
                        'is given, nothing is sent to it that it could learn from.'),
    ], graph)


def graph(context):
    """Return the nodes."""
    common.require_file(context, 'checkpoint', 'a checkpoint')
    checkpoint = Path(common.value(context, 'checkpoint')).expanduser().absolute()
    nodes = [
        *common.simulator(context),
        common.policy(context, training=False, checkpoint=str(checkpoint)),
        common.guard(context),
        *common.visualization(context),
    ]
    if common.value(context, 'learn') == 'true':
        nodes.append(common.trainer(context, checkpoint=str(checkpoint), resume=False))
    return nodes
