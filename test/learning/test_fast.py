# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shorter ways: the same sums as torch's own, and torch's own where there are none."""

import copy
import ctypes
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from av_td3_ros.learning import fast
from av_td3_ros.learning.acting import Acting
from av_td3_ros.learning.encoders import NatureEncoder, NatureLayerNormEncoder
from av_td3_ros.learning.learner import Learner, LearnerSettings, TrainingSettings
from av_td3_ros.learning.networks import Actor
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.td3 import TD3Agent


@pytest.fixture(autouse=True)
def untouched():
    """Leave the switch as it was."""
    before = fast.enabled
    yield
    fast.enabled = before


@pytest.fixture
def product(monkeypatch):
    """Use oneDNN's product on any processor that has one."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip('this torch has no oneDNN')
    monkeypatch.setattr(fast, '_product', torch.ops.mkldnn._linear_pointwise.default)
    monkeypatch.setattr(fast, '_least', 0)


def gradients(function, *tensors):
    given = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*given)
    out.square().sum().backward()
    return out.detach(), [tensor.grad for tensor in given]


@pytest.mark.parametrize('rows, inputs, outputs', [(16, 64, 64), (256, 256, 256), (64, 537, 96)])
def test_a_layer_and_its_gradients_are_those_of_float64(product, rows, inputs, outputs):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape) for shape in (
        (rows, inputs), (outputs, inputs), (outputs,)))
    out, found = gradients(fast.linear, x, weight, bias)
    expected, wanted = gradients(F.linear, x.double(), weight.double(), bias.double())
    for one, other in zip([out, *found], [expected, *wanted]):
        assert one.is_contiguous()
        assert ((one - other).abs().max() / other.abs().max()) < 1e-5


def test_the_other_product_is_taken_for_large_float32_alone(product):
    def takes(x, weight, **contexts):
        x.requires_grad_()
        return 'Linear' in type(fast.linear(x, weight, None).grad_fn).__name__
    assert takes(torch.randn(64, 128), torch.randn(64, 128))
    assert not takes(torch.randn(8, 128), torch.randn(64, 128))
    assert not takes(torch.randn(64, 23), torch.randn(64, 23))
    assert not takes(torch.randn(128), torch.randn(64, 128))
    assert not takes(torch.randn(64, 3, 128), torch.randn(64, 128))
    assert not takes(torch.randn(64, 128).double(), torch.randn(64, 128).double())
    with torch.autocast('cpu', torch.bfloat16):
        assert not takes(torch.randn(64, 128), torch.randn(64, 128))
    with fast.plain():
        assert not takes(torch.randn(64, 128), torch.randn(64, 128))
    assert fast.enabled


@pytest.mark.parametrize('vendor, family, flags, least', [
    ('AuthenticAMD', 26, 'avx2 avx512f', 0), ('AuthenticAMD', 25, 'avx2 avx512f', 100_000),
    ('AuthenticAMD', 25, 'avx2', None), ('AuthenticAMD', 26, 'avx2 avx512fp16', None),
    ('GenuineIntel', 6, 'avx2 avx512f', None), ('', 0, '', None)])
def test_the_processor_alone_decides_on_the_product(vendor, family, flags, least):
    said = f'processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n'
    assert fast._least_weights(said) == least
    assert fast._least_weights('') is None


def test_products_below_the_processors_least_are_torchs_own(product, monkeypatch):
    monkeypatch.setattr(fast, '_least', 100_000)
    small, large = torch.randn(256, 256), torch.randn(256, 537)
    for weight, taken in ((small, False), (large, True)):
        x = torch.randn(64, weight.shape[1], requires_grad=True)
        assert ('Linear' in type(fast.linear(x, weight, None).grad_fn).__name__) == taken


@pytest.mark.parametrize('kind', [NatureEncoder, NatureLayerNormEncoder])
def test_images_in_bfloat16_are_those_that_autocast_rounds(kind):
    image = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    encoder = kind()
    assert torch.equal(encoder.scale(image, torch.bfloat16),
                       encoder.scale(image).to(torch.bfloat16))


@pytest.mark.parametrize('images', [
    torch.randint(0, 256, (3, 5, 84, 84), dtype=torch.uint8)[:, 1:],
    torch.randint(0, 256, (2, 4, 7, 5), dtype=torch.uint8),
    torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8),
    torch.randint(0, 256, (2, 4, 8, 9), dtype=torch.uint8)[..., ::2],
    torch.randint(0, 256, (2, 8, 8, 4), dtype=torch.uint8).permute(0, 3, 1, 2),
    torch.rand(2, 4, 8, 8), torch.empty(0, 4, 8, 8, dtype=torch.uint8)],
    ids=['part of a stack', 'small', 'three channels', 'every second column', 'laid out already',
         'float', 'none'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize('kind', [NatureEncoder, NatureLayerNormEncoder])
def test_images_are_scaled_and_laid_out_as_torch_does_it(images, kind, dtype):
    found, expected = fast.scaled(kind(), images, dtype), kind().scale(images, dtype)
    assert torch.equal(found, expected) and found.dtype == expected.dtype
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('low, high', [(0.0, 1.0), (-1.0, 1.0), (0.3, 0.7), (-3.0, 0.0)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_each_of_256_values_is_scaled_as_torch_does_it(low, high, dtype):
    encoder = NatureEncoder()
    encoder.input_range = low, high
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 4, 64).expand(1, 4, 4, 64)
    assert torch.equal(fast.scaled(encoder, values, dtype), encoder.scale(values, dtype))


def batch(rows):
    rng = torch.Generator().manual_seed(0)
    seen = [{'image': torch.randint(0, 256, (rows, 4, 84, 84), dtype=torch.uint8, generator=rng),
             'vector': torch.randn(rows, 23, generator=rng)} for _ in range(2)]
    return Batch(seen[0], torch.rand(rows, 2, generator=rng), torch.randn(rows, 1, generator=rng),
                 seen[1], torch.full((rows, 1), 0.99))


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_updates_are_torchs_own_but_for_rounding(product, precision):
    reports = []
    for enabled in (True, False):
        fast.enabled = enabled
        torch.manual_seed(0)
        agent = TD3Agent(535, 2, config={'algorithm': {'precision': precision}}, seed=0)
        reports.append([agent.update(batch(16)) for _ in range(2)])
    for one, other in zip(*reports):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name] == pytest.approx(
                value, rel=1e-4 if precision == 'float32' else 0.03, abs=1e-3)


@pytest.mark.parametrize('tensors', [
    [torch.randn(256, 17), torch.randn(256), torch.randn(1, 256)], [torch.randn(3, dtype=float)],
    [torch.tensor([1.0, float('nan')]), torch.ones(2)], [torch.full((2,), float('inf'))],
    [torch.empty(0), torch.ones(2)], []],
    ids=['several', 'float64', 'nan', 'inf', 'none in one', 'none'])
def test_a_norm_is_torchs_own(tensors):
    found, expected = fast.norm(tensors), torch.nn.utils.get_total_norm(tensors)
    assert torch.equal(found, expected) or (found.isnan() and expected.isnan())
    assert found.dtype == expected.dtype
    with fast.plain():
        assert torch.equal(torch.nan_to_num(fast.norm(tensors)), torch.nan_to_num(expected))


def test_a_step_is_adams_own(monkeypatch):
    """Its numbers and its state bit by bit, by the rate of now, and what it left can be loaded."""
    torch.manual_seed(0)
    one = Actor(17, 6)
    other = copy.deepcopy(one)
    kinds = [torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
             for network in (one, other)]
    for update in range(5):
        if update == 3:     # As checkpoints do.
            for optimizer in kinds:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer.param_groups[0]['lr'] = 3e-4
        for parameter, twin in zip(one.parameters(), other.parameters()):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        fast.step_adam(kinds[0])
        kinds[1].step()
    states = [optimizer.state_dict()['state'] for optimizer in kinds]
    assert all(torch.equal(states[0][place][name], states[1][place][name])
               for place in states[1] for name in ('step', 'exp_avg', 'exp_avg_sq'))
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    # And it is not that step().
    monkeypatch.setattr(kinds[0], 'step', None)
    fast.step_adam(kinds[0])


@pytest.mark.parametrize('kind, options', [
    ('AdamW', {'fused': True}), ('Adam', {'maximize': True, 'fused': True}), ('RMSprop', {}),
    ('Adam', {'amsgrad': True, 'fused': True}), ('SGD', {'momentum': 0.9})])
def test_another_optimizer_does_its_own_step(kind, options):
    torch.manual_seed(0)
    one = Actor(17, 6)
    other = copy.deepcopy(one)
    kinds = [getattr(torch.optim, kind)(network.parameters(), lr=1e-2, **options)
             for network in (one, other)]
    for _ in range(3):
        for parameter, twin in zip(one.parameters(), other.parameters()):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        fast.step_adam(kinds[0])
        kinds[1].step()
    assert all(map(torch.equal, one.parameters(), other.parameters()))


@pytest.mark.parametrize('architecture', ['nature', 'resnet18'])
def test_a_copied_agent_acts_by_its_own_weights(architecture):
    torch.manual_seed(0)
    one = TD3Agent(535, 2, config={'networks': {'cnn': {'architecture': architecture}}}, seed=0)
    seen = {'image': np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': np.zeros(23, np.float32)}
    first, other = one.act(seen), copy.deepcopy(one)
    assert np.array_equal(other.act(seen), first)
    with torch.no_grad():
        for parameter in other.actor_cnn.parameters():
            parameter.mul_(1.1)
    assert not np.allclose(other.act(seen), first)
    assert np.array_equal(one.act(seen), first)
    other.update(batch(4))
    assert np.array_equal(one.act(seen), first)


def test_single_images_see_the_weights_of_now_unless_they_are_fixed():
    torch.manual_seed(0)
    encoder, actor = NatureEncoder().eval(), Actor(535, 2)
    seen = {'image': np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': np.zeros(23, np.float32)}
    live, fixed = Acting(actor, encoder), Acting(actor, copy.deepcopy(encoder), fixed=True)
    first = live(seen)
    assert np.array_equal(fixed(seen), first)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01, fused=True)
    for parameter in encoder.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    changed = live(seen)
    assert not np.allclose(changed, first)
    assert np.array_equal(fixed(seen), first)
    # Written past autograd's counts, and back by another tensor's memory.
    kept = encoder.conv2.bias.data.clone()
    encoder.conv2.bias.data.add_(0.1)
    assert not np.array_equal(live(seen), changed)
    encoder.conv2.bias.data = kept
    assert np.array_equal(live(seen), changed)
    assert np.array_equal(live(seen), changed)
    fast.enabled = False
    plain = Acting(actor, encoder)
    assert np.allclose(live(seen), plain(seen), rtol=1e-4, atol=1e-5)


def test_what_does_something_else_is_not_used():
    class Doubled(torch.nn.Conv2d):
        """Does more than its weights say."""

        def forward(self, image):
            return 2.0 * super().forward(image)
    assert fast.prepared([Doubled(1, 2, 3)], torch.rand(1, 1, 8, 8)) is None


def test_the_plain_way_is_a_setting():
    settings = LearnerSettings(training=TrainingSettings(plain=True))
    Learner(settings, {}).close()
    assert not fast.enabled
    Learner(LearnerSettings(), {}).close()
    assert fast.enabled


@pytest.mark.parametrize('other', [
    lambda *_: (_ for _ in ()).throw(RuntimeError('another signature')),
    lambda x, weight, *_: x @ weight.t() + 1.0])
def test_a_product_of_another_torch_that_means_something_else_is_not_used(monkeypatch, other):
    monkeypatch.setattr(fast, '_product', other)
    monkeypatch.setattr(fast, '_least', 0)
    monkeypatch.setattr(fast, '_verified', False)
    x, weight, bias = torch.randn(32, 64), torch.randn(64, 64), torch.randn(64)
    assert torch.equal(fast.linear(x, weight, bias), F.linear(x, weight, bias))
    assert fast._product is None


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallopt'), reason='there is no glibc')
def test_memory_that_was_freed_is_used_again():
    """In a process of its own: it holds for all of it. 24 MB are 6,000 pages."""
    code = (
        'import resource, torch\n'
        'from av_td3_ros.learning import fast\n'
        'torch.set_num_threads(1)\n'
        'def faults():\n'
        '    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
        '    for _ in range(5):\n'
        '        tensors = [torch.ones(6_000_000) for _ in range(4)]\n'
        '        del tensors\n'
        '    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n'
        'fast.keep_memory()\n'
        'faults()\n'
        'print(faults())\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True, timeout=100)
    assert int(done.stdout) < 2000


WEIGHTS = {
    'turned': lambda weight: weight.transpose_(2, 3),
    'turned data': lambda weight: setattr(weight, 'data', weight.data.transpose(2, 3)),
    'one kernel for all': lambda weight: setattr(
        weight, 'data', weight.data[:1].expand(32, -1, -1, -1)),
    'one number': lambda weight: weight.data.view(-1)[17:18].fill_(3.0),
}


@pytest.mark.parametrize('change', WEIGHTS.values(), ids=WEIGHTS)
def test_an_action_is_by_the_weights_of_now(change):
    torch.manual_seed(0)
    agent = TD3Agent(535, 2, seed=0, config={'networks': {'cnn': {'architecture': 'nature'}}})
    seen = {'image': np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8),
            'vector': np.zeros(23, np.float32)}
    before = agent.act(seen)
    with torch.no_grad():
        change(agent.actor_cnn.conv1.weight)
    found = agent.act(seen)
    assert not np.allclose(found, before, rtol=1e-3)
    fast.enabled = False
    assert np.allclose(found, Acting(agent.actor, agent.actor_cnn)(seen), rtol=1e-4, atol=1e-6)


def test_an_action_is_by_the_networks_of_now():
    one, other = (TD3Agent(535, 2, seed=0, config={
        'networks': {'cnn': {'architecture': 'nature'}}}) for _ in range(2))
    seen = {'image': np.full((4, 84, 84), 90, np.uint8), 'vector': np.zeros(23, np.float32)}
    one.act(seen)
    one.actor, one.actor_cnn = other.actor, other.actor_cnn
    assert np.array_equal(one.act(seen), other.act(seen))
