#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Times the nodes' starts, and weighs them; prints one JSON line.

``policy_s``: from the start of policy_node's process to its first command, beside a simulator that
runs. ``training_s``: from the start of training_node's process to its first update, with
``--transitions`` in its replay memory on disk and a checkpoint to resume. In turn with them,
``python_s``: what a Python takes that imports numpy, torch and rclpy alone. Memory is that of
policy_node after ``--drive`` s of driving and of guard_node beside it: resident (``VmRSS``), and
with what is shared with other processes counted in parts (``Pss``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT), str(ROOT / 'test' / 'nodes'),
                str(ROOT / 'test')]

from carla_msgs.msg import CarlaEgoVehicleControl  # noqa: E402
import measuring  # noqa: E402
import numpy as np  # noqa: E402
from std_msgs.msg import UInt64MultiArray  # noqa: E402
from support import make_graph  # noqa: E402

from av_td3_ros.learning.checkpoint_folder import CheckpointFolder  # noqa: E402
from av_td3_ros.learning.learner import Learner, LearnerSettings  # noqa: E402
from av_td3_ros.resources import shipped  # noqa: E402
from av_td3_ros.ros import qos, weights  # noqa: E402
from av_td3_ros.training.configuration import (  # noqa: E402
    full_config, OTHER_SECTIONS, read_run_settings)

EGO = '/carla/ego_vehicle'
POLICY = ROOT / 'models' / 'policy.pth'
START = 60.0
EPISODE = 500
IMPORTS = 'import numpy, torch, rclpy'


@contextlib.contextmanager
def graph():
    """Give a graph of nodes in a ROS domain of their own, whose logs are not shown."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_graph(Path(folder))
        try:
            yield next(made)
        finally:
            with contextlib.redirect_stdout(io.StringIO()):
                next(made, None)


def python_alone():
    """Return what a Python takes that imports what every node needs, s."""
    return measuring.seconds(lambda: subprocess.run([sys.executable, '-c', IMPORTS], check=True))


def memory(pid):
    """Return the resident memory of a process, MB: all of it, and its share."""
    found = {}
    for name in ('status', 'smaps_rollup'):
        for line in Path(f'/proc/{pid}/{name}').read_text(encoding='utf-8').splitlines():
            key, _, value = line.partition(':')
            if key in ('VmRSS', 'Pss'):
                found[f'{key.lower()}_mb'] = round(int(value.split()[0]) / 1024, 1)
    return found


def policy(ros, drive):
    """Return what policy_node takes to its first command, s, and both nodes' memory."""
    commands = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd')
    guard = ros.start('guard')
    begun = time.monotonic()
    node = ros.start('policy', {'checkpoint': POLICY})
    ros.next_of(commands, 'a command', START)
    took = time.monotonic() - begun
    ros.spin(drive)
    weighed = {'policy_node': memory(node.pid), 'guard_node': memory(guard.pid)}
    for process in (node, guard):
        process.stop()
    ros.processes[-2:] = []
    return took, weighed


def fill(folder, transitions, threads):
    """Make a checkpoint folder with a replay memory; learning is due at once when resumed."""
    settings = read_run_settings(shipped('config', 'training.yaml'), {
        'training.threads': threads, 'algorithm.buffer_size': transitions})
    learner = Learner(LearnerSettings(settings.algorithm, settings.networks, settings.training),
                      full_config(settings), other_sections=OTHER_SECTIONS,
                      replay_directory=folder / 'replay')
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (64, 84, 84), dtype=np.uint8)
    vector, action = np.zeros(23, np.float32), np.zeros(2, np.float32)
    step = 0
    while learner.transitions < transitions:
        if step % EPISODE == 0:
            learner.begin(0, frames[step % 64], vector)
        else:
            learner.add(0, action, 1.0, False, step % EPISODE == EPISODE - 1, frames[step % 64],
                        vector)
        step += 1
    learner.owe(1000)
    learner.replay.commit()
    CheckpointFolder(folder).save(learner.agent, **learner.parts({}))
    learner.close()


def training(ros, folder, transitions, threads):
    """Return what training_node takes to its first update, s."""
    heard = []
    ros.node.create_subscription(
        UInt64MultiArray, '/av_td3_trainer/progress',
        lambda message: heard.append(weights.decode_progress(message.data)), qos.PROGRESS)
    begun = time.monotonic()
    # What comes after the file wins over it.
    arguments = ['--params-file', str(ROOT / 'config' / 'training.yaml')]
    for name, value in (('checkpoint_dir', folder), ('algorithm.buffer_size', transitions),
                        ('save_every', 0.0), ('training.threads', threads),
                        ('save_at_end', 'false')):
        arguments += ['-p', f'{name}:={value}']
    node = ros.start('training', arguments=arguments)
    ros.wait_for(lambda: any(progress.updates for progress in heard), 'an update', START)
    took = time.monotonic() - begun
    node.stop(30.0)
    ros.processes.remove(node)
    return took


def main(arguments=None):
    """Measure, and print one line of JSON."""
    measuring.stop_when_told()
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--transitions', type=int, default=100_000)
    parser.add_argument('--drive', type=float, default=5.0, help='s before memory is read')
    parser.add_argument('--threads', type=int, default=1, help='of torch while learning')
    options = parser.parse_args(arguments)
    found = {name: [] for name in ('policy_s', 'training_s', 'python_s')}
    with graph() as ros, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / 'checkpoints'
        fill(folder, options.transitions, options.threads)
        ros.start('simulator', {'vehicles': 0})
        for _ in range(options.rounds):
            found['python_s'].append(python_alone())
            took, weighed = policy(ros, options.drive)
            found['policy_s'].append(took)
            found['training_s'].append(training(ros, folder, options.transitions,
                                                options.threads))
    result = {'machine': measuring.machine(), 'transitions': options.transitions}
    for name, values in found.items():
        result[name] = {'median': round(statistics.median(values), 2),
                        'most': round(max(values), 2)}
    for name in ('policy', 'training'):
        result[f'{name}_over_python'] = round(statistics.median(
            a / b for a, b in zip(found[f'{name}_s'], found['python_s'])), 2)
    measuring.report('startup', {**result, 'memory': weighed})


if __name__ == '__main__':
    main()
