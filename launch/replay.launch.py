# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Replay: play a bag to a policy in shadow mode, and judge what it would have commanded."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument

from av_td3_ros import launch_common as common


def generate_launch_description():
    """Return the replaying graph."""
    return common.describe('replay.yaml', [
        DeclareLaunchArgument(
            'bag', default_value='',
            description='Folder of the bag to play, or one file of it (rosbag2, sqlite3 or '
                        'mcap).'),
        DeclareLaunchArgument(
            'checkpoint', default_value=str(common.DEFAULT_CHECKPOINT),
            description='Checkpoint to judge; its commands go to '
                        '/carla/<role_name>/shadow/vehicle_control_cmd, never to a vehicle.'),
        DeclareLaunchArgument(
            'out', default_value='replay_report',
            description="Folder of the new report, as evaluate_bag writes it; 'none' for none."),
        DeclareLaunchArgument(
            'force', default_value='false', choices=common.BOOLEANS,
            description='Whether to replace an earlier report.'),
        DeclareLaunchArgument(
            'rate', default_value='1.0',
            description='Speed over that of the recording; 0 is as fast as the policy answers. '
                        'The parameter rate of av_td3_player changes it meanwhile.'),
        DeclareLaunchArgument(
            'start_paused', default_value='false', choices=common.BOOLEANS,
            description='Whether to wait until the service /av_td3_player/pause is called with '
                        'false.'),
        DeclareLaunchArgument(
            'wait_for_commands', default_value='true', choices=common.BOOLEANS,
            description='Whether each picture waits for the command to the one before, so that '
                        'the result does not depend on how fast the machine is.'),
    ], graph, bag=True)


def graph(context):
    """Return the nodes."""
    common.require_file(context, 'checkpoint', 'a checkpoint')
    checkpoint = str(Path(common.value(context, 'checkpoint')).expanduser().absolute())
    given = common.value(context, 'bag')
    bag = Path(given).expanduser().absolute()
    if not given or not bag.exists():
        raise RuntimeError(f'bag:={given} should name the folder or a file of a bag.')
    try:
        rate = float(common.value(context, 'rate'))
    except ValueError:
        raise RuntimeError(f'rate:={common.value(context, "rate")} should be a number.') from None
    out = common.value_or_none(context, 'out')
    folder = Path(out).expanduser()
    if out and common.value(context, 'force') == 'false' and folder.is_dir() \
            and any(folder.iterdir()):
        raise RuntimeError(f'out:={out} is there already; give another, or force:=true.')
    return [
        common.policy(context, training=False, shadow=True, checkpoint=checkpoint),
        common.player(
            context, bag=str(bag), checkpoint=checkpoint, rate=rate,
            role_name=common.value(context, 'role_name'),
            out=str(folder.absolute()) if out else '',
            **{name: common.value(context, name) == 'true'
               for name in ('force', 'start_paused', 'wait_for_commands')}),
        *common.visualization(context),
    ]
