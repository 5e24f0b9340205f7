# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Saving and loading: nothing left out, exact resume, old files, what is refused."""

import json
import logging
import os
from pathlib import Path
import subprocess
import sys

from agents import batch_for, fingerprint, flat_agent, image_agent, learn, SMALL
import numpy as np
import pytest
import torch

from av_td3_ros.learning.checkpoint import CheckpointError, CheckpointNotFound
from av_td3_ros.learning.networks import get_cnn_extractor
from av_td3_ros.learning.td3 import LearningStopped, TD3Agent

HERE = Path(__file__).parent
FIRST_TABLE = (
    'total_it', 'actor_state_dict', 'critic_state_dict', 'actor_optimizer_state_dict',
    'critic_optimizer_state_dict', 'actor_cnn_state_dict', 'critic_cnn_state_dict',
    'actor_cnn_optimizer_state_dict', 'critic_cnn_optimizer_state_dict', 'config',
    'use_dict_buffer', 'discount', 'tau', 'policy_freq', 'policy_noise', 'noise_clip',
    'max_action', 'state_dim', 'action_dim')


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_part(kind, threads, folder, updates, *rest):
    done = subprocess.run([sys.executable, HERE / 'resume_run.py', kind, str(threads), folder,
                           str(updates), *rest], capture_output=True, text=True, timeout=280,
                          env={**os.environ, 'OMP_WAIT_POLICY': 'passive'})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(600)
@pytest.mark.parametrize('kind, threads, updates', [
    ('nature', 1, 100), ('nature', 2, 100), ('flat', 1, 100), ('flat', 2, 100),
    # Few: what they have beside these are layers, and buffers of batch norms.
    ('nature_layernorm', 1, 10), ('resnet18', 1, 5)])
def test_resume_is_exact(tmp_path, kind, threads, updates):
    """Updates in one go equal half, save, a new process, half more, with a replay memory."""
    whole = run_part(kind, threads, tmp_path / 'whole', 2 * updates)
    run_part(kind, threads, tmp_path / 'parts', updates)
    parts = run_part(kind, threads, tmp_path / 'parts', updates,
                     tmp_path / 'parts' / f'{updates}.pth')
    assert whole['total_it'] == parts['total_it'] == 2 * updates
    assert whole == parts


@pytest.mark.parametrize('architecture', ['nature', 'nature_layernorm', 'resnet18'])
def test_round_trip_restores_every_bit(tmp_path, architecture):
    agent, other = image_agent(architecture), image_agent(architecture, seed=9)
    learn(agent, 3, size=2)
    agent.save_checkpoint(tmp_path / 'deep' / 'er' / 'a.pth')
    assert fingerprint(other) != fingerprint(agent)
    loaded = other.load_checkpoint(tmp_path / 'deep' / 'er' / 'a.pth')
    assert fingerprint(other) == fingerprint(agent)
    assert loaded.total_it == other.total_it == 3 and not loaded.warnings
    learn(agent, 2, size=2)
    learn(other, 2, size=2)
    assert fingerprint(other) == fingerprint(agent)


def test_file_is_what_the_contract_says(tmp_path):
    """Full-size resnet18 agent: keys, counts of entries, plain torch.load."""
    agent = TD3Agent(535, 2, 1.0, get_cnn_extractor(input_channels=4, output_dim=512),
                     get_cnn_extractor(input_channels=4, output_dim=512),
                     use_dict_buffer=True,
                     config={'algorithm': {'tau': 0.01}, 'user': {'a': (1,)}})
    agent.save_checkpoint(tmp_path / 'td3.pth')
    content = torch.load(tmp_path / 'td3.pth', weights_only=True)
    assert set(FIRST_TABLE) <= set(content)
    for part in ('actor_cnn', 'critic_cnn'):
        assert len(content[f'{part}_state_dict']) == 123
        assert len(content[f'{part}_target_state_dict']) == 123
    assert {key.split('.')[0] for key in content['actor_cnn_state_dict']} == {
        'input_projection', 'backbone', 'feature_head'}
    shapes = {key: tuple(value.shape) for key, value in content['critic_state_dict'].items()
              if key.startswith('Q1') and key.endswith('weight')}
    assert shapes == {'Q1.fc1.weight': (256, 537), 'Q1.fc2.weight': (256, 256),
                      'Q1.fc3.weight': (1, 256)}
    assert content['tau'] == 0.01 and content['config']['user'] == {'a': [1]}
    assert content['state_dim'] == 535 and content['action_dim'] == 2


def test_save_and_load_log_every_part(tmp_path, caplog):
    agent = image_agent('resnet18')
    with caplog.at_level(logging.INFO):
        agent.save_checkpoint(tmp_path / 'a.pth')
        agent.load_checkpoint(tmp_path / 'a.pth')
    for line in ('Saving actor CNN state (123 layers)', 'Saving critic CNN state (123 layers)',
                 'Saving critic CNN target state (123 layers)', 'Saving actor state (6 layers)',
                 'Critic CNN optimizer restored', 'Critic restored (12 layers)',
                 'Actor CNN restored (123 layers)', 'Resumed at iteration: 0'):
        assert line in caplog.messages


def old_file(agent, path, **changes):
    """Write what the old code wrote: the first table, by plain torch.save."""
    content = {key: getattr(agent, key) for key in FIRST_TABLE if hasattr(agent, key)}
    content['config'] = {'algorithm': {'gamma': 0.99}}
    for part in ('actor', 'critic', 'actor_cnn', 'critic_cnn'):
        for owner, key in ((part, f'{part}_state_dict'),
                           (f'{part}_optimizer', f'{part}_optimizer_state_dict')):
            value = getattr(agent, owner)
            content[key] = None if value is None else value.state_dict()
    content.update(changes)
    torch.save(content, path)


@pytest.mark.parametrize('make', [flat_agent, image_agent])
def test_old_files_load_with_a_warning(tmp_path, make, caplog):
    agent, other = make(), make(seed=5)
    learn(agent, 4, size=2)
    old_file(agent, tmp_path / 'old.pth')
    loaded = other.load_checkpoint(tmp_path / 'old.pth')
    said = ' '.join(loaded.warnings)
    assert 'target' in said and 'random states' in said and 'not exact' in said
    assert all(warning in caplog.text for warning in loaded.warnings)
    assert other.total_it == 4
    for name, network in agent.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(getattr(other, name).state_dict()[key], value)
            assert torch.equal(getattr(other, f'{name}_target').state_dict()[key], value)
    moments = other.critic_optimizer.state_dict()['state'][0]
    assert torch.equal(moments['exp_avg'],
                       agent.critic_optimizer.state_dict()['state'][0]['exp_avg'])


@pytest.mark.parametrize('key', ['format_version', 'config', 'actor_target_state_dict'])
def test_new_file_that_lost_a_key_is_not_taken_for_an_old_one(tmp_path, key):
    agent = flat_agent()
    agent.save_checkpoint(tmp_path / 'a.pth')
    content = torch.load(tmp_path / 'a.pth', weights_only=True)
    content.pop(key)
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=key):
        agent.load_checkpoint(tmp_path / 'a.pth')


def test_old_optimizer_in_another_order_of_parameters(tmp_path):
    """Moments are matched by the names of the file's own networks, not by number alone."""
    agent, other = flat_agent(), flat_agent(seed=5)
    learn(agent, 2)
    state, adam = agent.actor.state_dict(), agent.actor_optimizer.state_dict()
    names = list(state)
    shuffled = names[2:] + names[:2]
    adam['state'] = {shuffled.index(name): adam['state'][index]
                     for index, name in enumerate(names)}
    old_file(agent, tmp_path / 'old.pth', actor_optimizer_state_dict=adam,
             actor_state_dict={name: state[name] for name in shuffled})
    other.load_checkpoint(tmp_path / 'old.pth')
    for ours, theirs in zip(agent.actor.parameters(), other.actor.parameters()):
        assert torch.equal(agent.actor_optimizer.state[ours]['exp_avg'],
                           other.actor_optimizer.state[theirs]['exp_avg'])


def test_the_bug_that_started_this_is_refused(tmp_path):
    """A file that says it is of images but holds no encoder."""
    agent = image_agent()
    old_file(agent, tmp_path / 'old.pth', actor_cnn_state_dict=None, critic_cnn_state_dict=None)
    with pytest.raises(CheckpointError, match='actor_cnn_state_dict.*no encoder was saved'):
        agent.load_checkpoint(tmp_path / 'old.pth')


@pytest.mark.parametrize('theirs, ours, said', [
    (lambda: image_agent('nature_layernorm'), image_agent, ('nature_layernorm', 'nature')),
    (lambda: image_agent('resnet18'), image_agent, ('resnet18', 'nature')),
    (lambda: image_agent(features=16), image_agent, ('state_dim', '39', '31')),
    (lambda: flat_agent(state_dim=7), flat_agent, ('state_dim', '7', '5')),
    (flat_agent, image_agent, ('use_dict_buffer', 'flat states', 'images')),
    (image_agent, flat_agent, ('use_dict_buffer', 'flat states', 'images')),
])
def test_another_kind_of_agent_is_refused_with_both_named(tmp_path, theirs, ours, said):
    theirs().save_checkpoint(tmp_path / 'a.pth')
    agent = ours()
    before = fingerprint(agent)
    with pytest.raises(CheckpointError) as refusal:
        agent.load_checkpoint(tmp_path / 'a.pth')
    assert all(word in str(refusal.value) for word in said)
    assert fingerprint(agent) == before


def test_not_finite_weights_are_not_saved(tmp_path):
    agent = flat_agent()
    agent.save_checkpoint(tmp_path / 'a.pth')
    before = (tmp_path / 'a.pth').read_bytes()
    with torch.no_grad():
        agent.critic.Q2.fc2.weight[3, 3] = float('nan')
    with pytest.raises(CheckpointError, match='critic_state_dict.Q2.fc2.weight is not finite'):
        agent.save_checkpoint(tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').read_bytes() == before


def test_hyper_parameters_come_from_the_file_and_that_is_said(tmp_path):
    config = {**SMALL, 'algorithm': {'tau': 0.02, 'learning_rate': 1e-4}}
    flat_agent(config=config).save_checkpoint(tmp_path / 'a.pth')
    agent = flat_agent()
    said = ' '.join(agent.load_checkpoint(tmp_path / 'a.pth').warnings)
    assert 'tau is 0.02' in said and 'lr is 0.0001' in said
    assert agent.tau == agent.config['algorithm']['tau'] == 0.02
    assert agent.actor_optimizer.param_groups[0]['lr'] == 1e-4
    agent = flat_agent()
    said = ' '.join(agent.load_checkpoint(tmp_path / 'a.pth', keep_hyper_parameters=True).warnings)
    assert 'kept' in said and agent.tau == 0.005
    assert agent.actor_optimizer.param_groups[0]['lr'] == 3e-4


def test_state_that_nobody_takes_or_gives_is_said(tmp_path):
    agent = flat_agent()
    agent.save_checkpoint(tmp_path / 'a.pth', exploration={'noise': np.ones(3), 'n': 2})
    loaded = agent.load_checkpoint(tmp_path / 'a.pth')
    assert any('exploration state' in warning for warning in loaded.warnings)
    assert loaded.exploration['n'] == 2 and loaded.exploration['noise'].tolist() == [1, 1, 1]
    taken = {}
    loaded = agent.load_checkpoint(tmp_path / 'a.pth', exploration=taken.update,
                                   extra=lambda state: None)
    assert taken['n'] == 2
    assert [warning for warning in loaded.warnings if 'extra' in warning and 'no' in warning]


def test_failing_taker_changes_nothing(tmp_path):
    class Replay:
        state = {'rows': 1}

        def state_dict(self):
            return dict(self.state)

        def load_state_dict(self, state):
            self.state = state

    def fail(state):
        raise RuntimeError('the disk is gone')

    agent, replay = flat_agent(), Replay()
    agent.save_checkpoint(tmp_path / 'a.pth', replay=Replay(), exploration={})
    learn(agent, 1)
    replay.state, before = {'rows': 7}, fingerprint(agent)
    with pytest.raises(CheckpointError, match='exploration state.*the disk is gone'):
        agent.load_checkpoint(tmp_path / 'a.pth', replay=replay, exploration=fail)
    assert fingerprint(agent) == before and replay.state == {'rows': 7}


def test_load_lets_a_stopped_agent_learn_again(tmp_path):
    agent = flat_agent()
    agent.save_checkpoint(tmp_path / 'a.pth')
    batch = batch_for(agent)
    batch.reward[0] = float('nan')
    with pytest.raises(LearningStopped):
        agent.update(batch)
    agent.load_checkpoint(tmp_path / 'a.pth')
    learn(agent, 1)


def test_missing_file_and_folder_instead_of_file(tmp_path):
    agent = flat_agent()
    with pytest.raises(CheckpointNotFound):
        agent.load_checkpoint(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='EISDIR'):
        agent.load_checkpoint(tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(CheckpointError, match='ENOTDIR|EEXIST'):
        agent.save_checkpoint(tmp_path / 'file' / 'a.pth')


def test_config_of_other_types_is_named():
    with pytest.raises(ValueError, match=r'config.user.f'):
        flat_agent(config={'user': {'f': object()}})


@pytest.mark.timeout(300)
def test_bad_files_short_form(tmp_path):
    """Each kind of damage a few times; the long form is ``benchmarks/checkpoint_fuzz.py``."""
    done = subprocess.run(
        [sys.executable, HERE.parents[1] / 'benchmarks' / 'checkpoint_fuzz.py', '--mutations',
         '120', '--seconds', '10', '--folder', tmp_path], capture_output=True, text=True,
        timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result['mutations'] == 120 and not result['failures'] and result['good_file_loads']


def _nested(depth):
    return {} if not depth else {'below': _nested(depth - 1)}


@pytest.mark.parametrize('extra, reason', [
    ({'returns': [0.0] * 300_001}, 'too many'), (_nested(40), 'too deeply'),
    ({'text': '\ud800'}, 'UnicodeDecodeError'), ({'number': 1 << 4000}, 'no checkpoint needs'),
    ({'tensor': torch.zeros(3, dtype=torch.complex64)}, 'extra.tensor .*complex64')])
def test_what_could_not_be_loaded_is_not_saved(tmp_path, extra, reason):
    """A save that succeeds and cannot be loaded is lost unnoticed."""
    agent, path = flat_agent(), tmp_path / 'a.pth'
    agent.save_checkpoint(path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f'is not saved, .*{reason}'):
        agent.save_checkpoint(path, extra=extra)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ['a.pth']


def test_views_that_repeat_numbers_come_back(tmp_path):
    agent, taken = flat_agent(), []
    agent.save_checkpoint(tmp_path / 'a.pth', extra={'ones': torch.ones(1).expand(5)})
    agent.load_checkpoint(tmp_path / 'a.pth', extra=taken.append)
    assert torch.equal(taken[0]['ones'], torch.ones(5))
