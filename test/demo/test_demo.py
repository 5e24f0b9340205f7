# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demonstration as a process: that it does what it says, and that it ends when asked to."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from av_td3_ros.demo.__main__ import main
from av_td3_ros.demo.parameters import node_parameters, read_checkpoint
from av_td3_ros.demo.routes import curvature, draw_routes, LENGTHS, read_routes, write_routes
from av_td3_ros.driving.task import TaskSettings
from av_td3_ros.settings import build
from av_td3_ros.simulation.town import Town, town_path

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / 'models' / 'policy.pth'

needs_policy = pytest.mark.skipif(not POLICY.is_file(), reason='no policy comes with this tree')


@pytest.fixture(scope='module')
def town():
    return Town.load(town_path('town_b'))


def run(folder, *arguments):
    """Start the demonstration as a user does; its output goes to a file."""
    log = (folder / 'terminal.txt').open('wb')
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    with log:
        return subprocess.Popen(
            [sys.executable, '-m', 'av_td3_ros.demo', '--output', str(folder / 'out'),
             '--size', '160x120', *map(str, arguments)], cwd=folder, env=environment, stdout=log,
            stderr=subprocess.STDOUT)


def said(folder):
    return (folder / 'terminal.txt').read_text(errors='replace')


def processes(folder, module=b'av_td3_ros.nodes'):
    """Return the pids of all nodes, or of one, that were started for an output folder."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if str(folder / 'out').encode() in command and module in command:
            found.append(int(path.parent.name))
    return found


def wait_for(condition, timeout, folder):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, said(folder)
        time.sleep(0.05)


def test_routes_are_the_same_for_a_seed_and_have_turns(town):
    one, again, other = (draw_routes(town, seed) for seed in (3, 3, 4))
    for a, b in zip(one, again):
        assert np.array_equal(a.route.points, b.route.points)
    assert not np.array_equal(one[0].route.points, other[0].route.points)
    for drawn in one:
        assert LENGTHS[0] - 1 <= drawn.route.length <= LENGTHS[1] + 1
        sharpest, bends = curvature(drawn.route)
        assert sharpest > np.radians(60) and bends > np.radians(120)


def test_routes_are_read_as_they_were_written(town, tmp_path):
    drawn = draw_routes(town, 5)
    write_routes(tmp_path / 'routes.yaml', drawn)
    for a, b in zip(drawn, read_routes(town, tmp_path / 'routes.yaml')):
        assert a.start == b.start and a.goal == b.goal
        assert a.route.points == pytest.approx(b.route.points)
    (tmp_path / 'routes.yaml').write_text('routes: [{start: [1, 2]}]')
    with pytest.raises(ValueError, match='routes.yaml'):
        read_routes(town, tmp_path / 'routes.yaml')


@needs_policy
def test_nodes_drive_under_the_task_that_the_policy_was_trained_for(tmp_path):
    shipped = read_checkpoint(POLICY)
    document = node_parameters(
        shipped, town=tmp_path, seed=1, vehicles=2, size=(160, 120), routes=tmp_path,
        checkpoints=tmp_path)
    policy = document['/carla/ego_vehicle/av_td3_policy']['ros__parameters']
    trained = {section: policy[section] for section in ('action', 'reward', 'observation',
                                                        'episode')}
    assert build(TaskSettings, trained) == shipped.task
    for section in ('action', 'observation'):
        assert policy[section] == dict(shipped.config[section])


@pytest.mark.parametrize('content', [None, b'', b'PK\x03\x04 no archive'])
def test_a_bad_checkpoint_is_one_sentence(content, tmp_path, capsys):
    path = tmp_path / 'policy.pth'
    if content is not None:
        path.write_bytes(content)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert main(['--checkpoint', str(path), '--output', str(tmp_path / 'out')]) == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    error = capsys.readouterr().err.strip()
    assert str(path) in error and '\n' not in error
    assert not processes(tmp_path)


@pytest.mark.parametrize('arguments', [
    ['--size', '20x20'], ['--size', 'large'], ['--vehicles', '-1'], ['--what']])
def test_a_wrong_option_is_refused(arguments, tmp_path):
    process = run(tmp_path, *arguments)
    assert process.wait(60) == 2
    assert 'error' in said(tmp_path)


@needs_policy
@pytest.mark.ros
@pytest.mark.timeout(280)
def test_drive_learn_save_kill_load_drive_on(town, tmp_path):
    rng = np.random.default_rng(2)
    routes = tmp_path / 'short.yaml'
    legs = [town.sample_route(rng, 70.0, 90.0)[:2] for _ in range(2)]
    routes.write_text(json.dumps({'routes': [{'start': list(s), 'goal': list(g)}
                                             for s, g in legs]}))
    process = run(tmp_path, '--routes', routes)
    assert process.wait(260) == 0, said(tmp_path)
    assert not processes(tmp_path)
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert summary['success'] and summary['route_completion'] == 1.0
    assert all(route['arrived'] for route in summary['routes'])
    ticks = 20.0 * summary['driven_s']
    assert summary['updates'] > 0 and summary['commands'] > 0.95 * ticks
    assert summary['fresh_iteration'] == 0
    assert summary['loaded_iteration'] == summary['checkpoint_iteration'] > 0
    assert Path(summary['checkpoint']).is_file()
    assert 0.0 < summary['control_latency_p50_ms'] <= summary['control_latency_p99_ms']
    assert 0.0 < summary['lateral_error_mean_m'] <= summary['lateral_error_max_m'] < 2.5
    video = cv2.VideoCapture(str(tmp_path / 'out' / 'drive.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == summary['video_frames']
    assert summary['video_frames'] == pytest.approx(ticks / 2.0, rel=0.05)
    assert summary['video_frames_dropped'] < 0.05 * ticks
    for word in ('route completion', 'mean speed', 'updates done', 'Phase 3', 'checkpoint'):
        assert word in said(tmp_path)


@needs_policy
@pytest.mark.ros
@pytest.mark.timeout(240)
@pytest.mark.parametrize('moment', ['Starting simulator', 'Phase 1'])
def test_a_signal_ends_everything_within_five_seconds(moment, tmp_path):
    process = run(tmp_path)
    try:
        wait_for(lambda: moment in said(tmp_path), 200.0, tmp_path)
        wait_for(lambda: len(processes(tmp_path)) == 4, 60.0, tmp_path)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT
        took = time.monotonic() - begun
        assert not processes(tmp_path)
        assert took < 5.0, said(tmp_path)
    finally:
        process.kill()
        process.wait()


@needs_policy
@pytest.mark.ros
@pytest.mark.timeout(240)
def test_a_killed_demonstration_leaves_no_node(tmp_path):
    process = run(tmp_path)
    try:
        wait_for(lambda: len(processes(tmp_path)) == 4, 100.0, tmp_path)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not processes(tmp_path), 5.0, tmp_path)


@needs_policy
@pytest.mark.ros
@pytest.mark.timeout(240)
def test_a_node_that_dies_ends_the_demonstration(tmp_path):
    process = run(tmp_path)

    def guards():
        return processes(tmp_path, b'av_td3_ros.nodes.guard')

    try:
        wait_for(guards, 100.0, tmp_path)
        os.kill(guards()[0], signal.SIGKILL)
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()
    assert 'guard_node ended unexpectedly with SIGKILL' in said(tmp_path)
    assert not processes(tmp_path)
