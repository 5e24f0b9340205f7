#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Times image published to command received, beside the same node written plainly; prints JSON.

One process publishes odometry and 800x600 bgra8 pictures at 20 Hz and hears the commands; another
is policy_node with config/fastdds.xml (``ours``), or plain_node.py: rclpy's defaults, cv_bridge,
Fast DDS's default profile; with ``RMW_IMPLEMENTATION=rmw_cyclonedds_cpp`` Cyclone DDS's instead.
``learning`` is ours with training_node making updates without a pause. The sides take turns, with
new processes for each round: some 20 s for each side and round, told on standard error. ``lost``
are pictures without a command; a round that fails is told, and counted in ``failed``.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT), str(ROOT / 'test' / 'nodes'),
                str(ROOT / 'test')]

import measuring  # noqa: E402
import numpy as np  # noqa: E402

from av_td3_ros.demo.environment import free_domain  # noqa: E402
from av_td3_ros.demo.processes import ChildDied, Children  # noqa: E402
from av_td3_ros.ros.middleware import profiles_for_images  # noqa: E402

EGO = '/carla/ego_vehicle'
POLICY = ROOT / 'models' / 'policy.pth'
SIDES = ('ours', 'plain', 'learning')
TICK = 50_000_000
START = 60.0


def drive(images, width, height, learning):
    """Publish pictures, hear commands, and print the latencies in s; the other process runs."""
    from carla_msgs.msg import CarlaEgoVehicleControl
    from nav_msgs.msg import Odometry, Path as PathMsg
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from std_msgs.msg import UInt64MultiArray

    from av_td3_ros.driving.frames import Pose, VehicleState
    from av_td3_ros.ros import qos, weights
    from av_td3_ros.ros.images import make_image
    from av_td3_ros.ros.messages import make_odometry, make_path, read_stamp

    rclpy.init()
    node, sent, heard, updates = rclpy.create_node('latency'), {}, {}, []

    def on_command(message):
        heard.setdefault(read_stamp(message.header.stamp), time.perf_counter())
    node.create_subscription(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd', on_command,
                             qos.STREAM)
    node.create_subscription(
        UInt64MultiArray, '/av_td3_trainer/progress',
        lambda message: updates.append(weights.decode_progress(message.data).updates),
        qos.PROGRESS)
    image = node.create_publisher(Image, f'{EGO}/rgb_front/image', qos.STREAM)
    odometry = node.create_publisher(Odometry, f'{EGO}/odometry', qos.STREAM)
    route = node.create_publisher(PathMsg, f'{EGO}/waypoints', qos.ROUTE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    route.publish(make_path(np.stack([np.arange(0.0, 4000.0), np.zeros(4000)], axis=1), TICK))
    # A camera that moves never shows the same twice, and one that does is taken for frozen.
    rng, messages = np.random.default_rng(0), []
    for _ in range(4):
        pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        messages.append(make_image(pixels, 'bgra8', TICK, 'ego_vehicle/rgb_front'))
    number, first, due = 0, None, time.monotonic()
    deadline = due + START
    while first is None or number < first + images:
        if first is None and len(heard) >= 20 and (updates or not learning):
            # From here on it counts.
            first, before = number, (updates or [0])[-1]
            begun = time.monotonic()
        if first is None and time.monotonic() > deadline:
            sys.exit('no commands')
        number += 1
        due = max(due + TICK * 1e-9, time.monotonic() - 0.5)
        while (left := due - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        stamp = number * TICK
        odometry.publish(make_odometry(VehicleState(
            stamp, Pose(0.3 * number, 0.4, 0.0, 0.02), (6.0, 0.1), 0.03), 'ego_vehicle'))
        message = messages[number % len(messages)]
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        sent[stamp] = time.perf_counter()
        image.publish(message)
    seconds = time.monotonic() - begun
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    counted = [stamp for stamp in sent if stamp > first * TICK]
    print(json.dumps({
        'latencies': [heard[stamp] - sent[stamp] for stamp in counted if stamp in heard],
        'lost': sum(stamp not in heard for stamp in counted),
        'updates_per_s': ((updates or [0])[-1] - before) / seconds}))
    rclpy.shutdown()


def measure(side, options, replay, domain=None):
    """Return what :func:`drive` printed beside one kind of node, in a ROS domain of its own."""
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                   'ROS_DOMAIN_ID': str(domain or free_domain()),
                   'RMW_IMPLEMENTATION': (os.environ.get('RMW_IMPLEMENTATION')
                                          or 'rmw_fastrtps_cpp'),
                   'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    for name, profile in profiles_for_images({}).items():
        environment.pop(name, None)
        if side != 'plain':
            environment[name] = profile
    python = [sys.executable]
    with tempfile.TemporaryDirectory() as folder, \
            Children({**environment, 'ROS_LOG_DIR': folder}, Path(folder)) as children:
        if side == 'plain':
            children.start('plain', [*python, str(ROOT / 'benchmarks' / 'plain_node.py')])
        else:
            children.start('policy', [
                *python, '-m', 'av_td3_ros.nodes.policy', '--ros-args', '-p',
                f'checkpoint:={POLICY}', '-p', 'expect_guard:=false'])
        command = [*python, __file__, '--role', 'drive', '--images', str(options.images),
                   '--width', str(options.width), '--height', str(options.height)]
        if side == 'learning':
            command.append('--await-updates')
            children.start('training', [
                *python, '-m', 'av_td3_ros.nodes.training', '--ros-args', '--params-file',
                str(ROOT / 'config' / 'training.yaml'), '-p', f'checkpoint_dir:={replay}',
                '-p', f'algorithm.buffer_size:={options.transitions}', '-p', 'save_every:=0.0',
                '-p', 'save_at_end:=false', '-p', 'training.threads:=1'])
        try:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True,
                                  timeout=START + 10.0 + 2.0 * TICK * 1e-9 * options.images)
            children.check()
        except (subprocess.SubprocessError, ChildDied) as error:
            return {'latencies': [], 'lost': 0, 'updates_per_s': 0.0, 'failed': str(error)}
    return json.loads(done.stdout)


def tell(side, number, found):
    """Say on standard error how far the measurement is."""
    text = found.get('failed') or (
        f"{measuring.percentiles(found['latencies']) if found['latencies'] else 'no commands'}, "
        f"{found['lost']} lost")
    print(f'round {number + 1}, {side}: {text}', file=sys.stderr, flush=True)


def parse_arguments(arguments=None):
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--sides', nargs='+', choices=SIDES, default=SIDES)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--images', type=int, default=250, help='in a round')
    parser.add_argument('--width', type=int, default=800)
    parser.add_argument('--height', type=int, default=600)
    parser.add_argument('--transitions', type=int, default=4000, help='that are learned from')
    parser.add_argument('--role', choices=('drive',), help=argparse.SUPPRESS)
    parser.add_argument('--await-updates', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, and print one line of JSON."""
    measuring.stop_when_told()
    options = parse_arguments(arguments)
    if options.role:
        drive(options.images, options.width, options.height, options.await_updates)
        return
    from startup import fill
    found = {side: [] for side in options.sides}
    with tempfile.TemporaryDirectory() as folder:
        replay = Path(folder) / 'checkpoints'
        if 'learning' in found:
            fill(replay, options.transitions, 1)
        for number in range(options.rounds):
            for side in list(found)[::1 if number % 2 else -1]:
                found[side].append(measure(side, options, replay))
                tell(side, number, found[side][-1])
    result = {'machine': measuring.machine(), 'image': f'{options.width}x{options.height} bgra8'}
    for side, rounds in found.items():
        latencies = [value for part in rounds for value in part['latencies']]
        result[side] = {
            **(measuring.percentiles(latencies) if latencies else {}),
            'lost': sum(part['lost'] for part in rounds), 'commands': len(latencies),
            'failed': sum('failed' in part for part in rounds)}
        if side == 'learning':
            result[side]['updates_per_s'] = round(
                sum(part['updates_per_s'] for part in rounds) / len(rounds), 1)
    if all('p50_ms' in result.get(side, {}) for side in ('ours', 'plain')):
        result['share_of_plain'] = {
            name: round(result['ours'][name] / result['plain'][name], 3)
            for name in ('p50_ms', 'p99_ms')}
    measuring.report('latency', result)


if __name__ == '__main__':
    main()
