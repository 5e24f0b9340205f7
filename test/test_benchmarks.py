# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of speed, in their smallest form; figures are for a machine that is idle."""

import importlib
import json
import os
from pathlib import Path
import sys

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """Return a function that imports a benchmark, or runs it and returns its JSON."""
    monkeypatch.setattr(sys, 'path', [str(BENCHMARKS), *sys.path])
    threads = torch.get_num_threads()

    def get(name, *arguments):
        module = importlib.import_module(name)
        if not arguments:
            return module
        module.main(list(map(str, arguments)))
        return json.loads(capsys.readouterr().out)
    yield get
    torch.set_num_threads(threads)


def test_sides_take_turns_both_ways_round(benchmark):
    measuring, called = benchmark('measuring'), []
    sides = {name: lambda name=name: called.append(name) for name in 'ab'}
    times = measuring.in_turn(sides, 3, warmup=1)
    assert ''.join(called) in ('abbaabba', 'baabbaab')
    assert {name: len(values) for name, values in times.items()} == {'a': 3, 'b': 3}
    found = measuring.times_faster({'a': [1.0, 2.0, 1.0], 'b': [2.0, 2.0, 4.0]}, 'a', 'b')
    assert found == {'median': 2.0, 'least': 1.0, 'most': 4.0}
    assert measuring.percentiles([0.001] * 99 + [0.5]) == {
        'p50_ms': 1.0, 'p99_ms': 500.0, 'max_ms': 500.0}


def test_the_machine_is_described(benchmark):
    found = benchmark('measuring').machine()
    assert found['cores'] >= 1 and found['torch'] == torch.__version__ and len(found['load']) == 3


def test_updates_of_every_kind_are_counted(benchmark):
    found = benchmark('updates', '--rounds', 1, '--updates', 2, '--batch', 4, '--rows', 300,
                      '--threads', 1)
    images, flat = found['images']['batch_4'], found['flat']
    assert images['updates_per_s']['ours_float32'] > 0 < images['updates_per_s']['ours_bfloat16']
    assert flat['updates_per_s']['ours'] > 0 and '--reference' in flat['reference']
    for part in (images, flat):
        assert 'times_faster_than_sb3' in part or 'pip install' in part['sb3']


def test_actions_are_timed(benchmark):
    found = benchmark('acting', '--calls', 4, '--block', 2, '--threads', 1)['threads_1_block_2']
    assert found['policy']['p50_ms'] > 0 < found['agent']['p50_ms']
    assert 'share_of_sb3' in found or 'pip install' in found['sb3']


def test_steps_of_the_town_are_counted(benchmark):
    found = benchmark('town_env', '--rounds', 1, '--steps', 3, '--size', 64, 48,
                      '--episode', 10)
    assert all(found['steps_per_s'][name] > 0 for name in benchmark('town_env').SIDES)


@pytest.mark.ros
def test_the_parts_of_those_over_ros(benchmark, tmp_path):
    lockstep, startup = benchmark('lockstep'), benchmark('startup')
    assert lockstep.parse_arguments([]).sizes == ['800x600', '256x144']
    assert lockstep.cpu_seconds(os.getpid()) > 0.1
    assert lockstep.figures([(40.0, [1.0, 2.0]), (20.0, [3.0, 4.0]), (60.0, [5.0, 6.0])]) == {
        'steps_per_s': 40.0, 'least': 20.0, 'most': 60.0, 'times_real_time': 2.0,
        'cpu_ms': {'simulator': 3.0, 'policy': 4.0}}
    assert startup.memory(os.getpid())['vmrss_mb'] > 10.0
    startup.fill(tmp_path, 40, 1)
    assert (tmp_path / 'replay').is_dir() and (tmp_path / 'latest').exists()
    assert benchmark('latency').parse_arguments([]).sides == ('ours', 'plain', 'learning')
    assert benchmark('vehicles').parse_arguments([]).vehicles == [1, 2, 3, 4]


def test_growth_is_measured_and_drawn(benchmark, tmp_path):
    found = benchmark('growth', '--parts', 'batch', 'replay', '--batches', 4, 8, '--rounds', 1,
                      '--rows', 300, 1000, '--threads', 1, '--plots', tmp_path)
    assert all(one['float32'] > 0 < one['bfloat16'] for one in found['batch'].values())
    small, large = (found['replay'][rows] for rows in ('300', '1000'))
    assert large['resident_mb'] > small['resident_mb'] and large['bytes_per_transition'] > 7056
    latency = {'p50_ms': 2.0, 'p99_ms': 3.0, 'max_ms': 4.0, 'lost': 0}
    stored = tmp_path / 'growth.json'
    stored.write_text(json.dumps({**found, 'image': {'320x240': latency, '800x600': {'lost': 9}},
                                  'vehicles': {'1': latency, '2': latency}}))
    benchmark('growth').main(['--draw', str(stored), '--plots', str(tmp_path / 'again')])
    assert {path.name for path in tmp_path.glob('*.png')} == {
        'growth_updates.png', 'growth_replay.png'}
    assert len(list((tmp_path / 'again').glob('*.png'))) == 3
