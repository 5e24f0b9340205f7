# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from bags: what is learned is what was driven, and a run of bags alone."""

import itertools
import json
import types

import numpy as np
import pytest
from run_content import differences, learned
import torch

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.evaluation.experience import Experience
from av_td3_ros.evaluation.topics import select
from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.policy import Policy
from av_td3_ros.simulation.env import TownEnv
from av_td3_ros.simulation.town import default_town, Town
from av_td3_ros.training import record_bag
from av_td3_ros.training.expert import Expert
from av_td3_ros.training.train import main as train_main, Trainer

pytestmark = pytest.mark.timeout(300)

TASK = TaskSettings(action=ActionSettings(repeat=2, max_steer=0.8))
BETWEEN = 100_000_000_000      # ns from one episode to the next


class RecordedEnv(TownEnv):
    """The environment, with everything that a bridge would publish of it in a bag."""

    def __init__(self, *arguments, bag, **options):
        self.bag, self.answered, self.control = bag, None, None
        super().__init__(*arguments, **options)

    def reset(self, **options):
        self.bag._start += BETWEEN
        self.answered, self.begun = None, True
        return super().reset(**options)

    def drive(self, control):
        self.control = control
        return super().drive(control)

    def _tick(self, with_image, collided=False):
        bag, tick = self.bag, super()._tick(True, collided)
        # Stamps go on where the environment's begin anew.
        state = tick.state.__class__(**{**vars(tick.state), 'stamp': tick.state.stamp + 1})
        if self.answered is not None:
            bag.command(self.answered, self.control)
        if self.begun:
            bag.route(state.stamp - 1, self.town.route(self.start, self.goal))
            self.begun = False
        bag.odometry(state)
        if collided:
            bag.collision(state.stamp, 7, (1.0, 0.0, 0.0))
        bag.image(state.stamp, tick.image)
        self.answered = state.stamp
        return tick if with_image else tick._replace(image=None)


@pytest.fixture(scope='module')
def town():
    return Town.load(default_town())


@pytest.fixture(scope='module')
def bag(town, tmp_path_factory):
    """Return a bag of two short routes that the expert drives, recorded as users do."""
    path = tmp_path_factory.mktemp('bags') / 'expert'
    record_bag.record(path, routes=2, seed=1, steps=60, town=town, lengths=(50.0, 80.0),
                      size=(96, 84))
    return path


def test_the_transitions_are_those_of_the_environment(town, tmp_path):
    """Observations, rewards and endings of a bag are what the environment gave meanwhile."""
    driven = []
    with BridgeBag(tmp_path / 'bag') as bag:
        env = RecordedEnv(town, bag=bag, image_size=(84, 84), settings=TASK, seed=3)
        expert = Expert(env)
        for number in range(3):
            observation, _ = env.reset(seed=number, options={'lengths': (30.0, 60.0)})
            driven.append((Kind.BEGIN, env.task.frame, observation['vector'], None, 0.0, None))
            ended, steps = False, 0
            while not ended:
                # The last one leaves the road.
                action = expert.act(observation) if number < 2 or steps < 10 \
                    else np.array([1.0, 0.5], np.float32)
                observation, reward, terminated, truncated, info = env.step(action)
                ended, steps = terminated or truncated, steps + 1
                driven.append((Kind.STEP, env.task.frame, observation['vector'], action, reward,
                               info['ending']))
    found = []
    with Bag(tmp_path / 'bag') as recorded:
        counts = np.bincount(recorded.index['topic'], minlength=len(recorded.topics))
        experience = Experience(recorded, select(recorded.topics, counts.tolist()),
                                DrivingTask(TASK, town.on_road), found.append)
        experience.run()
    assert [step[5] for step in driven if step[5]] == ['arrival', 'arrival', 'off_road']
    assert len(found) == len(driven) > 60 and not experience.driver.cuts
    assert experience.recording.account == {'used': experience.recording.count}
    for theirs, (kind, frame, vector, action, reward, ending) in zip(found, driven):
        assert theirs.kind is kind and np.array_equal(theirs.frame, frame)
        assert theirs.vector == pytest.approx(vector, abs=1e-6)
        assert theirs.reward == pytest.approx(reward, abs=1e-6)
        assert (theirs.ending and theirs.ending.value) == ending
        if action is not None:
            assert theirs.action == pytest.approx(action, abs=1e-6)


SMALL = {
    'algorithm.batch_size': 4, 'algorithm.buffer_size': 2000, 'training.threads': 1,
    'networks.actor.hidden_layers': '[16, 16]', 'networks.critic.hidden_layers': '[16, 16]',
    'simulation.image_width': 96, 'simulation.image_height': 84, 'episode.max_duration': 1.0,
    'evaluation.routes': 1, 'demonstrations.updates': 8, 'demonstrations.bags_town': 'town_a',
    'algorithm.imitation': 2.0, 'algorithm.actor_starts': 0}


@pytest.fixture
def train(town, bag, monkeypatch, tmp_path):
    """Return the command; the town is read once, and signals stay the test runner's."""
    for module in ('train', 'bags'):
        monkeypatch.setattr(f'av_td3_ros.training.{module}.Town.load', lambda path: town)
    monkeypatch.setattr('av_td3_ros.training.train.signal.signal', lambda *_: None)

    def command(out='run', *, bags=bag, steps=0, **settings):
        chosen = {**SMALL, 'demonstrations.bags': bags,
                  **{name.replace('__', '.'): value for name, value in settings.items()}}
        return train_main(['--out', str(tmp_path / out), '--steps', str(steps), '--seed', '1',
                           '--no-tensorboard',
                           *(part for name, value in chosen.items()
                             for part in ('--set', f'{name}={value}'))])
    return command


def checkpoint(out):
    return torch.load(out / 'checkpoints' / 'latest', weights_only=True)


class Killed(Exception):
    """The process ended here."""


def killed_at(monkeypatch, owner, name, count):
    """Have a method raise at its ``count``-th call."""
    calls, method = itertools.count(1), getattr(owner, name)

    def call(*arguments, **options):
        if next(calls) == count:
            raise Killed
        return method(*arguments, **options)
    monkeypatch.setattr(owner, name, call)


def test_a_run_of_bags_alone_and_one_that_is_killed(train, bag, tmp_path, monkeypatch):
    assert train('unbroken') == 0
    out = tmp_path / 'unbroken'
    content = checkpoint(out)
    report, = json.loads((out / 'bags.json').read_text())
    taken = report['transitions']
    assert 30 < taken == content['exploration']['demonstrations'] == content['extra']['recorded']
    assert content['exploration']['transitions'] == taken and content['total_it'] == 8
    assert sum(report['account'].values()) == report['pictures'] == 120
    assert Policy().load_checkpoint(out / 'best_policy.pth').total_it == 8
    assert Policy().load_checkpoint(out / 'last_policy.pth').total_it == 8
    episodes = [json.loads(line) for line in (out / 'episodes.jsonl').read_text().splitlines()]
    assert sum(episode['steps'] for episode in episodes) == taken
    assert len(episodes) == sum(report['episodes'].values()) == content['extra']['episode']

    # Killed while it reads, in its first update, and in the sixth: with a checkpoint after each.
    for owner, name, count in ((Learner, 'demonstrate', 30), (Learner, 'update', 1),
                               (Learner, 'update', 6)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr('av_td3_ros.training.train.time', types.SimpleNamespace(
                monotonic=itertools.count(step=1000).__next__))
            killed_at(patch, owner, name, count)
            train('broken')
    assert checkpoint(tmp_path / 'broken')['total_it'] == 5
    assert train('broken') == 0
    assert not differences(learned(content), learned(checkpoint(tmp_path / 'broken')))
    # All of it is there: the bag is not needed any more, and nothing is read anew.
    assert train('broken', steps=taken + 5, algorithm__imitation=2.0) == 0
    content = checkpoint(tmp_path / 'broken')
    after = content['exploration']
    assert after['demonstrations'] == taken and after['transitions'] >= taken + 5
    # It drives by what it was shown and goes on learning, however many random ones a beginner has.
    assert after['transitions'] < 3000 and content['total_it'] > 8


def test_stopping_while_bags_are_read_keeps_nothing_of_them(train, tmp_path, monkeypatch):
    reading = Trainer._reading

    def signalled(trainer):
        # Commands and stamps are read first.
        trainer._stop = trainer.run.learner.transitions > 10
        reading(trainer)
    monkeypatch.setattr(Trainer, '_reading', signalled)
    assert train('stopped') == 0
    assert checkpoint(tmp_path / 'stopped')['exploration']['transitions'] == 0
    assert not (tmp_path / 'stopped' / 'last_policy.pth').exists()


def test_bags_and_the_classical_driver_together(train, tmp_path):
    assert train('both', demonstrations__transitions=12, demonstrations__updates=2) == 0
    content = checkpoint(tmp_path / 'both')
    assert content['total_it'] == 2
    assert content['exploration']['demonstrations'] >= content['extra']['recorded'] + 12


def test_bags_that_cannot_be_learned_from_are_named(train, bag, tmp_path):
    assert 'demonstrations.bags' in train(bags='nowhere') and 'nowhere does not exist' in train(
        bags='nowhere')
    sentence = train(simulation__image_width=160, simulation__image_height=90)
    assert 'pictures of 96x84' in sentence and '160x90' in sentence \
        and 'simulation.image_width' in sentence
    assert 'town_z' in train(demonstrations__bags_town='town_z')
    assert 'of truck' in train(demonstrations__bags_role='truck')
    with BridgeBag(tmp_path / 'silent') as silent:
        silent.route(1, np.array([[0.0, 0.0], [50.0, 0.0]]))
        env = RecordedEnv(default_town(), bag=Muted(silent), image_size=(96, 84), settings=TASK)
        env.reset()
    sentence = train(bags=f'{bag},{tmp_path / "silent"}')
    assert 'silent has no commands' in sentence and 'vehicle_control_cmd' in sentence
    # Nothing is left, so that the same folder can be used once the setting is right.
    assert not (tmp_path / 'run').exists()


class Muted:
    """A bag that no command is written to."""

    def __init__(self, bag):
        self._bag, self._start = bag, 0

    def __getattr__(self, name):
        return getattr(self._bag, name)

    def command(self, *_):
        """Write nothing."""
