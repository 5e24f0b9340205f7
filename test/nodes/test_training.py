# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training node over DDS: experience counted, weights given, files named."""

import json

import numpy as np
import pytest
from stack import TRAINER
from std_msgs.msg import String, UInt8MultiArray
from support import make_graph
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import torch
from training_side import EXPERIENCE, LEARNING, Trainer, Vehicle

from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.episode import Ending
from av_td3_ros.learning.policy import Policy
from av_td3_ros.ros import experience, qos, weights

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('training'))


@pytest.fixture(scope='module')
def trainer(graph, tmp_path_factory):
    root = tmp_path_factory.mktemp('root')
    return Trainer(graph, root / 'checkpoints', publish_every=10, log_dir=str(root / 'events'))


@pytest.fixture(scope='module')
def vehicle(graph, trainer):
    return Vehicle(graph, 1111)


def test_experience_is_learned_from_at_the_set_ratio(trainer, vehicle):
    vehicle.drive(30)
    trainer.learned(30)
    values = trainer.counts(received=31, lost=0, doubled=0, without_beginning=0, arrival=1)
    assert values['vehicles'] == '1'
    assert trainer.diagnosed(EXPERIENCE).message == 'complete'


def test_a_policy_node_that_starts_later_gets_the_newest_weights_at_once(trainer):
    heard = trainer.ros.subscribe(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS)
    trainer.ros.wait_for(lambda: heard, 'weights', 10.0)
    found = weights.decode(heard[-1].data)
    policy = Policy()
    info = policy.load(found.policy)
    assert found.iteration == info.total_it and found.version == info.version > 0
    trainer.ros.wait_for(lambda: trainer.progress, 'progress')
    assert trainer.progress[-1].version == found.version
    action = policy.act({'image': np.zeros((4, 84, 84), np.uint8),
                         'vector': np.zeros(23, np.float32)})
    assert action.shape == (2,) and np.isfinite(action).all()


def test_what_is_lost_or_comes_twice_is_counted_and_not_learned_from(trainer, vehicle):
    before = int(trainer.learned(30)['transitions'])
    vehicle.send(Kind.BEGIN)
    for _ in range(3):
        data = vehicle.send()
    vehicle.send_bytes(UInt8MultiArray(data=data))      # the same again
    vehicle.sequence += 2                               # two that never arrive
    for _ in range(4):
        vehicle.send()                                  # bridge the gap: not used
    vehicle.episode += 1
    vehicle.drive(5)
    trainer.counts(lost=2, doubled=1, without_beginning=4)
    trainer.learned(before + 3 + 5)
    assert trainer.diagnosed(EXPERIENCE).level == b'\x01'
    assert '2 experiences of vehicle 0 were lost' in trainer.process.output


def test_several_vehicles_interleave(trainer, graph, vehicle):
    before = int(trainer.diagnosed.fresh(LEARNING)['transitions'])
    others = [Vehicle(graph, stream) for stream in (7, 8)]
    for other in others:
        other.send(Kind.BEGIN)
    for number in range(6):
        for other in others:
            other.send(ending=Ending.TIME if number == 5 else None)
    trainer.learned(before + 12)
    trainer.counts(lost=2, doubled=1)


def test_bytes_that_are_no_experience_are_refused(trainer, vehicle):
    before = trainer.diagnosed.fresh(EXPERIENCE)['received']
    good = bytes(experience.encode(vehicle.item()))
    for bad in (b'', b'x', good[:-1], good + b'x', b'NOPE' + good[4:], b'\xff' * len(good)):
        vehicle.send_bytes(UInt8MultiArray(data=bad))
    task = trainer.ros.publisher(String, f'{TRAINER}/task', qos.TASK)
    for text in ('', '[]', '{"stream": 1}', '{"stream": "x", "role": 1}', 'null',
                 '{"stream": Infinity, "role": "a"}', '[' * 100_000,
                 json.dumps({'stream': 5, 'role': 'a', 'networks': 'nonsense', 'reward': 7}),
                 json.dumps({'stream': 6, 'role': 'last', 'reward': {'progress': 1.0}})):
        task(String(data=text))
    trainer.ros.wait_for(lambda: 'last learns another task' in trainer.process.output,
                         'the last task')
    assert trainer.diagnosed.fresh(EXPERIENCE)['received'] == before
    assert trainer.process.code is None
    assert trainer.process.output.count('experience refused') == 1


def test_vehicles_that_are_gone_are_not_counted(trainer, vehicle):
    # This process has the publishers of three.
    trainer.diagnosed.wait_for(EXPERIENCE, lambda v: v['vehicles'] == '3', 'three vehicles')
    more = trainer.ros.node.create_publisher(
        UInt8MultiArray, f'{TRAINER}/experience', qos.EXPERIENCE)
    trainer.diagnosed.wait_for(EXPERIENCE, lambda v: v['vehicles'] == '4', 'one more')
    trainer.ros.node.destroy_publisher(more)
    trainer.diagnosed.wait_for(EXPERIENCE, lambda v: v['vehicles'] == '3', 'one less')


def test_versions_go_on_above_those_of_a_trainer_whose_clock_was_ahead(trainer, vehicle):
    heard = trainer.ros.subscribe(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS)
    trainer.ros.wait_for(lambda: heard, 'weights', 10.0)
    ahead = weights.decode(heard[-1].data).version + 3_600_000_000
    vehicle.weights = ahead
    vehicle.send(Kind.BEGIN)
    trainer.ros.wait_for(lambda: weights.decode(heard[-1].data).version > ahead,
                         'weights that the vehicle takes')
    vehicle.weights = (1 << 64) - 1     # that is none
    vehicle.send(ending=Ending.TIME)
    trainer.ros.wait_for(lambda: trainer.progress[-1].version > ahead, 'progress')
    assert trainer.progress[-1].version < ahead + 3_600_000_000
    vehicle.weights = 0


def test_a_save_is_durable_and_names_file_and_iteration(trainer):
    answer = trainer.save()
    assert answer.success and trainer.save.took < 5.0
    total = int(trainer.diagnosed.fresh(LEARNING)['updates'])
    path = trainer.folder / f'td3_{total:09d}.pth'
    assert str(path) in answer.message and f'iteration {total}' in answer.message
    content = torch.load(path, weights_only=True)
    assert content['total_it'] == total
    # A task with sections that are none did no harm.
    assert isinstance(content['config']['networks'], dict)
    assert (trainer.folder / 'latest').resolve() == path


def test_tensorboard_is_told(trainer):
    """Whatever led to a checkpoint is in the event files by then."""
    events = EventAccumulator(str(trainer.folder.parent / 'events'))
    events.Reload()
    first = {tag: (events.Scalars(tag)[0].step, events.Scalars(tag)[0].value)
             for tag in events.Tags()['scalars']}
    assert first['episode/success'] == (30, 1.0) and first['episode/steps'] == (30, 30.0)
    assert first['terms/progress'] == (30, pytest.approx(30 * 0.4))
    assert first['episode/duration'] == (30, pytest.approx(30 * 0.05))
    # Lost experience leaves episodes without a figure: 34 to 38 is the next whole one.
    assert events.Scalars('episode/return')[1].step == 38
    assert {'values/overestimation', 'values/q1'} <= set(first)


def test_names_are_read_at_the_moment_of_the_call(trainer):
    assert trainer.assign('save_name', 'mine').successful
    answer = trainer.save()
    assert answer.success and str(trainer.folder / 'mine.pth') in answer.message
    assert trainer.assign('load_name', 'mine').successful
    answer = trainer.load()
    assert answer.success and 'mine.pth' in answer.message, answer.message
    assert not trainer.assign('checkpoint_dir', '/elsewhere').successful


@pytest.mark.parametrize('name', ['../out', '/tmp/out', 'a/../../out', '.hidden', 'latest'])
def test_names_that_lead_elsewhere_are_refused(trainer, name):
    assert trainer.assign('save_name', name).successful
    answer = trainer.save()
    assert not answer.success and answer.message
    assert not (trainer.folder.parent / 'out.pth').exists()
    trainer.assign('save_name', '')


@pytest.mark.parametrize('name, said', [
    ('nothing', 'does not exist'), ('../x', 'no name'), ('damaged', 'refused')])
def test_what_cannot_be_loaded_is_said_and_nothing_changes(trainer, name, said):
    (trainer.folder / 'damaged.pth').write_bytes(b'PK\x03\x04' + bytes(5000))
    before = trainer.diagnosed.fresh(LEARNING)
    trainer.assign('load_name', name)
    answer = trainer.load()
    assert not answer.success and said in answer.message, answer.message
    trainer.assign('load_name', 'latest')
    after = trainer.diagnosed.fresh(LEARNING)
    assert after['updates'] == before['updates'] and trainer.process.code is None


def test_a_save_remembers_how_well_the_last_episodes_went(trainer, vehicle):
    known = int(trainer.diagnosed.fresh(LEARNING)['transitions'])
    for _ in range(20):
        vehicle.drive(1)
    trainer.diagnosed.wait_for(
        LEARNING, lambda values: int(values['transitions']) == known + 20, 'the episodes', 60.0)
    assert trainer.save().success
    kept = json.loads((trainer.folder / 'evaluations.json').read_text())
    assert 0.0 < kept[(trainer.folder / 'latest').resolve().name] < 1.0
