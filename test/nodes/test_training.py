# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training node over DDS: experience counted, weights given, true answers."""

import json
import signal
import subprocess

import numpy as np
import pytest
from stack import Diagnosed, hear_progress, LEARNER, Lifecycle, POLICY, Service, START, TRAINER
from std_msgs.msg import String, UInt8MultiArray
from support import make_graph
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import torch

from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.learning.policy import Policy
from av_td3_ros.ros import experience, qos, weights

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

EXPERIENCE = 'av_td3_trainer: experience'
LEARNING = 'av_td3_trainer: learning'


class Vehicle:
    """A vehicle's stream of experience, made up."""

    def __init__(self, ros, stream):
        self.send_bytes = ros.publisher(UInt8MultiArray, f'{TRAINER}/experience',
                                        qos.EXPERIENCE, timeout=START)
        self.stream, self.sequence, self.episode = stream, 0, 0
        self._rng = np.random.default_rng(stream)

    def item(self, kind=Kind.STEP, ending=None, **changes):
        rng = self._rng
        values = {
            'kind': kind, 'episode': self.episode, 'stamp': self.sequence * 50_000_000,
            'frame': rng.integers(0, 256, (84, 84), dtype=np.uint8),
            'vector': rng.standard_normal(23).astype(np.float32),
            'action': rng.uniform(-1.0, 1.0, 2).astype(np.float32),
            'reward': float(rng.random()), 'terms': RewardTerms(progress=0.4), 'ending': ending}
        return experience.Experience(self.stream, self.sequence, 0,
                                     Transition(**{**values, **changes}))

    def send(self, kind=Kind.STEP, ending=None, **changes):
        data = experience.encode(self.item(kind, ending, **changes))
        self.sequence += 1
        self.send_bytes(UInt8MultiArray(data=data))
        return data

    def drive(self, steps):
        """Send an episode with so many transitions."""
        self.send(Kind.BEGIN)
        for number in range(steps):
            self.send(ending=Ending.ARRIVAL if number == steps - 1 else None)
        self.episode += 1


class Trainer:
    """A training node, and what it says."""

    def __init__(self, ros, folder, **parameters):
        self.ros, self.folder = ros, folder
        self.diagnosed = Diagnosed(ros)
        self.progress = hear_progress(ros)
        self.parameters = {**LEARNER, 'checkpoint_dir': str(folder), **parameters}
        self.start()
        self.save = Service(ros, f'{TRAINER}/save_checkpoint')
        self.load = Service(ros, f'{TRAINER}/load_checkpoint')

    def start(self):
        self.process = self.ros.start('training', self.parameters)

    def counts(self, **wanted):
        """Wait until the counts of the experience are these, and return all of them."""
        return self.diagnosed.wait_for(
            EXPERIENCE, lambda values: all(values.get(name) == str(value)
                                           for name, value in wanted.items()), f'{wanted}')

    def learned(self, transitions):
        """Wait until so many transitions were learned from, at the set ratio."""
        updates = max(0, (transitions - 20) // 2)
        return self.diagnosed.wait_for(
            LEARNING, lambda values: int(values['transitions']) == transitions
            and int(values['updates']) == updates, f'{transitions} transitions', 60.0)

    def assign(self, name, value):
        """Set a parameter as a user would."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter
        client = self.ros.node.create_client(SetParameters, f'{TRAINER}/set_parameters')
        self.ros.wait_for(client.service_is_ready, 'the parameter services', 20.0)
        future = client.call_async(SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]))
        self.ros.wait_for(future.done, 'an answer', 20.0)
        result = future.result().results[0]
        self.ros.node.destroy_client(client)
        return result


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
    assert values['vehicles'] == '0'
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
                 json.dumps({'stream': 5, 'role': 'a', 'networks': 'nonsense', 'reward': 7})):
        task(String(data=text))
    trainer.diagnosed.wait_for(EXPERIENCE, lambda v: v['vehicles'] == '1', 'the last task')
    assert trainer.diagnosed.fresh(EXPERIENCE)['received'] == before
    assert trainer.process.code is None
    assert trainer.process.output.count('experience refused') == 1


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


def test_two_calls_at_once_are_both_answered(trainer, vehicle):
    saved = trainer.save()      # there is something to load
    assert saved.success, saved.message
    vehicle.drive(20)       # there is something to learn meanwhile
    futures = [service.send() for service in (trainer.save, trainer.save, trainer.load)]
    answers = [trainer.save.wait(future) for future in futures]
    assert all(answer.message for answer in answers) and answers[0].success
    for answer in answers:
        assert answer.success or 'under way' in answer.message, answer.message


def test_after_a_load_an_open_episode_is_not_gone_on_with(trainer, vehicle):
    saved = trainer.save()
    assert saved.success, saved.message
    counts = trainer.diagnosed.fresh(EXPERIENCE)
    unused = int(counts['without_beginning'])
    vehicle.send(Kind.BEGIN)
    vehicle.send()
    trainer.counts(received=int(counts['received']) + 2)
    answer = trainer.load()
    assert answer.success, answer.message
    for _ in range(3):
        vehicle.send()
    trainer.counts(without_beginning=unused + 3)
    vehicle.send(Kind.BEGIN)
    before = int(trainer.diagnosed.fresh(LEARNING)['transitions'])
    vehicle.send(ending=Ending.OFF_ROAD)
    trainer.learned(before + 1)


def test_a_folder_that_cannot_be_written_to(trainer, vehicle):
    """A file stands where the folder was; then it comes back, and nothing was lost."""
    aside = trainer.folder.with_name('aside')
    trainer.folder.rename(aside)
    trainer.folder.write_text('in the way')
    try:
        answer = trainer.save()
        assert not answer.success and trainer.save.took < 5.0
        assert 'ENOTDIR' in answer.message or 'EEXIST' in answer.message, answer.message
    finally:
        trainer.folder.unlink()
        aside.rename(trainer.folder)
    vehicle.drive(4)
    answer = trainer.save()
    assert answer.success, answer.message


def test_a_full_disk(trainer):
    """Files may not grow beyond a megabyte: as on a full disk, the write fails half way."""
    import resource
    before = sorted(path.name for path in trainer.folder.iterdir())
    old = resource.prlimit(trainer.process.pid, resource.RLIMIT_FSIZE, (1 << 20, -1))
    try:
        answer = trainer.save()
    finally:
        resource.prlimit(trainer.process.pid, resource.RLIMIT_FSIZE, old)
    assert not answer.success and 'EFBIG' in answer.message, answer.message
    assert sorted(path.name for path in trainer.folder.iterdir()) == before
    assert trainer.save().success and trainer.load().success


@pytest.fixture
def small_disk(trainer):
    """Lay a disk of 64 kB over the folder of the checkpoints."""
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', trainer.folder],
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f'no file system can be mounted here: {mounted.stderr.strip()}')
    try:
        yield
    finally:
        subprocess.run(['umount', '--lazy', trainer.folder], check=True)


def test_learning_goes_on_beside_a_disk_that_is_full(trainer, vehicle, small_disk):
    before = int(trainer.diagnosed.fresh(LEARNING)['transitions'])
    futures = [trainer.save.send() for _ in range(2)]
    vehicle.drive(6)
    for future in futures:
        answer = trainer.save.wait(future)
        assert not answer.success
        assert 'ENOSPC' in answer.message or 'under way' in answer.message, answer.message
    answer = trainer.save()
    assert not answer.success and 'ENOSPC (No space left on device)' in answer.message
    assert list(trainer.folder.iterdir()) == []
    trainer.learned(before + 6)
    with open(trainer.folder / 'whatever', 'wb') as file, pytest.raises(OSError, match='space'):
        file.write(bytes(1 << 20))
    answer = trainer.save()
    assert not answer.success and 'ENOSPC' in answer.message, answer.message


def test_saving_works_again_when_there_is_room(trainer):
    answer = trainer.save()
    assert answer.success, answer.message
    assert not [path for path in trainer.folder.iterdir() if path.suffix == '.tmp']
    assert trainer.load().success


# Both nodes

@pytest.fixture(scope='module')
def policy(graph, trainer):
    """Return the services of a policy node that names the training node."""
    graph.start('policy', {})
    return {name: Service(graph, f'{POLICY}/{name}')
            for name in ('save_checkpoint', 'load_checkpoint')}


def test_the_policy_nodes_services_pass_the_answer_on(trainer, policy):
    answer = policy['save_checkpoint']()
    assert answer.success and str(trainer.folder) in answer.message
    answer = policy['load_checkpoint']()
    assert answer.success, answer.message
    # It drives with the loaded weights by then.
    version = weights.version_in(answer.message)
    assert version > 0
    trainer.diagnosed.wait_for('av_td3_policy: weights',
                               lambda values: int(values.get('version', 0)) >= version,
                               'the loaded weights')
    answers = [policy['save_checkpoint'].wait(policy[name].send())
               for name in ('save_checkpoint', 'load_checkpoint')]
    assert all(answer.success for answer in answers)


@pytest.mark.parametrize('name', ['save_checkpoint', 'load_checkpoint'])
def test_a_training_node_that_hangs_is_told_of_in_time(trainer, policy, name):
    trainer.process.send(signal.SIGSTOP)
    try:
        answer = policy[name](within=6.0)
    finally:
        trainer.process.send(signal.SIGCONT)
    assert not answer.success and policy[name].took < 5.0
    assert 'did not answer within' in answer.message
    trainer.ros.wait_for(lambda: policy['save_checkpoint']().success, 'all well again', 20.0)


def test_cleaning_up_while_a_service_waits_is_no_crash(trainer, policy):
    """The training node hangs, the policy node is cleaned up amid the call, and configured."""
    from lifecycle_msgs.msg import Transition as Change
    lifecycle = Lifecycle(trainer.ros)
    trainer.process.send(signal.SIGSTOP)
    try:
        policy['save_checkpoint'].send()
        trainer.ros.spin(0.5)
        assert lifecycle.change(Change.TRANSITION_DEACTIVATE)
        assert lifecycle.change(Change.TRANSITION_CLEANUP)
        trainer.ros.spin(0.5)
    finally:
        trainer.process.send(signal.SIGCONT)
    assert lifecycle.change(Change.TRANSITION_CONFIGURE)
    assert lifecycle.change(Change.TRANSITION_ACTIVATE) and lifecycle.state == 'active'
    trainer.ros.wait_for(lambda: policy['save_checkpoint'](10.0).success, 'all well again', 30.0)


def test_a_training_node_that_dies_amid_a_call_loses_nothing(trainer, policy, vehicle):
    vehicle.drive(6)
    answer = policy['save_checkpoint']()
    assert answer.success
    saved = (trainer.folder / 'latest').resolve().read_bytes()
    trainer.process.send(signal.SIGSTOP)
    future = policy['save_checkpoint'].send()
    trainer.ros.spin(0.3)
    trainer.process.kill()
    answer = policy['save_checkpoint'].wait(future)
    assert not answer.success and answer.message
    assert (trainer.folder / 'latest').resolve().read_bytes() == saved
    # Started again it goes on from there.
    trainer.start()
    trainer.ros.wait_for(lambda: 'resumed from' in trainer.process.output, 'the resume', START)
    trainer.ros.wait_for(lambda: policy['load_checkpoint'](6.0).success, 'a load', 30.0)


def test_sigterm_saves_and_ends(trainer, vehicle):
    """Last in this file: the process ends."""
    begun = trainer.ros.wait_for(lambda: trainer.diagnosed.values(LEARNING), 'diagnostics')
    assert begun
    assert trainer.process.stop(timeout=9.0) == 0
    assert 'saved' in trainer.process.output.splitlines()[-1]
