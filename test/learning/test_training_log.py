# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training's log says of a learner, and that the learner learns as if it were not there."""

import logging
from pathlib import Path
import re

from agents import batch_for, fingerprint, flat_agent, image_agent
from events_support import read
import numpy as np
import pytest
import torch
from torch import nn

from av_td3_ros.driving.figures import episode_figures
from av_td3_ros.driving.reward import TERMS
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder
from av_td3_ros.learning.encoders import get_cnn_extractor
from av_td3_ros.learning.learner import Learner, LearnerSettings, TrainingSettings
from av_td3_ros.learning.settings import AlgorithmSettings
from av_td3_ros.learning.telemetry import training_log
from av_td3_ros.learning.telemetry.event_file import EventFileError
from av_td3_ros.learning.telemetry.probe import network_health, policy_values, q_values
from av_td3_ros.learning.telemetry.training_log import open_log, TrainingLog
from av_td3_ros.settings import as_dict

LENGTH = 12


def make_learner(folder=None, **algorithm):
    """Return a small learner of images with two hidden units, which starts at 20 transitions."""
    settings = LearnerSettings(
        algorithm=AlgorithmSettings(**{
            'batch_size': 2, 'buffer_size': 200, 'learning_starts': 20, 'n_step': 3,
            'discount': 0.9, 'random_shift': 2, **algorithm}),
        training=TrainingSettings(updates_per_step=0.25, threads=1))
    config = as_dict(settings)
    config['networks']['actor']['hidden_layers'] = [4, 4]
    config['networks']['critic']['hidden_layers'] = [4, 4]
    return Learner(settings, config, replay_directory=folder)


def drive(learner, episodes, log=None):
    """Drive episodes of 12 steps that depend on the number of transitions alone."""
    for _ in range(episodes):
        rng = np.random.default_rng(learner.transitions)

        def observation():
            return (rng.integers(0, 256, (84, 84), dtype=np.uint8),
                    rng.standard_normal(23).astype(np.float32))
        learner.begin(0, *observation())
        terminated = learner.transitions % (2 * LENGTH) == 0
        rewards = []
        for step in range(LENGTH):
            last = step == LENGTH - 1
            rewards.append(float(rng.random()))
            learner.add(0, rng.uniform(-1.0, 1.0, 2).astype(np.float32), rewards[-1],
                        last and terminated, last and not terminated, *observation())
            while learner.due:
                learner.update()
        if log is not None:
            log.episode({'episode/return': sum(rewards)})


def state(learner):
    """Return all that learning depends on."""
    replay = learner.replay.state_dict()
    return (fingerprint(learner.agent), torch.get_rng_state().tolist(), learner.state_dict(),
            np.random.get_state()[1].tolist(), {name: replay[name] for name in ('rng', 'chain')})


@pytest.fixture(scope='module')
def logged(tmp_path_factory):
    """Return a folder of event files and the learner of ten episodes that it tells of."""
    folder = tmp_path_factory.mktemp('log')
    learner = make_learner()
    log = TrainingLog(folder, learner, seconds=lambda: learner.transitions / 4, every=10,
                      examine_every=20)
    np.random.seed(0)
    drive(learner, 10, log)
    log.evaluated({'episodes': 4, 'completion': 0.5, 'completion_interval': 0.1, 'returned': 3.0,
                   'returned_interval': 2.0, 'collisions_per_km': None,
                   'endings': {'arrival': 1, 'collision': 3}})
    log.close()
    return folder, learner


@pytest.fixture(scope='module')
def found(logged):
    return read(logged[0])


def test_a_learner_that_is_watched_learns_the_same(logged):
    np.random.seed(0)
    alone = make_learner()
    drive(alone, 10)
    assert alone.agent.total_it == (120 - 20) // 4
    assert state(alone) == state(logged[1])


def test_what_is_written(found):
    assert [step for step, _ in found['episode/return']] == [12 * n for n in range(1, 11)]
    for tag in ('learning/critic_loss', 'gradients/critic', 'gradients/critic_cnn',
                'gradients/actor', 'gradients/actor_cnn', 'learning/actor_loss', 'learning/q1',
                'age/transitions', 'rates/updates', 'rates/transitions', 'rates/logging',
                'replay/size', 'progress/updates', 'progress/seconds', 'values/overestimation'):
        assert tag in found, sorted(found)
    for tag in ('replay/size', 'progress/updates'):
        assert [step for step, _ in found[tag]] == [10 * n for n in range(1, 13)]
    assert found['progress/seconds'][0] == (10, 2.5)
    # The updates that the hundredth makes due are still to come.
    assert dict(found['progress/updates'])[100] == (99 - 20) // 4
    assert 'learning/critic_loss' not in {tag for tag, points in found.items()
                                          if points[0][0] <= 20}
    assert dict(found['rates/updates'])[10] == 0.0 < dict(found['rates/updates'])[60]
    assert 0.0 < dict(found['rates/logging'])[60] < 1.0


def test_every_tag_is_documented(found):
    text = (Path(__file__).resolve().parents[2] / 'docs' / 'learning.md').read_text()
    section = text.split('## Watching a training')[1].split('\n## ')[0]
    listed = {tag for row in section.splitlines() if row.startswith('| `')
              for tag in re.findall('`([^`]+)`', row.split('|')[1])}
    patterns = [re.sub('[A-Z]+', '[^/]+', tag) for tag in listed]
    record = {'ending': 'time', 'return': 0.0, 'completion': 0.0, 'steps': 1, 'duration': 1.0,
              'mean_speed': 1.0, **dict.fromkeys(TERMS, 0.0)}
    tags = {*found, *episode_figures(record), 'age/weights'}
    assert len(tags) > 50
    assert not [tag for tag in tags
                if not any(re.fullmatch(pattern, tag) for pattern in patterns)]


def test_evaluations_and_how_they_ended(found):
    assert {tag: points for tag, points in found.items() if tag.startswith('evaluation/')} == {
        'evaluation/episodes': [(120, 4.0)], 'evaluation/completion': [(120, 0.5)],
        'evaluation/completion_interval': [(120, pytest.approx(0.1))],
        'evaluation/return': [(120, 3.0)], 'evaluation/return_interval': [(120, 2.0)],
        'evaluation/endings/arrival': [(120, 0.25)],
        'evaluation/endings/collision': [(120, 0.75)]}


def test_networks_are_examined_at_set_transitions(found):
    steps = [step for step, _ in found['dead_units/critic_cnn']]
    assert steps == [24, 40, 60, 80, 100, 120]
    for network, layers in (('actor_cnn', 4), ('critic_cnn', 4), ('actor', 2), ('critic_q1', 2),
                            ('critic_q2', 2)):
        for layer in range(1, layers + 1):
            assert len(found[f'dead_units/{network}/{layer}']) == len(steps)
    assert 'dead_units/actor/3' not in found and 'dead_units/actor_cnn/5' not in found


def test_overestimation_of_an_episode_by_hand(tmp_path):
    """Estimates of constants: Q1 says 5, Q2 says 3, whatever they see."""
    learner = make_learner()
    log = TrainingLog(tmp_path, learner)
    for head, value in ((learner.agent.critic.Q1, 5.0), (learner.agent.critic.Q2, 3.0)):
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        nn.init.constant_(head.fc3.bias, value)
    frame, vector, action = np.zeros((84, 84), np.uint8), np.zeros(23), np.zeros(2)

    def episode(stream, rewards, *endings):
        learner.begin(stream, frame, vector)
        for reward in rewards[:-1]:
            learner.add(stream, action, reward, False, False, frame, vector)
        if endings:
            learner.add(stream, action, rewards[-1], *endings, frame, vector)

    episode(0, [1.0, 1.0], True, False)
    learner.agent.total_it = 1      # nothing was learned until then, and nothing is compared
    episode(0, [1.0, 2.0, 0.0], True, False)
    episode(0, [1.0, 2.0, 0.0], False, True)
    episode(0, [1.0, 1.0])
    episode(0, [1.0], True, False)  # the one before is given up
    episode(1, [1.0, 1.0])
    learner.abandon(1)
    log.close()
    found = read(tmp_path)
    # Terminated: 1 + .9 * 2, 2, 0. Truncated, with the smaller estimate of 3 beyond: 0 + 2.7;
    # 2 + .9 * 2.7; 1 + .9 * 4.43.
    returns = [np.array([2.8, 2.0, 0.0]), np.array([4.987, 4.43, 2.7]), np.array([1.0])]
    steps = [5, 8, 10]
    for tag, expected in (
            ('q1', [5.0] * 3), ('q_min', [3.0] * 3), ('return', [r.mean() for r in returns]),
            ('overestimation', [(5.0 - r).mean() for r in returns]),
            ('overestimation_min', [(3.0 - r).mean() for r in returns]),
            ('error', [np.sqrt(((5.0 - r) ** 2).mean()) for r in returns])):
        assert [step for step, _ in found[f'values/{tag}']] == steps
        assert [value for _, value in found[f'values/{tag}']] == pytest.approx(expected), tag


def test_an_episode_that_the_memory_has_partly_forgotten_is_left_out(tmp_path):
    learner = make_learner(buffer_size=8, learning_starts=10_000)
    learner.agent.total_it = 1
    log = TrainingLog(tmp_path, learner)
    drive(learner, 4)
    log.close()
    assert 'values/q1' not in read(tmp_path)


def test_a_run_that_goes_back_to_a_checkpoint_is_one_curve(tmp_path, found):
    """Killed in its sixth episode, gone on with from the end of the fourth."""
    events, folder = tmp_path / 'events', CheckpointFolder(tmp_path / 'checkpoints')
    first = make_learner(tmp_path / 'replay')
    log = TrainingLog(events, first, every=10, examine_every=20)
    drive(first, 4, log)
    folder.save(first.agent, **first.parts({}))
    written = read(events)
    assert written['episode/return'][-1][0] == 48, 'a kill now would leave a gap'
    drive(first, 2, log)
    log.saving()
    first.close()
    second = make_learner(tmp_path / 'replay')
    second.load(folder)
    log = TrainingLog(events, second, every=10, examine_every=20)
    drive(second, 6, log)
    log.close()
    second.close()
    resumed = read(events)
    for tag in ('episode/return', 'values/q1', 'values/overestimation', 'dead_units/critic_cnn',
                'feature_norms/actor_cnn'):
        assert resumed[tag] == found[tag], tag
    assert [step for step, _ in resumed['replay/size']] \
        == [step for step, _ in found['replay/size']]


def test_going_back_while_it_runs(tmp_path):
    folder, learner = CheckpointFolder(tmp_path / 'checkpoints'), make_learner(tmp_path / 'replay')
    log = TrainingLog(tmp_path / 'events', learner)
    drive(learner, 2, log)
    folder.save(learner.agent, **learner.parts({}))
    drive(learner, 2, log)
    learner.load(folder)
    drive(learner, 1, log)
    log.close()
    learner.close()
    assert [step for step, _ in read(tmp_path / 'events')['episode/return']] == [12, 24, 36]


def test_ages(tmp_path):
    learner = make_learner()
    log = TrainingLog(tmp_path, learner)
    learner.begin(0, np.zeros((84, 84), np.uint8), np.zeros(23))
    for _ in range(3):
        learner.add(0, np.zeros(2), 0.0, False, False, np.zeros((84, 84), np.uint8), np.zeros(23))
    # The rows are 0, the beginning, to 3: those of the batch are 2 and 0 older than the newest.
    log.updated({}, learner.replay.batch(np.array([1, 3])))
    log.acted(4.0)
    log.acted(8.0)
    log.close()
    found = read(tmp_path)
    assert found['age/transitions'] == [(3, 1.0)] and found['age/weights'] == [(3, 6.0)]


def test_dead_units_and_norms_by_hand():
    agent = flat_agent(state_dim=5)
    batch = batch_for(agent)
    with torch.no_grad():
        agent.actor.fc1.weight.zero_()
        agent.actor.fc1.bias.copy_(torch.tensor([-1.0] * 4 + [0.0] * 2 + [3.0] * 10))
        agent.actor.fc2.weight.zero_()
        agent.actor.fc2.bias.copy_(torch.tensor([-1.0] * 12 + [2.0] * 4))
    found = network_health(agent, batch.observation, batch.action)
    assert found['dead_units/actor/1'] == pytest.approx(6 / 16)
    assert found['dead_units/actor/2'] == pytest.approx(12 / 16)
    assert found['dead_units/actor'] == pytest.approx(18 / 32)
    assert found['feature_norms/actor/1'] == pytest.approx(np.sqrt(90.0))
    assert found['feature_norms/actor/2'] == pytest.approx(4.0)
    hidden = torch.relu(agent.critic.Q2.fc1(torch.cat([batch.observation, batch.action], dim=1)))
    assert found['feature_norms/critic_q2/1'] == pytest.approx(
        hidden.norm(dim=1).mean().item(), rel=1e-6)
    assert found['dead_units/critic_q2/1'] == pytest.approx(
        (hidden == 0).all(dim=0).float().mean().item())
    assert not any('cnn' in tag for tag in found)


@pytest.mark.parametrize('architecture, layers', [
    ('nature', 4), ('nature_layernorm', 4), ('resnet18', 18)])
def test_every_encoder_can_be_looked_into_and_is_left_alone(architecture, layers):
    agent = image_agent(architecture)
    batch = batch_for(agent)
    before = fingerprint(agent)
    found = network_health(agent, batch.observation, batch.action)
    q1, q2 = q_values(agent, batch.observation, batch.action)
    assert fingerprint(agent) == before
    assert f'dead_units/actor_cnn/{layers}' in found
    assert f'dead_units/actor_cnn/{layers + 1}' not in found
    encoder, images = agent.critic_cnn, batch.observation['image']
    with torch.no_grad():
        features = encoder(encoder.scale(images))
        state = torch.cat([features, batch.observation['vector']], dim=1)
        expected = agent.critic(state, batch.action)
    assert found['feature_norms/critic_cnn'] == pytest.approx(
        features.norm(dim=1).mean().item(), rel=1e-4)
    assert q1 == pytest.approx(expected[0][:, 0].numpy(), rel=1e-4, abs=1e-6)
    assert q2 == pytest.approx(expected[1][:, 0].numpy(), rel=1e-4, abs=1e-6)
    action = torch.from_numpy(np.stack([
        agent.act({'image': image.numpy(), 'vector': vector.numpy()})
        for image, vector in zip(images, batch.observation['vector'])]))
    assert policy_values(agent, batch.observation) == pytest.approx(
        np.minimum(*q_values(agent, batch.observation, action)), rel=1e-4, abs=1e-6)


def test_a_dead_channel_of_an_encoder():
    encoder = get_cnn_extractor(4, 8, 'nature')
    agent = image_agent()
    agent.critic_cnn = encoder
    batch = batch_for(agent)
    with torch.no_grad():
        encoder.conv2.weight[:16] = 0.0
        encoder.conv2.bias[:16] = -1.0
    found = network_health(agent, batch.observation, batch.action)
    assert found['dead_units/critic_cnn/2'] >= 0.25
    with torch.no_grad():
        encoder.conv2.bias[:16] = 1.0
    assert network_health(agent, batch.observation, batch.action)['dead_units/critic_cnn/2'] \
        == pytest.approx(found['dead_units/critic_cnn/2'] - 0.25)


def test_a_full_disk_stops_the_log_and_not_the_learner(tmp_path, caplog):
    learner = make_learner()
    log = TrainingLog(tmp_path, learner, every=5)

    class Full:

        def write(self, data):
            raise OSError(28, 'No space left on device')
    log._file._records = Full()
    with caplog.at_level(logging.WARNING):
        drive(learner, 3, log)
    log.close()
    assert learner.agent.total_it == 4
    assert [record.getMessage() for record in caplog.records
            if record.name == training_log.__name__] == [
        'TensorBoard is given nothing more: [Errno 28] No space left on device']


def test_a_log_is_optional(tmp_path, monkeypatch, caplog):
    learner = make_learner()
    assert open_log(tmp_path / 'none', learner, wanted=False) is None
    monkeypatch.setattr(training_log, 'available', lambda: False)
    with caplog.at_level(logging.INFO):
        assert open_log(tmp_path / 'none', learner) is None
    assert 'pip install tensorboard' in caplog.text
    assert not (tmp_path / 'none').exists() and learner.observer is None
    (tmp_path / 'file').write_text('')
    with pytest.raises(EventFileError, match='cannot write event files.*file'):
        open_log(tmp_path / 'file' / 'log', learner, wanted=True)
