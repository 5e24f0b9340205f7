# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command that trains without ROS: tiny runs from beginning to end."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from run_content import differences, learned
import torch
import yaml

from av_td3_ros.learning.policy import Policy
from av_td3_ros.simulation.town import default_town, Town, TownError
from av_td3_ros.training.comparison.runs import read_run
from av_td3_ros.training.configuration import RunSettings
from av_td3_ros.training.run import Run, RunError
from av_td3_ros.training.train import main as train_main

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)

SMALL = {
    'algorithm.learning_starts': 30, 'algorithm.batch_size': 4, 'algorithm.buffer_size': 2000,
    'training.threads': 1, 'training.updates_per_step': 0.25,
    'networks.actor.hidden_layers': '[16, 16]', 'networks.critic.hidden_layers': '[16, 16]',
    'simulation.image_width': 96, 'simulation.image_height': 84, 'simulation.vehicles': 2,
    'episode.max_duration': 1.0, 'evaluation.every': 40, 'evaluation.routes': 1,
    'evaluation.checkpoint_seconds': 1.0, 'simulation.worlds': 2,
    'demonstrations.transitions': 36, 'demonstrations.updates': 6, 'algorithm.imitation': 0.4}


def command(out, *arguments, steps=100, **settings):
    chosen = {**SMALL, **{name.replace('__', '.'): value for name, value in settings.items()}}
    # The towns to learn and to evaluate in are one: reading them is most of a tiny run.
    return [sys.executable, '-m', 'av_td3_ros.training.train', '--out', str(out), '--steps',
            str(steps), '--town', str(default_town()), '--eval-town', str(default_town()),
            *(part for name, value in chosen.items() for part in ('--set', f'{name}={value}')),
            *arguments]


ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}


def train(out, *arguments, **options):
    return subprocess.run(command(out, *arguments, **options), env=ENVIRONMENT, text=True,
                          capture_output=True, timeout=200)


@pytest.fixture
def start():
    """Start runs whose processes can be ended; what they say goes to files beside."""
    started = []

    def begin(out, **options):
        with open(f'{out}.log', 'ab') as log:
            started.append(subprocess.Popen(command(out, **options), env=ENVIRONMENT, stdout=log,
                                            stderr=log))
        return started[-1]
    yield begin
    for process in started:
        process.kill()
        process.wait(30.0)


def until(condition, process, what, timeout=150.0):
    end = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f'ended with {process.returncode} before {what}'
        assert time.monotonic() < end, f'{timeout} s passed without {what}'
        time.sleep(0.02)


def checkpoint(out):
    return torch.load(out / 'checkpoints' / 'latest', weights_only=True)


def lines(out, name):
    """Return a record's lines, less the time."""
    path = out / f'{name}.jsonl'
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in found:
        del line['seconds'], line['cpu_seconds']
    return found


def same_training(one, other):
    """Everything that learning depends on is equal bit by bit."""
    assert not differences(learned(one), learned(other))


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp('train') / 'unbroken'
    result = train(out)
    assert result.returncode == 0, result.stderr
    return out


def test_a_short_run_leaves_what_is_needed(unbroken):
    content = checkpoint(unbroken)
    assert content['exploration']['transitions'] >= 100
    shown, all_of_them = (content['exploration'][name]
                          for name in ('demonstrations', 'transitions'))
    assert 36 <= shown < 36 + 2 * 10
    assert content['total_it'] == 6 + (all_of_them - shown) // 4
    settings = yaml.safe_load((unbroken / 'settings.yaml').read_text())
    assert settings['algorithm']['batch_size'] == 4 and 'version' in settings
    episodes, evaluations = lines(unbroken, 'episodes'), lines(unbroken, 'evaluations')
    assert len(episodes) == content['extra']['episode'] >= 3
    assert all(episode['ending'] and 'progress' in episode for episode in episodes)
    assert len(evaluations) in (3, 4) and evaluations[-1]['episodes'] == 1
    last = Policy()
    assert last.load_checkpoint(unbroken / 'last_policy.pth').total_it == content['total_it']
    best = Policy().load_checkpoint(unbroken / 'best_policy.pth').total_it
    scores = json.loads((unbroken / 'checkpoints' / 'evaluations.json').read_text())
    kept = max(scores, key=scores.get)
    assert torch.load(unbroken / 'checkpoints' / kept, weights_only=True)['total_it'] == best


def test_tensorboard_is_told_the_same_as_the_records(unbroken):
    series, shown = read_run(unbroken).series, checkpoint(unbroken)['exploration']
    for room, wanted in (('demonstration', lambda at: at <= shown['demonstrations']),
                         ('episode', lambda at: at > shown['demonstrations'])):
        episodes = [line for line in lines(unbroken, 'episodes') if wanted(line['transitions'])]
        found = series[f'{room}/return']
        assert found.steps.tolist() == [line['transitions'] for line in episodes]
        assert found.values == pytest.approx([line['return'] for line in episodes], rel=1e-6)
        assert series[f'{room}/mean_speed'].values == pytest.approx(
            [line['mean_speed'] for line in episodes], rel=1e-6)
        terms = series['terms/progress' if room == 'episode' else f'{room}_terms/progress']
        assert terms.values == pytest.approx([line['progress'] for line in episodes], rel=1e-6)
    evaluations = lines(unbroken, 'evaluations')
    assert series['evaluation/completion'].steps.tolist() \
        == [line['transitions'] for line in evaluations]
    assert series['evaluation/return'].values == pytest.approx(
        [line['returned'] for line in evaluations], rel=1e-6)


def test_a_run_killed_again_and_again_equals_an_unbroken_one(unbroken, tmp_path, start):
    out = tmp_path / 'broken'
    # Before the first episode is over, and later on.
    for number in (0, 3):
        process = start(out)
        until(lambda: (out / 'replay').exists() and len(lines(out, 'episodes')) >= number,
              process, f'{number} episodes')
        process.send_signal(signal.SIGKILL)
        process.wait(30.0)
    result = train(out)
    assert result.returncode == 0, result.stderr
    assert 'going on at' in result.stderr
    same_training(checkpoint(unbroken), checkpoint(out))
    assert lines(out, 'evaluations') == lines(unbroken, 'evaluations')
    # The losses that a record shows are smoothed from where the process began.
    measured = [{key: line[key] for key in ('transitions', 'updates', 'return', 'ending')}
                for line in lines(out, 'episodes')]
    assert measured == [{key: line[key] for key in measured[0]}
                        for line in lines(unbroken, 'episodes')]
    one, other = read_run(unbroken).series, read_run(out).series
    for tag, series in one.items():
        if tag.split('/')[0] in ('episode', 'terms', 'demonstration', 'evaluation', 'values'):
            assert other[tag].steps.tolist() == series.steps.tolist(), tag
            assert other[tag].values.tolist() == series.values.tolist(), tag


def test_an_evaluation_after_the_last_save_is_made_anew(tmp_path):
    """Also one at the very transition of that save; its line is not there twice."""
    def run():
        return Run(tmp_path / 'run', RunSettings(), tensorboard=False)

    summary = {'success': 0.5, 'completion': 0.5, 'returned': 1.0}
    with run() as first:
        assert first.evaluated(summary)
        first.learner.transitions = 7
        first.save()
        assert not first.evaluated(summary)
        assert [line['transitions'] for line in lines(first.folder, 'evaluations')] == [0, 7]
    with run() as second:
        assert (second.learner.transitions, second.evaluated_at) == (7, 0)
        assert [line['transitions'] for line in lines(second.folder, 'evaluations')] == [0]


def test_a_run_of_a_machine_with_a_gpu_goes_on_without_one(tmp_path):
    Run(tmp_path, RunSettings(), tensorboard=False).__exit__()
    path = tmp_path / 'settings.yaml'
    text = path.read_text()
    assert 'device: cpu' in text
    path.write_text(text.replace('device: cpu', 'device: cuda'))
    Run(tmp_path, RunSettings(), tensorboard=False).__exit__()
    path.write_text(text.replace('threads: 0', 'threads: 1'))
    with pytest.raises(RunError, match='another training.threads;'):
        Run(tmp_path, RunSettings(), tensorboard=False)


def test_sigterm_saves_and_the_run_goes_on(tmp_path, start):
    out = tmp_path / 'stopped'
    process = start(out, steps=100_000, evaluation__every=0, evaluation__checkpoint_seconds=1000)
    until(lambda: len(lines(out, 'episodes')) >= 1, process, 'an episode')
    process.send_signal(signal.SIGTERM)
    assert process.wait(30.0) == 0
    assert checkpoint(out)['exploration']['transitions'] > 0


@pytest.fixture(scope='module')
def town():
    return Town.load(default_town())


@pytest.fixture
def main(town, monkeypatch):
    """Return the command without a process of its own; it gives its sentence back."""
    def load(path):
        if not Path(path).exists():
            raise TownError(f'cannot read the town {path}')
        return town
    monkeypatch.setattr('av_td3_ros.training.train.Town.load', load)
    return lambda *arguments: train_main(list(map(str, arguments)))


def test_another_runs_folder_is_refused(main, unbroken):
    before = (unbroken / 'settings.yaml').read_bytes()
    sentence = main(*command(unbroken, algorithm__batch_size=8)[3:])
    assert 'another algorithm.batch_size' in sentence and 'choose another --out' in sentence
    assert 'holds a run already' in main(*command(unbroken, '--no-resume')[3:])
    assert (unbroken / 'settings.yaml').read_bytes() == before


@pytest.mark.parametrize('pair, words', [
    ('algorithm.batch_size=none', ['algorithm.batch_size', 'int']),
    ('algorithm.batch_size=0', ['algorithm.batch_size', '65536']),
    ('algorithm.bath_size=4', ['algorithm.bath_size', 'did you mean', 'algorithm.batch_size']),
    ('episode.max_duration=.nan', ['episode.max_duration', 'finite']),
    ('networks.cnn.architecture=vgg', ['networks.cnn.architecture', 'resnet18']),
    ('batch_size', ['NAME=VALUE', 'batch_size'])])
def test_a_wrong_setting_is_named_in_a_sentence(main, tmp_path, pair, words):
    sentence = main('--out', str(tmp_path / 'run'), '--set', pair)
    assert all(word in sentence for word in words), sentence
    assert not (tmp_path / 'run').exists()


def test_files_that_are_not_there_are_named(main, tmp_path):
    for option, name in (('--params-file', 'a.yaml'), ('--town', 'a.xodr'),
                         ('--eval-town', 'b.xodr')):
        assert name in main('--out', tmp_path / 'run', option, tmp_path / name)
    assert not (tmp_path / 'run').exists()


def test_a_folder_that_is_a_file(main, tmp_path):
    (tmp_path / 'file').write_text('')
    sentence = main('--out', tmp_path / 'file' / 'run')
    assert str(tmp_path / 'file') in sentence
