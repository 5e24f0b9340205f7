# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the whole way from bags and checkpoints to a report."""

import dataclasses
import json
import shutil
from xml.etree import ElementTree

from bag_support import control, make_bag, make_policy, state, TICK, write_tick
import numpy as np
import pytest

from av_td3_ros.evaluation import evaluate_bag
from av_td3_ros.evaluation.assessment import assess, DRIVEN, Options
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.evaluation.storage import BagError

TICKS = 60
QUICK = ['--no-video', '--disturbed', '0']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('evaluation')


@pytest.fixture(scope='module')
def policy(folder):
    return make_policy(folder / 'a.pth')


@pytest.fixture(scope='module')
def other(folder):
    """Return a policy with a planted steering fault."""
    return make_policy(folder / 'b.pth', bias=0.8)


@pytest.fixture(scope='module')
def bag(folder):
    return make_bag(folder / 'drive', TICKS)


def result_of(bag, *checkpoints, **options):
    """Return the result, after checking that every picture is accounted for."""
    result = assess([bag], checkpoints, Options(**options)).result
    for one in result['bags']:
        images = one['images']
        assert images['in_bag'] == images['used'] + sum(images['skipped'].values())
    return result


def skipped(result):
    return result['bags'][0]['images']['skipped']


def test_the_result_is_the_same_in_either_storage(folder, policy, other):
    texts = []
    for number, (storage, compression) in enumerate([
            ('mcap', 'none'), ('mcap', 'none'), ('mcap', 'storage'), ('sqlite3', 'none'),
            ('sqlite3', 'message')]):
        path = make_bag(folder / f'same{number}', TICKS, storage=storage,
                        compression=compression)
        out = folder / f'report{number}'
        assert evaluate_bag.main([str(path), '--checkpoint', str(policy), '--checkpoint',
                                  str(other), '--out', str(out), *QUICK]) == 0
        texts.append((out / 'result.json').read_bytes())
    assert len(set(texts)) == 1
    result = json.loads(texts[0])
    assert result['pictures'] == {'in_bags': TICKS, 'used': TICKS}
    assert result['bags'][0]['losses'] == [] and result['bags'][0]['pairing'] == 'exact'
    run = json.loads((folder / 'report0' / 'run.json').read_text())
    assert run['timing']['decisions']['A']['p50_ms'] > 0.0


def test_the_errors_are_those_of_the_commands(bag, policy):
    found = assess([bag], [policy], Options())
    recording, result = found.recordings[0], found.result
    truth = np.array([[control(n).steer, control(n).throttle] for n in range(1, TICKS + 1)])
    assert recording.driver == pytest.approx(truth, abs=1e-6)
    error = np.abs(recording.actions[:, 0] - truth)
    steer = result['open_loop']['A']['action_error']['steer']
    assert steer['mean'] == pytest.approx(error[:, 0].mean(), abs=1e-6)
    assert steer['worst'] == pytest.approx(error[:, 0].max(), abs=1e-6)
    assert sum(part['count'] for part in steer['by_speed']) == TICKS
    worst = result['worst_moments']['A'][0]
    assert worst['image'] == int(np.argmax(error @ [1.0, 0.5]))
    assert 'driving_score' not in json.dumps(result)


def test_the_status_stands_in_for_commands(folder, bag, policy):
    path = make_bag(folder / 'status_only', TICKS, command=False)
    found = assess([path], [policy], Options())
    whole = assess([bag], [policy], Options())
    # The status of a tick tells what was applied before it; after the last there is none.
    assert found.recordings[0].driver[:-1] == pytest.approx(whole.recordings[0].driver[:-1])
    assert np.isnan(found.recordings[0].driver[-1]).all()
    assert 'status' in found.result['bags'][0]['recorded_driver']


def test_without_a_recorded_driver_two_policies_are_compared(folder, policy, other):
    path = make_bag(folder / 'silent', TICKS, command=False, status=False)
    result = result_of(path, policy, other)
    assert result['open_loop']['A']['action_error'] is None
    assert result['comparison']['quantities']['steer']['different']
    assert result_of(path, policy)['comparison']['different'] is None


def test_what_is_missing_is_skipped_and_said(folder, policy):
    with BridgeBag(folder / 'gaps') as bag:
        for number in range(1, 41):
            if number == 5:
                bag.route(4 * TICK + 1, np.array([[float(x), 0.0] for x in range(200)]))
            write_tick(bag, number, odometry=number not in (20, 21, 22, 23))
        bag.image(40 * TICK, np.zeros((18, 24, 4), np.uint8))
        bag.image(41 * TICK, np.zeros((18, 24, 4), np.uint8), 'yuv422')
        bag.image(42 * TICK, np.zeros((18, 24, 4), np.uint8))
    result = result_of(folder / 'gaps', policy)
    counts = skipped(result)
    assert result['bags'][0]['images'] == {'in_bag': 43, 'used': 32, 'skipped': counts}
    assert counts['no route'] == 4 and counts['no odometry of its time'] == 5
    assert sum(count for reason, count in counts.items() if 'yuv422' in reason) == 1
    assert sum(count for reason, count in counts.items() if 'repeats' in reason) == 1


def test_time_that_is_set_back_starts_anew(folder, policy):
    with BridgeBag(folder / 'twice') as bag:
        bag.route(TICK, np.array([[float(x), 0.0] for x in range(200)]))
        for number in range(1, 31):
            write_tick(bag, number)
        bag._start = 30 * TICK
        for number in range(1, 31):
            write_tick(bag, number)
    result = result_of(folder / 'twice', policy)
    assert result['pictures'] == {'in_bags': 60, 'used': 60}


@pytest.mark.parametrize('shift, pairing', [(7_000_000, 'nearest'),
                                            (1_700_000_000 * 10**9, 'received')])
def test_other_clocks_are_paired_by_what_there_is(folder, policy, shift, pairing):
    path = folder / pairing
    with BridgeBag(path) as bag:
        bag.route(TICK, np.array([[float(x), 0.0] for x in range(200)]))
        for number in range(1, TICKS + 1):
            write_tick(bag, number, odometry=False)
            # Received as ever, stamped by another clock.
            bag._start = -shift
            bag.odometry(dataclasses.replace(state(number), stamp=number * TICK + shift))
            bag._start = 0
    result = result_of(path, policy)
    assert result['bags'][0]['pairing'] == pairing
    assert result['pictures']['used'] >= TICKS - 1


def test_the_way_driven_may_be_the_route(folder, policy):
    path = make_bag(folder / 'routeless', TICKS, with_route=False)
    with pytest.raises(BagError, match='--route driven'):
        assess([path], [policy], Options())
    result = result_of(path, policy, route=DRIVEN)
    assert result['pictures']['used'] >= TICKS - 12
    assert result['bags'][0]['driven']['lateral_error']['worst'] < 0.2


def test_compressed_pictures(folder, policy):
    path = make_bag(folder / 'jpeg', TICKS, jpeg=90)
    result = result_of(path, policy)
    assert result['pictures']['used'] == TICKS
    assert result['bags'][0]['topics']['image'].endswith('/compressed')


def test_collisions_and_the_driving_score(folder, policy):
    def hit(bag, number):
        if number in (30, 31, 32):
            bag.collision(number * TICK, 7, (100.0, 0.0, 0.0))
        if number == 40:
            bag.lane_invasion(number * TICK, [2, 1])
    path = make_bag(folder / 'hit', 240, after=hit)
    result = result_of(path, policy, closed_loop=True)
    driven = result['bags'][0]['driven']
    assert (driven['collisions'], driven['collision_events']) == (1, 3)
    assert driven['lane_invasions'] == {'events': 1, 'by_marking': {'1': 1, '2': 1}}
    route, = result['closed_loop']['routes']
    assert route['completion'] == 1.0 and route['infractions'] == {'collision_vehicle': 1}
    assert result['closed_loop']['driving_score'] == {
        '2.0': pytest.approx(60.0), '2.1': pytest.approx(100.0 / 1.7)}
    assert 'red_light' in result['closed_loop']['not_observed']


def test_several_vehicles_are_told_apart(folder, policy):
    path = folder / 'several'
    with BridgeBag(path, role='hero') as bag:
        bag.route(TICK, np.array([[float(x), 0.0] for x in range(200)]))
        for number in range(1, 21):
            write_tick(bag, number)
            bag.odometry(state(number + 30), role='other')
    result = result_of(path, policy)
    assert result['bags'][0]['topics']['odometry'] == '/carla/hero/odometry'
    assert result['bags'][0]['driven']['time_to_collision']['observed'] == 20
    with pytest.raises(BagError, match='no image'):
        assess([path], [policy], Options(role='other'))
    with pytest.raises(BagError, match='no messages on /nowhere'):
        assess([path], [policy], Options(topics={'image': '/nowhere'}))


def test_the_gate_ranks_a_steering_fault_first(folder, bag, policy, other):
    gate = folder / 'gate.yaml'
    reference = result_of(bag, policy)['open_loop']['A']['action_error']
    gate.write_text('thresholds:\n' + ''.join(
        f'  open_loop.A.action_error.{name}.mean: {{max: {1.3 * reference[name]["mean"] + 0.01}}}'
        '\n' for name in ('drive', 'steer')) + '  pictures.used: {min: 10}\n')
    for checkpoint, code in ((policy, 0), (other, 1)):
        out = folder / f'gate_{code}'
        assert evaluate_bag.main([str(bag), '--checkpoint', str(checkpoint), '--out', str(out),
                                  '--gate', str(gate), *QUICK]) == code
        suites = ElementTree.parse(out / 'junit.xml').getroot()
        assert suites.get('tests') == '3' and int(suites.get('failures')) >= code
        if code:
            first = suites.find('.//failure')
            assert first.get('message').startswith('open_loop.A.action_error.steer.mean')


def test_a_report_is_whole_or_not_there(folder, bag, policy, monkeypatch):
    out = folder / 'interrupted'

    def interrupt(*_, **__):
        raise KeyboardInterrupt
    arguments = [str(bag), '--checkpoint', str(policy), '--out', str(out), *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_bag, 'describe_run', interrupt)
        assert 'interrupted' in evaluate_bag.main(arguments)
    assert not out.exists() and not list(folder.glob('.interrupted*'))
    assert evaluate_bag.main(arguments) == 0
    assert 'exists already' in evaluate_bag.main(arguments)
    assert evaluate_bag.main([*arguments, '--force']) == 0
    (out / 'result.json').unlink()
    assert 'not replaced' in evaluate_bag.main([*arguments, '--force'])
    assert not list(folder.glob('.interrupted*'))


@pytest.mark.parametrize('change', ['no bag', 'no checkpoint', 'no gate', 'no pictures'])
def test_what_cannot_be_is_one_sentence(folder, bag, policy, change, tmp_path):
    bags = {'no bag': tmp_path / 'nowhere', 'no pictures': tmp_path / 'blind'}
    if change == 'no pictures':
        with BridgeBag(bags[change]) as blind:
            blind.odometry(state(1))
    arguments = [str(bags.get(change, bag)), '--out', str(tmp_path / 'out'), '--checkpoint',
                 str(tmp_path / 'none.pth' if change == 'no checkpoint' else policy)]
    if change == 'no gate':
        (tmp_path / 'gate.yaml').write_text('thresholds: {a: {most: 1}}')
        arguments += ['--gate', str(tmp_path / 'gate.yaml')]
    answer = evaluate_bag.main(arguments)
    assert isinstance(answer, str) and answer and '\n' not in answer
    assert not (tmp_path / 'out').exists()


def test_no_picture_that_can_be_used_is_an_error_with_a_report(folder, policy):
    with BridgeBag(folder / 'lonely') as bag:
        bag.route(TICK, np.array([[float(x), 0.0] for x in range(200)]))
        bag.odometry(state(1))
        for number in range(2, 12):
            write_tick(bag, number, odometry=False)
    out = folder / 'lonely_report'
    answer = evaluate_bag.main([str(folder / 'lonely'), '--checkpoint', str(policy), '--out',
                                str(out), '--pairing', 'exact'])
    assert answer.startswith('none of 10 pictures could be used') and '\n' not in answer
    result = json.loads((out / 'result.json').read_text())
    assert skipped(result) == {'no odometry of its time': 10}
    assert (out / 'report.html').is_file() and not (out / 'drive.mp4').exists()


def test_a_broken_bag_is_judged_by_what_is_left(folder, bag, policy):
    broken = shutil.copytree(bag, folder / 'broken')
    file = broken / 'drive.mcap'
    data = file.read_bytes()
    file.write_bytes(data[:len(data) * 2 // 3])
    result = result_of(broken, policy)
    assert 20 < result['pictures']['used'] < TICKS
    assert any('cut off' in loss for loss in result['bags'][0]['losses'])
