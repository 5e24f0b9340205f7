# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Gradients by recordings are those that the functions themselves compute.

Where there is no GPU a tape takes the graph's place: it does the recorded operators again on the
memory that they used, without Python, and refuses to be asked for a number, as a graph does.
"""

import contextlib
import copy
import logging

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from av_td3_ros.learning import fast, recorded
from av_td3_ros.learning.recorded import Recorder
from av_td3_ros.learning.replay import ReplayMemory
from av_td3_ros.learning.settings import read_config
from av_td3_ros.learning.td3 import LearningStopped, TD3Agent

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')


class Tape(TorchDispatchMode):
    """Every operator that was called, to be done again into the same memory."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError('operation not permitted when stream is capturing')
        out = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.steps:
            given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs))
                     if isinstance(leaf, torch.Tensor)}
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs))):
                # What shares memory with an input, a view or a change in place, is there already.
                if isinstance(old, torch.Tensor) \
                        and new.untyped_storage().data_ptr() not in given:
                    old.copy_(new)


def on_tape(function):
    with Tape() as tape:
        outputs = function()
    return outputs, tape.replay


@pytest.fixture
def tape(monkeypatch):
    """Have recordings made on the processor, without what is not torch's: no tape sees that."""
    monkeypatch.setattr(recorded, '_captured', on_tape)
    monkeypatch.setattr(torch.cuda, 'Stream', lambda: Stream())
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda: Stream())
    monkeypatch.setattr(torch.cuda, 'stream', contextlib.nullcontext)
    monkeypatch.setattr(fast, 'scaled', lambda encoder, images, dtype: encoder.scale(
        images.contiguous(memory_format=torch.channels_last), dtype))


class Stream:
    """A stream of a GPU that is not there."""

    def wait_stream(self, other):
        """Wait for nothing."""


def make(recording, *, flat=False, architecture='nature', device='cpu', largest=0.0, **algorithm):
    torch.manual_seed(0)
    clipped = {'max_grad_norm': largest}
    config = {'algorithm': algorithm, 'networks': {
        'actor': clipped, 'critic': clipped, 'cnn': {**clipped, 'architecture': architecture}}}
    assert read_config(config, ())[1] == []
    size = {'state_dim': 17, 'action_dim': 6} if flat else {'state_dim': 535, 'action_dim': 2}
    agent = TD3Agent(**size, use_dict_buffer=not flat, config=config, seed=0, device=device,
                     cuda_graphs=recording)
    if recording and device == 'cpu':
        agent._recorder = Recorder()
    return agent


def experience(flat=False):
    rng = np.random.default_rng(0)
    sizes = {'vector_dim': 17, 'action_dim': 6, 'image_shape': None} if flat else {}
    memory = ReplayMemory(60, **sizes)
    for step in range(60):
        frame = None if flat else rng.integers(0, 256, (84, 84), dtype=np.uint8)
        vector = rng.standard_normal(memory.layout.vector_dim, dtype=np.float32)
        if step % 20 == 0:
            memory.begin_episode(0, frame, vector)
        else:
            memory.add(0, rng.uniform(-1, 1, memory.layout.action_dim), rng.standard_normal(),
                       step % 20 == 19, False, frame, vector)
    return memory


def numbers(agent):
    tensors = {}
    for name, network in agent.networks().items():
        for part in (network, getattr(agent, f'{name}_target')):
            tensors.update({(name, part is network, key): value.cpu().clone()
                            for key, value in part.state_dict().items()})
    return tensors


def same(one, other):
    ones, others = numbers(one), numbers(other)
    return all(torch.equal(value, others[key]) for key, value in ones.items())


def learn(agent, memory, updates, rows=4):
    shown = torch.arange(rows) % 3 == 0
    return [agent.update(memory.sample(rows), demonstrated=shown) for _ in range(updates)]


CASES = [{}, {'precision': 'bfloat16'}, {'random_shift': 4}, {'flat': True},
         {'imitation': 2.0, 'imitation_updates': 5}, {'architecture': 'nature_layernorm'},
         {'actor_starts': 4}, {'largest': 0.1}]


@pytest.mark.parametrize('case', CASES)
def test_updates_are_those_without(tape, case):
    plain, recording = make(False, **case), make(True, **case)
    reports = [learn(agent, experience(case.get('flat', False)), 7)
               for agent in (plain, recording)]
    assert recording._recorder.works and recording._recorder._recordings.keys() \
        == {'critic', 'actor'}
    assert reports[0] == reports[1]
    assert same(plain, recording)


def test_python_is_left_out(tape, monkeypatch):
    agent, memory = make(True), experience()
    learn(agent, memory, 2)
    monkeypatch.setattr(agent.critic, 'forward', None)
    monkeypatch.setattr(agent.actor_cnn, 'forward', None)
    learn(agent, memory, 4)


@pytest.mark.parametrize('change', [
    lambda agent, folder: setattr(agent, 'policy_noise', 0.4),
    lambda agent, folder: setattr(agent, 'noise_clip', 0.01),
    lambda agent, folder: agent.load_checkpoint(folder / 'earlier.pth'),
    lambda agent, folder: agent.actor_cnn.to(torch.float32),
    lambda agent, folder: [parameter.data.mul_(0.5) for parameter in agent.actor.parameters()],
    lambda agent, folder: setattr(agent.actor_target.fc3, 'bias', torch.nn.Parameter(
        torch.ones(2), requires_grad=False)),
], ids=['policy_noise', 'noise_clip', 'loaded', 'moved', 'in_place', 'replaced'])
def test_what_changed_is_seen(tape, tmp_path, change):
    agents = [make(recording) for recording in (False, True)]
    for agent in agents:
        memory = experience()
        learn(agent, memory, 2)
        agent.save_checkpoint(tmp_path / 'earlier.pth')
        learn(agent, memory, 2)
        change(agent, tmp_path)
        learn(agent, memory, 3)
    assert agents[1]._recorder.works
    assert same(*agents)


def test_another_size_of_batches(tape):
    agents = [make(recording) for recording in (False, True)]
    for agent in agents:
        memory = experience()
        for rows in (4, 4, 3, 3, 4, 4):
            learn(agent, memory, 1, rows)
    assert same(*agents)


def test_what_cannot_be_recorded_is_done_without(tape, monkeypatch, caplog):
    plain, recording = make(False), make(True)
    gradients_of = recording._critic_gradients

    def asks(given):
        outputs = gradients_of(given)
        return {**outputs, 'q1': torch.tensor(outputs['q1'].item())}
    monkeypatch.setattr(recording, '_critic_gradients', asks)
    with caplog.at_level(logging.WARNING):
        reports = [learn(agent, experience(), 5) for agent in (plain, recording)]
    assert reports[0] == reports[1] and same(plain, recording)
    assert [record.getMessage() for record in caplog.records] == [
        'Updates go on without CUDA graphs: those of the critic could not be recorded '
        '(operation not permitted when stream is capturing)']


@pytest.mark.parametrize('factor', [1.1, float('nan')])
def test_a_recording_that_does_something_else_is_not_used(tape, monkeypatch, caplog, factor):
    def wrong(function):
        outputs, replay = on_tape(function)

        def replay_wrongly():
            replay()
            for parameter in recording.actor_cnn.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        return outputs, replay_wrongly
    monkeypatch.setattr(recorded, '_captured', wrong)
    recording = make(True)
    check_refused(caplog, 'actor', recording)


def test_a_recording_that_does_nothing_is_not_used(tape, monkeypatch, caplog):
    monkeypatch.setattr(recorded, '_captured', lambda function: (function(), lambda: None))
    check_refused(caplog, 'critic')


def test_a_recording_that_holds_on_to_its_batch_is_not_used(tape, monkeypatch, caplog):
    def holds(function):
        outputs = function()
        kept = [{name: value.clone() for name, value in outputs.items()},
                [parameter.grad.clone() for parameter in recording.critic.parameters()]]

        def replay():
            for name, value in kept[0].items():
                outputs[name].copy_(value)
            for parameter, value in zip(recording.critic.parameters(), kept[1]):
                parameter.grad.copy_(value)
        return outputs, replay
    monkeypatch.setattr(recorded, '_captured', holds)
    recording = make(True, flat=True)
    check_refused(caplog, 'critic', recording, flat=True)


def check_refused(caplog, name, recording=None, flat=False):
    plain, recording = make(False, flat=flat), recording or make(True, flat=flat)
    with caplog.at_level(logging.WARNING):
        for agent in (plain, recording):
            learn(agent, experience(flat), 5)
    assert same(plain, recording) and not recording._recorder._recordings
    assert [record.getMessage() for record in caplog.records] == [
        f'Updates go on without CUDA graphs: those of the {name} could not be recorded (its '
        'numbers are others)']


def test_a_small_gradient_is_compared_with_gradients():
    wanted = recorded._Results([torch.tensor(1e4)], [torch.full((256,), 0.01)])
    wanted.compare(wanted)
    with pytest.raises(recorded.RecordingError, match='others'):
        recorded._Results(wanted.numbers, [torch.zeros(256)]).compare(wanted)


def test_a_capture_that_fails_leaves_its_stream_and_says_why(monkeypatch):
    """As torch's does: it fails once more as it ends, and its stream stays the current one."""
    current = ['the stream before']

    @contextlib.contextmanager
    def graph(*_, stream, **__):
        current[0] = stream
        try:
            yield
        finally:
            raise RuntimeError('operation failed due to a previous error during capture')
    monkeypatch.setattr(torch.cuda, 'graph', graph)
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', Stream)
    monkeypatch.setattr(torch.cuda, 'Stream', lambda: 'its own')
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda: current[0])
    monkeypatch.setattr(torch.cuda, 'set_stream', lambda stream: current.__setitem__(0, stream))

    def asks():
        raise RuntimeError('operation not permitted when stream is capturing')
    with pytest.raises(recorded.RecordingError, match='^operation not permitted'):
        recorded._captured(asks)
    assert current == ['the stream before']


@pytest.mark.parametrize('before', [0, 3])
def test_a_batch_that_is_not_finite_stops_it(tape, caplog, before):
    agent, memory = make(True), experience()
    learn(agent, memory, before)
    weights = numbers(agent)
    batch = memory.sample(8)
    batch.reward[2] = float('nan')
    with pytest.raises(LearningStopped, match='The loss of the critic is nan .* has reward not '
                                              'finite in 1 of 8 rows, first in row 2'):
        agent.update(batch)
    assert all(torch.equal(value, weights[key]) for key, value in numbers(agent).items())
    assert agent._recorder.works and not caplog.records


def test_batch_statistics_are_gathered_once_an_update(tape):
    agents = [make(recording, architecture='resnet18') for recording in (False, True)]
    for agent in agents:
        learn(agent, experience(), 4, rows=2)
    assert same(*agents)
    assert agent._recorder._recordings.keys() == {'critic', 'actor'}
    assert agent.critic_cnn.backbone.bn1.num_batches_tracked == 4
    assert agent.actor_cnn.backbone.bn1.num_batches_tracked == 2


def test_a_copy_records_for_itself(tape):
    agent = make(True)
    learn(agent, experience(), 2)
    copied = copy.deepcopy(agent)
    assert not copied._recorder._recordings
    for each in (agent, copied):
        learn(each, experience(), 3)
    assert same(agent, copied)


def test_without_a_gpu_nothing_is_recorded():
    agent = TD3Agent(535, 2, device='cpu', cuda_graphs=True)
    learn(agent, experience(), 2)
    assert agent._recorder is None


@needs_gpu
@pytest.mark.parametrize('case', [*CASES, {'architecture': 'resnet18'},
                                  {'precision': 'bfloat16', 'architecture': 'resnet18'}])
def test_graphs_compute_what_updates_without_compute(case):
    reports = []
    for recording in (False, True):
        agent = make(recording, device='cuda', **case)
        reports.append(learn(agent, experience(case.get('flat', False)), 7))
    assert agent._recorder.works and agent._recorder._recordings.keys() == {'critic', 'actor'}
    for one, other in zip(*reports):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == pytest.approx(value, rel=5e-2, abs=1e-2)
