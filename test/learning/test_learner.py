# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The learner: the ratio of updates, determinism, and a resume that is exact."""

import warnings

from agents import fingerprint
import numpy as np
import pytest
import torch

from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder
from av_td3_ros.learning.learner import Learner, LearnerSettings, TrainingSettings
from av_td3_ros.learning.settings import AlgorithmSettings, HeadSettings, NetworkSettings
from av_td3_ros.settings import as_dict


def settings(ratio=0.5, **algorithm):
    values = {'learning_starts': 10, 'batch_size': 4, 'buffer_size': 200, 'seed': 3, **algorithm}
    return LearnerSettings(
        AlgorithmSettings(**values),
        NetworkSettings(actor=HeadSettings(hidden_layers=(16, 16)),
                        critic=HeadSettings(hidden_layers=(16, 16))),
        TrainingSettings(updates_per_step=ratio, threads=1))


def make(folder=None, **changes):
    made = settings(**changes)
    return Learner(made, as_dict(made), other_sections=('training',),
                   replay_directory=None if folder is None else folder / 'replay')


class Experience:
    """Two vehicles' experience, the same for the same seed, that can be taken up anywhere."""

    def __init__(self, learner, rng=None):
        self.learner, self.rng = learner, rng or np.random.default_rng(0)
        self.number = 0

    def frame(self):
        return self.rng.integers(0, 256, (84, 84), dtype=np.uint8)

    def vector(self):
        return self.rng.standard_normal(23).astype(np.float32)

    def go(self, count):
        for _ in range(count):
            stream = self.number % 2
            if self.number % 24 in (0, 1):
                self.learner.begin(stream, self.frame(), self.vector())
            else:
                self.learner.add(stream, self.rng.uniform(-1, 1, 2).astype(np.float32),
                                 float(self.rng.random()), self.number % 48 in (22, 23),
                                 self.number % 48 in (46, 47), self.frame(), self.vector())
            self.number += 1
            while self.learner.due:
                self.learner.update()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('ratio, updates', [(0.0, 0), (0.25, 5), (0.5, 10), (2.0, 40)])
def test_updates_follow_the_set_ratio(ratio, updates):
    learner = make(ratio=ratio)
    learner.begin(0, np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
    done = []
    for number in range(30):
        learner.add(0, np.zeros(2, np.float32), 0.0, False, False,
                    np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
        assert learner.learning == (number >= 10)
        while learner.due:
            learner.update()
        done.append(learner.agent.total_it)
    assert done[9] == 0 and done[-1] == updates
    assert learner.transitions == 30


def test_the_same_experience_gives_the_same_weights():
    found = []
    for _ in range(2):
        learner = make()
        Experience(learner).go(60)
        found.append(fingerprint(learner.agent))
        torch.manual_seed(99)   # whatever else happens in the process
    assert found[0] == found[1]
    other = make(seed=4)
    Experience(other).go(60)
    assert fingerprint(other.agent) != found[0]


@pytest.mark.parametrize('cut', [5, 24, 37, 61])
def test_a_resume_is_exact_wherever_it_is_cut(tmp_path, cut):
    unbroken = make(tmp_path / 'unbroken')
    Experience(unbroken).go(90)
    first = make(tmp_path / 'cut')
    begun = Experience(first)
    begun.go(cut)
    folder = CheckpointFolder(tmp_path / 'checkpoints')
    folder.save(first.agent, **first.parts({'note': 1}))
    # What comes after the save, and is lost with the process.
    rng, number = np.random.default_rng(0), begun.number
    rng.bit_generator.state = begun.rng.bit_generator.state
    begun.go(7)
    first.close()
    second = make(tmp_path / 'cut')
    loaded = second.load(folder)
    assert loaded.extra == {'note': 1} and loaded.warnings == ()
    resumed = Experience(second, rng)
    resumed.number = number
    resumed.go(90 - cut)
    assert second.transitions == unbroken.transitions
    assert fingerprint(second.agent) == fingerprint(unbroken.agent)
    assert torch.equal(second.replay.sample(8).action, unbroken.replay.sample(8).action)
    for learner in (second, unbroken):
        learner.close()


def test_a_refused_load_changes_nothing(tmp_path):
    learner = make(tmp_path)
    Experience(learner).go(40)
    folder = CheckpointFolder(tmp_path / 'checkpoints')
    (tmp_path / 'checkpoints' / 'bad.pth').write_bytes(b'PK\x03\x04' + bytes(300))
    before = fingerprint(learner.agent), learner.state_dict(), len(learner.replay)
    with pytest.raises(CheckpointError):
        learner.load(folder, 'bad')
    assert (fingerprint(learner.agent), learner.state_dict(), len(learner.replay)) == before
    learner.close()


def test_the_agent_of_another_run_without_its_experience(tmp_path):
    first = make()
    Experience(first).go(60)
    path = tmp_path / 'whole.pth'
    first.agent.save_checkpoint(path, extra={})
    second = make(learning_rate=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        second.start_from(path)
    assert second.agent.total_it == first.agent.total_it and second.transitions == 0
    for name, network in first.agent.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, getattr(second.agent, name).state_dict()[key])
    # Its own settings stay, and it acts by the policy at once.
    assert second.agent.settings.algorithm.learning_rate == 1e-4
    assert second.acting and not second.learning and len(second.replay) == 0


def test_what_cannot_be_made_up_is_forgiven():
    learner = make(ratio=2.0)
    learner.begin(0, np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
    for _ in range(60):
        learner.add(0, np.zeros(2, np.float32), 0.0, False, False,
                    np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
    assert learner.due == 100 and learner.forgive(30) == 70 and learner.due == 30
    assert learner.forgive(30) == 0


def test_abandoned_episodes_are_not_gone_on_with():
    learner = make()
    for stream in (0, 5):
        learner.begin(stream, np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
    learner.abandon_all()
    assert not learner.replay.open_episodes
    with pytest.raises(ValueError, match='no open episode'):
        learner.add(5, np.zeros(2, np.float32), 0.0, False, False,
                    np.zeros((84, 84), np.uint8), np.zeros(23, np.float32))
    assert learner.transitions == 0


def demonstrate(learner, count):
    experience = Experience(learner)
    kept, learner.add = learner.add, learner.demonstrate
    try:
        experience.go(count)
    finally:
        learner.add = kept
    return experience


def test_demonstrations_are_marked_and_make_no_update_due():
    learner = make(imitation=0.4, learning_starts=10)
    shown = demonstrate(learner, 48)
    assert learner.demonstrations == learner.transitions == 44 and learner.due == 0
    assert learner.learning
    learner.owe(3)
    assert learner.due == 3
    assert 'imitation_loss' in [learner.update(), learner.update()][1]
    Experience(learner, shown.rng).go(48)
    marked = []
    learner.agent.update = lambda batch, demonstrated: marked.append(
        (demonstrated.numpy().copy(), batch.rows.copy()))
    for _ in range(50):
        learner.update()
    flags, rows = (np.concatenate(part) for part in zip(*marked))
    assert np.array_equal(flags, rows < 48) and 0.3 < flags.mean() < 0.7
    with pytest.raises(RuntimeError, match='before other experience'):
        learner.demonstrate(0, np.zeros(2), 0.0, False, False, np.zeros((84, 84), np.uint8),
                            np.zeros(23))


def test_mistakes_among_demonstrations_are_learned_from_and_not_imitated(tmp_path):
    learner = make(tmp_path, imitation=0.4)
    frame, vector = np.zeros((84, 84), np.uint8), np.zeros(23)
    learner.begin(0, frame, vector)
    for number in range(40):
        # The action tells which it is.
        wrong = number % 3 == 1
        learner.demonstrate(0, np.full(2, -0.5 if wrong else 0.5), 1.0, False, number % 13 == 12,
                            frame, vector, exemplary=not wrong)
        if number % 13 == 12:
            learner.begin(0, frame, vector)
    folder = CheckpointFolder(tmp_path / 'checkpoints')
    folder.save(learner.agent, **learner.parts({}))
    learner.close()
    again = make(tmp_path, imitation=0.4)
    again.load(folder)
    marked = []
    again.agent.update = lambda batch, demonstrated: marked.append((
        demonstrated.numpy(), batch.action.numpy()[:, 0] > 0.0))
    for _ in range(20):
        again.update()
    flags, good = (np.concatenate(part) for part in zip(*marked))
    assert np.array_equal(flags, good) and 0.5 < flags.mean() < 0.8
    again.close()


def test_what_was_demonstrated_is_known_after_a_resume(tmp_path):
    learner = make(tmp_path, imitation=0.4)
    demonstrate(learner, 48)
    folder = CheckpointFolder(tmp_path / 'checkpoints')
    folder.save(learner.agent, **learner.parts({}))
    learner.close()
    again = make(tmp_path, imitation=0.4)
    again.load(folder)
    assert again.demonstrations == 44
    again.owe(2)
    assert 'imitation_loss' in [again.update(), again.update()][1]
    # A state of a version that knew no demonstrations.
    state = {name: value for name, value in again.state_dict().items()
             if not name.startswith('demonstrat')}
    again.load_state_dict(state)
    assert again.demonstrations == 0
    again.close()


def test_the_return_of_the_last_episodes(tmp_path):
    learner, rng = make(tmp_path, learning_starts=1000), np.random.default_rng(0)

    def drive(stream, *rewards, whole=True):
        seen = rng.integers(0, 256, (84, 84), dtype=np.uint8), np.zeros(23, np.float32)
        learner.begin(stream, *seen)
        for left, reward in zip(range(len(rewards) - 1, -1, -1), rewards):
            learner.add(stream, np.zeros(2, np.float32), reward, not left and whole, False, *seen)
    for number in range(19):
        drive(0, 1.0, float(number))
    drive(0, 5.0, whole=False)
    learner.abandon(0)
    assert learner.recent_return is None
    drive(1, 1.0, 1.0, 18.0)
    assert learner.recent_return == sum(range(1, 21)) / 20
    drive(0, 21.0)
    assert learner.recent_return == sum(range(2, 22)) / 20
    folder = CheckpointFolder(tmp_path)
    folder.save(learner.agent, evaluation=learner.recent_return, **learner.parts({}))
    learner.load(folder)
    assert learner.recent_return is None
