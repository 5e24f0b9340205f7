# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command that compares runs: groups, unbroken curves, figures by hand, clear sentences."""

import csv
import json
import sys

from made_runs import make_run, put_evaluations, put_settings, settings_of
import numpy as np
import pytest

from av_td3_ros.learning.telemetry.event_file import EventFile
from av_td3_ros.training.compare_runs import main
from av_td3_ros.training.comparison import plots, seeds
from av_td3_ros.training.comparison.runs import group_runs, read_run


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Return the folders of two groups of three seeds each."""
    root = tmp_path_factory.mktemp('runs')
    return [make_run(root / f'n{steps}-{seed}', seed, level=level,
                     until=10_000 if seed else 8000, algorithm={'n_step': steps})
            for steps, level in ((3, 1.0), (1, 0.6)) for seed in range(3)]


def run_main(*arguments):
    return main([str(argument) for argument in arguments])


def test_curves_table_and_figures(made, tmp_path, capsys):
    assert run_main(*made, '--out', tmp_path / 'out') == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert [row[:3] for row in rows[1:] if row[0] != 'curves:'] == [
        [f'n_step={steps}', '3', tag]
        for tag in ('evaluation/completion', 'evaluation/success', 'episode/return')
        for steps in (3, 1)]
    assert '8000-10000' in printed.out and not printed.err
    content = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    ends = [run['final']['evaluation/completion'] for run in content['groups'][0]['runs']]
    last = [read_run(folder).series['evaluation/completion'].values[-1] for folder in made[:3]]
    assert ends == last
    final = content['rows'][0]['final']
    assert final['mean'] == pytest.approx(np.mean(last))
    # Student's t for three seeds is 4.303.
    assert final['interval'] == pytest.approx(4.303 * np.std(last, ddof=1) / np.sqrt(3))
    assert (final['low'], final['high'], final['count']) == (min(last), max(last), 3)
    with open(tmp_path / 'out' / 'figures.csv', newline='') as file:
        found = list(csv.DictReader(file))
    assert [row['group'] for row in found] == ['n_step=3', 'n_step=1'] * 3
    assert float(found[0]['final_mean']) == final['mean']
    assert found[4]['best_mean'] == '', 'no evaluation gives it'


def test_the_picture(made, tmp_path):
    """A panel has a mean and three seeds of each group; the mean ends with the shortest."""
    image = pytest.importorskip('matplotlib.image')
    groups = group_runs([read_run(folder) for folder in made])
    seen = []
    real = plots._draw

    def draw(ax, *arguments):
        real(ax, *arguments)
        seen.append(ax)
    plots._draw = draw
    try:
        for clock, name in (('wall', 'b.png'), ('processor', 'c.png')):
            plots.plot(groups, ['evaluation/completion', 'episode/return'],
                       tmp_path / 'a' / name, clock=clock)
    finally:
        plots._draw = real
    assert len(set(seen)) == 8
    for ax in set(seen):
        assert len(ax.get_lines()) == 2 * 4 and len(ax.collections) == 2
    mean = next(line for line in seen[0].get_lines() if line.get_label() == 'n_step=3 (3 seeds)')
    assert mean.get_xdata()[[0, -1]].tolist() == [1000.0, 8000.0]
    over_time = next(line for line in seen[2].get_lines()
                     if line.get_label() == 'n_step=3 (3 seeds)')
    assert over_time.get_xdata()[-1] == pytest.approx(8000 / 50 / 60)
    by_processor = next(line for line in seen[10].get_lines()
                        if line.get_label() == 'n_step=3 (3 seeds)')
    assert by_processor.get_xdata()[-1] == pytest.approx(0.5 * 8000 / 50 / 60)
    picture = image.imread(tmp_path / 'a' / 'b.png')
    assert picture.shape[0] > 500 and picture.shape[1] > 1000
    assert picture[..., :3].std() > 0.05


def test_a_run_killed_and_resumed_is_one_unbroken_curve(tmp_path):
    """Killed at 5400 after a checkpoint at 4200; a night passes; resumed, and killed mid-write."""
    def completion(step):
        return step / 10_000

    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    for folder, parts in ((whole, [(0, 10_000)]),
                          (broken, [(0, 5400), (4200, 8000), (7100, 10_000)])):
        put_settings(folder, settings_of(0))
        for begin, end in parts:
            file = EventFile(folder / 'tensorboard', begin + 1)
            steps = [step for step in range(500, 10_001, 500) if begin < step <= end]
            put_evaluations(file, steps, completion)
            file.close()
            if end == 8000:
                with open(file.path, 'r+b') as torn:
                    torn.truncate(file.path.stat().st_size - 7)
    one, other = read_run(whole), read_run(broken)
    assert one.series.keys() == other.series.keys()
    for tag, series in one.series.items():
        assert series.steps.tolist() == other.series[tag].steps.tolist()
        assert series.values.tolist() == other.series[tag].values.tolist()
    steps = np.array([0, 250, 500, 10_000])
    assert other.minutes(steps) == pytest.approx(steps / 50 / 60)
    assert other.best == 10_000


def test_a_step_that_was_written_twice_counts_once(tmp_path):
    put_settings(tmp_path, settings_of(0))
    file = EventFile(tmp_path / 'tensorboard')
    for value in (0.25, 0.5):
        put_evaluations(file, [1000], lambda step: value)
    file.close()
    assert read_run(tmp_path).series['evaluation/completion'].values.tolist() == [0.5]


def test_best_is_the_policy_that_was_kept(tmp_path):
    """All figures come from the evaluation with the best score, not each from its own best."""
    put_settings(tmp_path, settings_of(0))
    file = EventFile(tmp_path / 'tensorboard')
    for step, completion, success, score in ((1, 0.9, 0.1, 1.0), (2, 0.8, 0.4, 1.2),
                                             (3, 0.5, 0.5, 1.0)):
        file.write(step, {'evaluation/completion': completion, 'evaluation/success': success,
                          'evaluation/score': score, 'progress/seconds': step})
    file.close()
    assert run_main(tmp_path, '--out', tmp_path / 'out', '--no-plot') == 0
    content = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    run = content['groups'][0]['runs'][0]
    assert run['best_at'] == 2
    assert run['best']['evaluation/completion'] == pytest.approx(0.8)
    assert run['best']['evaluation/success'] == pytest.approx(0.4)
    assert run['final']['evaluation/success'] == pytest.approx(0.5)
    assert content['rows'][0]['final']['interval'] is None
    assert not (tmp_path / 'out' / 'curves.png').exists()


def test_the_final_figure_of_episodes_is_the_mean_of_the_last_tenth(tmp_path):
    put_settings(tmp_path, settings_of(0))
    file = EventFile(tmp_path / 'tensorboard')
    for step in range(1, 101):
        file.write(step, {'episode/return': step, 'progress/seconds': step})
    file.close()
    assert run_main(tmp_path, '--out', tmp_path, '--no-plot', '--tag', 'episode/return') == 0
    content = json.loads((tmp_path / 'figures.json').read_text())
    assert content['rows'][0]['final']['mean'] == 95.0


def test_groups_and_labels(tmp_path):
    folders = [make_run(tmp_path / name, seed, until=1000, **changes) for name, seed, changes in (
        ('a0', 0, {}), ('b0', 0, {'algorithm': {'discount': 0.9}}), ('a1', 1, {}),
        ('c0', 0, {'networks': {'cnn': {'architecture': 'nature'}}}))]
    runs = [read_run(folder) for folder in folders]
    groups = group_runs(runs)
    assert [(group.label, [run.folder.name for run in group.runs]) for group in groups] == [
        ('discount=0.98, architecture=none', ['a0', 'a1']),
        ('discount=0.9, architecture=none', ['b0']),
        ('discount=0.98, architecture=nature', ['c0'])]
    assert [group.label for group in group_runs(runs, ['x', 'y', 'z'])] == ['x', 'y', 'z']
    assert group_runs([runs[0], runs[2]])[0].label == 'a'
    assert group_runs([runs[1]])[0].label == 'b0'
    sentence = run_main(*folders, '--out', tmp_path / 'out', '--label', 'one')
    assert '1 labels do not fit 3 groups' in sentence and str(folders[3]) in sentence


def test_settings_of_the_same_name_are_told_apart(tmp_path):
    runs = [read_run(make_run(tmp_path / str(number), 0, until=1000,
                              a={'size': number}, b={'size': number})) for number in range(2)]
    assert [group.label for group in group_runs(runs)] == ['a.size=0, b.size=0',
                                                           'a.size=1, b.size=1']


def test_groups_of_long_names_are_named_below_the_table(tmp_path, capsys):
    folders = [make_run(tmp_path / name, 0, until=1000, simulation={'a_long_name': name * 40})
               for name in 'xy']
    assert run_main(*folders, '--out', tmp_path / 'out') == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('(1)    1      evaluation/completion')
    assert f'(2) a_long_name={"y" * 40}' in lines
    assert max(map(len, lines[:5])) < 140


def test_the_same_seed_twice_is_said(tmp_path, capsys):
    folders = [make_run(tmp_path / name, 3, until=1000) for name in 'ab']
    assert run_main(*folders, folders[0], '--out', tmp_path / 'out', '--no-plot') == 0
    error = capsys.readouterr().err
    assert error.count('have the same settings and seed') == 1 and str(folders[1]) in error


# Curves by hand

def test_the_mean_of_curves_by_hand():
    one = (np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 0.0]))
    other = (np.array([5.0, 15.0]), np.array([1.0, 3.0]))
    found = seeds.mean_curve([one, other])
    assert found.x.tolist() == [5.0, 10.0, 15.0]
    assert found.mean.tolist() == [3.0, 6.0, 4.0]
    assert found.low.tolist() == [1.0, 2.0, 3.0] and found.high.tolist() == [5.0, 10.0, 5.0]
    assert len(seeds.mean_curve([one, (np.array([30.0]), np.array([1.0]))]).x) == 0


def test_a_bootstrap_band_holds_the_mean_and_lies_within_the_range():
    x = np.arange(10.0)
    curves = [(x, x + shift) for shift in (0.0, 1.0, 2.0, 3.0, 9.0)]
    found = seeds.mean_curve(curves, 'bootstrap')
    assert (found.low < found.mean).all() and (found.mean < found.high).all()
    assert (found.low > x).all() and (found.high < x + 9.0).all()
    # The standard error of the five shifts is 1.41; the band is about two of them each way.
    assert 1.5 < (found.high - found.mean).mean() < 3.5


def test_many_points_are_averaged_over_spans():
    x, y = np.arange(100), np.tile([0.0, 1.0], 50)
    y[50] = np.nan
    spans, means = seeds.smooth(x, y, 5)
    assert len(spans) == 5 and means == pytest.approx([0.5] * 5, abs=0.03)
    assert spans[0] == pytest.approx(9.5)
    assert seeds.smooth(x[:3], y[:3], 5)[1].tolist() == [0.0, 1.0, 0.0]


def test_intervals_by_hand():
    found = seeds.figure([1.0, 3.0])
    assert found.mean == 2.0 and found.interval == pytest.approx(12.706 * np.sqrt(2) / np.sqrt(2))
    assert seeds.figure([4.0]).interval is None
    assert seeds.figure([0.0, 2.0] * 50).interval == pytest.approx(
        1.96 * np.std([0.0, 2.0] * 50, ddof=1) / 10)


# What goes wrong

def test_a_folder_that_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / 'nothing'):
        assert f'{folder} is no run of train' in run_main(folder, '--out', tmp_path / 'out')
    (tmp_path / 'settings.yaml').write_text('a: [')
    assert 'cannot be read' in run_main(tmp_path)
    (tmp_path / 'settings.yaml').write_text('just text')
    assert 'holds no settings' in run_main(tmp_path)
    assert not (tmp_path / 'out').exists()


def test_a_run_without_event_files(tmp_path):
    put_settings(tmp_path, settings_of(0))
    assert 'holds no event files' in run_main(tmp_path)
    EventFile(tmp_path / 'tensorboard', 1).close()
    assert 'are empty: nothing was written yet' in run_main(tmp_path)
    file = EventFile(tmp_path / 'tensorboard', 1)
    file.write(1, {'loss': 1.0})
    file.close()
    assert 'do not tell the time' in run_main(tmp_path)
    (tmp_path / 'other').mkdir()
    put_settings(tmp_path / 'other', settings_of(0))
    (tmp_path / 'other' / 'tensorboard').mkdir()
    (tmp_path / 'other' / 'tensorboard' / 'events.out.tfevents.1.x').write_bytes(b'\x00' * 50)
    assert 'are empty' in run_main(tmp_path / 'other')


def test_tags_that_not_every_run_has(made, tmp_path):
    put_settings(tmp_path, settings_of(0))
    file = EventFile(tmp_path / 'tensorboard', 1)
    file.write(1, {'progress/seconds': 1.0, 'learning/q1': 1.0})
    file.close()
    assert run_main(made[0], tmp_path, '--tag', 'learning/q1') == (
        f'{tmp_path} has the tag learning/q1, but {made[0]} has not; compare them without it, or '
        'choose others with --tag')
    assert 'no run has the tag progress/cpu_seconds' in run_main(
        tmp_path, '--tag', 'learning/q1', '--time', 'processor')
    sentence = run_main(made[0], '--tag', 'evaluation/complete')
    assert 'no run has the tag evaluation/complete' in sentence
    assert 'evaluation/completion' in sentence
    assert 'have none of evaluation/completion' in run_main(made[0], tmp_path)


def test_without_matplotlib_figures_come_all_the_same(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    assert 'pip install matplotlib' in run_main(made[0], '--out', tmp_path)
    assert (tmp_path / 'figures.json').exists() and 'evaluation/success' in capsys.readouterr().out
    assert run_main(made[0], '--out', tmp_path, '--no-plot') == 0
