# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning on a GPU: refused where there is none, else as on the processor but for rounding."""

import numpy as np
import pytest
import torch

from av_td3_ros.learning import fast
from av_td3_ros.learning.learner import Learner, LearnerSettings, TrainingSettings
from av_td3_ros.learning.policy import export_policy, Policy
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.td3 import TD3Agent
from av_td3_ros.settings import SettingsError
from av_td3_ros.training.train import main

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')


def batch(rows=16):
    rng = torch.Generator().manual_seed(0)
    seen = [{'image': torch.randint(0, 256, (rows, 4, 84, 84), dtype=torch.uint8, generator=rng),
             'vector': torch.randn(rows, 23, generator=rng)} for _ in range(2)]
    return Batch(seen[0], torch.rand(rows, 2, generator=rng), torch.randn(rows, 1, generator=rng),
                 seen[1], torch.full((rows, 1), 0.99))


def make(device, **algorithm):
    torch.manual_seed(0)
    return TD3Agent(535, 2, config={'algorithm': algorithm}, seed=0, device=device)


def weights(agent):
    return {f'{part}.{name}': tensor.cpu() for part, network in agent.networks().items()
            for name, tensor in network.state_dict().items()}


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match='training.device is cuda, but torch .* finds no GPU'):
        Learner(LearnerSettings(training=TrainingSettings(device='cuda')), {})
    said = main(['--out', str(tmp_path / 'run'), '--steps', '10', '--set',
                 'training.device=cuda'])
    assert said.startswith('training.device is cuda, but torch') and '\n' not in said
    # So that the same command without it begins a run there.
    assert not (tmp_path / 'run').exists()


def test_what_is_drawn_does_not_depend_on_the_device():
    """So that a checkpoint's random states are any device's."""
    assert make('cpu').rng.device.type == 'cpu'


@pytest.mark.parametrize('algorithm', [{}, {'random_shift': 4}, {'imitation': 2.0}])
def test_whatever_an_update_takes_part_of_is_on_the_networks_device(monkeypatch, algorithm):
    """
    On torch's device without numbers, which any machine has.

    It refuses tensors of two devices as a GPU does; what is asked of its numbers is made up.
    """
    ask = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, 'item',
                        lambda tensor: 1.0 if tensor.is_meta else ask(tensor))
    monkeypatch.setattr(fast, 'step_adam', lambda optimizer: None)
    agent = make('meta', **algorithm)
    for _ in range(2):
        report = agent.update(batch(), demonstrated=torch.arange(16) % 2 == 0)
    assert agent.total_it == 2 and {'critic_loss', 'actor_loss'} <= report.keys()
    assert ('imitation_loss' in report) == ('imitation' in algorithm)


def seen_by(learner):
    """Return the images of a batch of a learner that has seen a little."""
    for step in range(6):
        frame, vector = np.full((84, 84), step, np.uint8), np.zeros(23, np.float32)
        if step:
            learner.add(0, np.zeros(2, np.float32), 0.0, False, False, frame, vector)
        else:
            learner.begin(0, frame, vector)
    return learner.replay.sample(4).observation['image']


@pytest.mark.parametrize('training, device', [
    ({'device': 'meta'}, 'meta'), ({'device': 'meta', 'replay_on_device': False}, 'cpu'),
    ({'device': 'meta', 'plain': True}, 'cpu'), ({}, 'cpu')])
def test_batches_are_put_together_where_the_networks_are(training, device):
    with fast.plain():      # which the last case leaves as it was
        learner = Learner(LearnerSettings(training=TrainingSettings(**training)), {})
        assert seen_by(learner).device.type == device


def test_frames_that_do_not_fit_are_one_sentence(monkeypatch):
    def refuse(*arguments, **options):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 40.00 GiB.\nSee ...')
    monkeypatch.setattr('av_td3_ros.learning.replay_ring.DeviceFrames', refuse)
    with pytest.raises(SettingsError, match="^the replay memory's frames do not fit into the "
                       "GPU's memory: set training.replay_on_device to false, or algorithm."
                       'buffer_size lower than 100000 .CUDA out of memory. Tried to allocate '
                       '40.00 GiB.*$'), fast.plain():
        Learner(LearnerSettings(training=TrainingSettings(device='meta')), {})


@needs_gpu
def test_batches_on_a_gpu_are_those_of_the_processor():
    frames = [seen_by(Learner(LearnerSettings(training=TrainingSettings(device=device)), {}))
              for device in ('cuda', 'cpu')]
    assert frames[0].is_cuda and torch.equal(frames[0].cpu(), frames[1])


@needs_gpu
@pytest.mark.parametrize('algorithm', [
    {}, {'precision': 'bfloat16'}, {'random_shift': 4}, {'imitation': 2.0}])
def test_updates_are_those_of_the_processor(algorithm):
    demonstrated = torch.arange(16) % 2 == 0
    reports = [[agent.update(batch(), demonstrated=demonstrated) for _ in range(4)]
               for agent in (make('cuda', **algorithm), make('cpu', **algorithm))]
    for one, other in zip(*reports):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name] == pytest.approx(
                value, rel=0.05 if 'precision' in algorithm else 5e-3, abs=1e-2)


@needs_gpu
@pytest.mark.parametrize('first, second', [('cuda', 'cpu'), ('cpu', 'cuda'), ('cuda', 'cuda')])
def test_a_checkpoint_goes_from_one_device_to_another(tmp_path, first, second):
    one, other = make(first), make(second)
    for _ in range(3):
        one.update(batch())
    one.save_checkpoint(tmp_path / 'a.pth')
    other.load_checkpoint(tmp_path / 'a.pth')
    expected = weights(one)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(other).items())
    assert one.update(batch())['critic_loss'] == pytest.approx(
        other.update(batch())['critic_loss'], rel=5e-3)


@needs_gpu
def test_the_policy_acts_alike_on_both():
    agent = make('cuda')
    agent.update(batch())
    policy = Policy()
    policy.load(export_policy(agent))
    seen = {'image': np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': np.zeros(23, np.float32)}
    assert np.allclose(agent.act(seen), policy.act(seen), rtol=1e-3, atol=1e-3)


@needs_gpu
def test_train_learns_there_and_goes_on_elsewhere(tmp_path):
    arguments = ['--out', str(tmp_path / 'run'), '--seed', '1', '--set',
                 'algorithm.learning_starts=50', '--set', 'evaluation.routes=1']
    assert main([*arguments, '--steps', '120', '--set', 'training.device=cuda']) in (0, None)
    assert main([*arguments, '--steps', '150']) in (0, None)
