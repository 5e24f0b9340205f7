# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command check_setup over DDS: a sound graph passes, and planted faults are all named."""

import json
import subprocess
import sys

from carla_msgs.msg import CarlaControl, CarlaEgoVehicleControl, CarlaStatus
from geometry_msgs.msg import PoseStamped
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, UInt8MultiArray
from support import ROOT

from av_td3_ros.nodes.check_setup import main
from av_td3_ros.ros import qos

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]
EGO = '/carla/ego_vehicle'
SMALL = {'camera.width': 96, 'camera.height': 72}


def check(ros, *arguments):
    """Run the command beside the graph, and return its status and the lines or the object."""
    with subprocess.Popen(
            [sys.executable, '-m', 'av_td3_ros.nodes.check_setup', '--seconds', '3', *arguments],
            env={**ros.environment, 'PYTHONPATH': str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            # The test's own node goes on: it is a part of the graph.
            ros.wait_for(lambda: process.poll() is not None, 'the end of check_setup', 200.0)
        finally:
            process.kill()
        output, errors = process.communicate()
    assert not errors, errors
    if '--json' in arguments:
        return process.returncode, json.loads(output)['findings']
    return process.returncode, output.splitlines()


def driver(ros):
    """Answer every picture with a command of its stamp, as a policy does."""
    command = ros.node.create_publisher(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd', 10)

    def answer(image):
        message = CarlaEgoVehicleControl(throttle=0.2)
        message.header.stamp = image.header.stamp
        command.publish(message)
    ros.node.create_subscription(Image, f'{EGO}/rgb_front/image', answer, qos.STREAM)


def test_a_sound_graph_passes(ros):
    ros.start('simulator', {'synchronous_mode_wait_for_vehicle_control_command': True, **SMALL})
    driver(ros)
    images = ros.subscribe(Image, f'{EGO}/rgb_front/image')
    ros.wait_for(lambda: len(images) > 3, 'pictures', 100.0)
    status, findings = check(ros, '--json')
    assert (status, {f['level'] for f in findings}) == (0, {'ok'}), findings
    mode, = (f['text'] for f in findings if f['subject'] == 'mode')
    assert 'waits for a command each tick' in mode
    # Another vehicle's name: the one that is there is named.
    status, lines = check(ros, '--role-name', 'hero')
    assert status == 1 and "no vehicle 'hero'" in lines[0] and 'ego_vehicle' in lines[0]


def test_every_planted_fault_is_named(ros):
    ros.start('simulator', {'synchronous_mode': False, 'fixed_delta_seconds': 0.1,
                            'camera.width': 96, 'camera.height': 96})
    ros.publisher(CarlaControl, '/carla/control', timeout=100.0)
    make = ros.node.create_publisher
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    kept = [
        make(CarlaStatus, '/carla/status', 10),
        make(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd', 10),
        make(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd', best_effort),
        make(Bool, f'{EGO}/vehicle_control_manual_override', 10),
        make(CompressedImage, f'{EGO}/lane_invasion', 10),
        make(UInt8MultiArray, '/av_td3_trainer/weights', qos.WEIGHTS),
        make(UInt8MultiArray, '/av_td3_trainer/weights', qos.WEIGHTS),
        make(PoseStamped, f'{EGO}/goal', best_effort),
    ]
    status, lines = check(ros)
    assert status == 1
    text = '\n'.join(lines)
    for said in (
            '2 nodes publish /carla/status', 'not synchronous', 'a tick is 0.1 s',
            'pictures are 96x96', '2 nodes send commands', 'sent no command',
            f'{EGO}/vehicle_control_cmd: /test publishes best effort',
            f'{EGO}/goal: /test publishes best effort',
            f'{EGO}/vehicle_control_manual_override: /test publishes volatile',
            'CompressedImage', '2 training nodes'):
        assert said in text, f'{said} is not in\n{text}'
    assert all(' -> ' in line for line in lines if line.startswith(('ERROR', 'WARNING')))
    assert len(kept) == 8


def test_without_a_bridge_it_says_so_within_seconds(ros):
    status, lines = check(ros, '--discovery', '1')
    assert status == 1
    assert 'no CARLA bridge' in lines[0] and 'ROS_DOMAIN_ID' in lines[0]


@pytest.mark.parametrize('arguments', [['--seconds', '0'], ['--seconds', 'x'], ['--camera']])
def test_wrong_arguments_end_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and 'usage' in capsys.readouterr().err
