# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training node in trouble: calls at once, full disks, nodes that hang or die."""

from concurrent.futures import Future
import signal
import subprocess
import types

import pytest
from stack import Lifecycle, POLICY, Service, START
from support import make_graph
from training_side import EXPERIENCE, LEARNING, Trainer, Vehicle

from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.episode import Ending
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.nodes import training
from av_td3_ros.nodes.paths import expand
from av_td3_ros.ros import weights
from av_td3_ros.settings import SettingsError

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('trouble'))


@pytest.fixture(scope='module')
def trainer(graph, tmp_path_factory):
    root = tmp_path_factory.mktemp('root')
    return Trainer(graph, root / 'checkpoints', publish_every=10)


@pytest.fixture(scope='module')
def vehicle(graph, trainer):
    return Vehicle(graph, 1111)


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
    # What was sent before may still be on its way: what a burst loses is sent again seconds later.
    trainer.counts(received=vehicle.sequence)
    unused = int(trainer.diagnosed.fresh(EXPERIENCE)['without_beginning'])
    vehicle.send(Kind.BEGIN)
    vehicle.send()
    trainer.counts(received=vehicle.sequence)
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


@pytest.mark.parametrize('name', ['_on_save', '_on_load'])
def test_what_fails_after_its_answer_was_given_is_logged(monkeypatch, name):
    """The answer of a call that takes too long says that the log tells how it ended."""
    monkeypatch.setattr(training, '_SERVICE_SECONDS', 0.02)
    job, logged = Future(), []
    logger = types.SimpleNamespace(error=logged.append, info=logged.append)

    class Node(training.TrainingNode):
        """The services alone."""

        def __init__(self):
            self.settings = types.SimpleNamespace(save_name='', load_name='')
            self._worker = types.SimpleNamespace(submit=lambda *_, **__: job)

        def get_logger(self):
            return logger

    answer = getattr(Node(), name)(None, training.Trigger.Response())
    assert not answer.success and 'the log tells how it ended' in answer.message
    if name == '_on_save':      # the snapshot was taken late, and then the disk is full
        written = Future()
        job.set_result(written)
    else:
        written = job
    written.set_exception(CheckpointError('ENOSPC'))
    assert len(logged) == 2 and 'has failed: ENOSPC' in logged[1]


def test_a_home_that_nobody_has_is_said_with_its_parameter():
    with pytest.raises(SettingsError, match='^log_dir ~nobody-here/x: '):
        expand('log_dir', '~nobody-here/x')
