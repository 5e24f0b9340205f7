# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy alone: exact, quick to load, whole or not at all; and ``inspect_checkpoint``."""

import json
import math
import random
import struct
import time
import zlib

from agents import flat_agent, image_agent, learn
import numpy as np
import pytest
import torch

from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.inspect_checkpoint import inspect, main
from av_td3_ros.learning.policy import export_policy, Policy, PolicyRefused
from av_td3_ros.learning.td3 import TD3Agent


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def observation(agent, seed=0):
    draw = np.random.default_rng(seed)
    if not agent.use_dict_buffer:
        return draw.standard_normal(agent.state_dim).astype(np.float32)
    return {'image': draw.integers(0, 256, (4, 84, 84)).astype(np.uint8),
            'vector': draw.standard_normal(agent.vector_dim).astype(np.float32)}


@pytest.mark.parametrize('make', [
    flat_agent, image_agent, lambda: image_agent('nature_layernorm'),
    lambda: image_agent('resnet18')])
def test_policy_acts_as_the_agent(tmp_path, make):
    agent, policy = make(), Policy()
    learn(agent, 2, size=2)
    info = policy.load(export_policy(agent, 7))
    assert info == policy.info and info.version == 7 and info.total_it == 2
    expected = agent.act(observation(agent))
    assert np.array_equal(policy.act(observation(agent)), expected)
    # It is the network's own answer, and no longer changes when the agent learns on.
    learn(agent, 2, size=2)
    assert np.array_equal(policy.act(observation(agent)), expected)
    assert not np.array_equal(agent.act(observation(agent)), expected)
    agent.save_checkpoint(tmp_path / 'a.pth')
    policy.load_checkpoint(tmp_path / 'a.pth')
    assert np.array_equal(policy.act(observation(agent)), agent.act(observation(agent)))


def test_action_is_the_networks_answer():
    agent = image_agent()
    given = observation(agent)
    image = torch.from_numpy(given['image'])[None].float() / 255.0
    with torch.no_grad():
        state = torch.cat([agent.actor_cnn(image), torch.from_numpy(given['vector'])[None]], 1)
        expected = agent.actor(state)[0].numpy()
    action = agent.act(given)
    assert action.dtype == np.float32 and action.shape == (2,)
    np.testing.assert_allclose(action, expected, atol=1e-6)
    again = action.copy()
    agent.act(observation(agent, 1))
    assert np.array_equal(action, again), 'an action must not be overwritten by the next'


def test_loading_leaves_the_random_state_alone():
    packed = export_policy(image_agent())
    before = torch.get_rng_state()
    Policy().load(packed)
    assert torch.equal(before, torch.get_rng_state())


def test_damaged_policies_change_nothing():
    agent, policy, draw = image_agent(), Policy(), random.Random(0)
    with pytest.raises(RuntimeError, match='no policy'):
        policy.act(observation(agent))
    packed = export_policy(agent)
    policy.load(packed)
    expected = policy.act(observation(agent))
    for _ in range(200):
        bad = bytearray(packed)
        if draw.random() < 0.5:
            bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        else:
            del bad[draw.randrange(len(bad)):]
        with pytest.raises(PolicyRefused):
            policy.load(bad)
    with torch.no_grad():
        agent.actor_cnn.conv2.bias[3] = float('nan')
    with pytest.raises(PolicyRefused, match='actor_cnn.conv2.bias is not finite'):
        policy.load(export_policy(agent))
    agent.actor.fc2 = torch.nn.Linear(16, 17)
    with pytest.raises(PolicyRefused, match='actor.fc'):
        policy.load(export_policy(agent))
    assert np.array_equal(policy.act(observation(agent)), expected)


def with_header(packed, text):
    """Return exported bytes with another header, and a checksum that is right."""
    length, = struct.unpack_from('<I', packed, 8)
    start = -(-(12 + length) // 64) * 64
    data = packed[:8] + struct.pack('<I', len(text)) + text
    data += bytes(-len(data) % 64) + packed[start:-4]
    return data + struct.pack('<I', zlib.crc32(data))


def changed_header(packed, **changes):
    length, = struct.unpack_from('<I', packed, 8)
    return {**json.loads(packed[12:12 + length]), **changes}


ABSURD = [math.inf, -math.inf, math.nan, 1e308, -1, 0, 1 << 62, 10 ** 400, True, None, '', 'x',
          '\ud800', [], [[]], {}, [math.inf], [1e308] * 50000, [[[1]]], ['9' * 5000], 'float32']


def test_absurd_headers_with_a_right_checksum_are_refused():
    agent, policy = flat_agent(), Policy()
    packed = export_policy(agent, 3)
    policy.load(packed)
    # The helper makes what is taken.
    assert Policy().load(with_header(packed, json.dumps(changed_header(packed)).encode())) \
        == policy.info
    headers = [b'[' * 900_000, b'{"a":' * 150_000, b'', b'null', b'[]', b'\xff\xfe', b'Infinity',
               b'{"tensors": 3}', b'9' * 100_000]
    good = changed_header(packed)
    for name in (*good, 'surplus'):
        headers += [json.dumps({**good, name: bad}).encode() for bad in ABSURD
                    if not (name == 'max_action' and bad is True)]
    for place in range(3):
        for bad in ABSURD:
            tensors = [list(tensor) for tensor in good['tensors']]
            tensors[0][place] = bad
            headers.append(json.dumps({**good, 'tensors': tensors}).encode())
    begun, taken = time.process_time(), []
    for header in headers:
        try:
            taken.append(Policy().load(with_header(packed, header)))
        except PolicyRefused as error:
            str(error).encode()     # it can be logged
            assert len(str(error)) < 300
    # Values that say the same, or nothing that a flat state needs.
    assert len(taken) < 40 and time.process_time() - begun < 30.0
    for info in taken:
        assert info._replace(version=0, total_it=0, max_action=1.0, input_channels=0,
                             image_shape=()) == policy.info._replace(
            version=0, total_it=0, max_action=1.0, input_channels=0, image_shape=())


@pytest.mark.parametrize('bad', [
    {'image': np.zeros((4, 84, 84), np.float32), 'vector': np.zeros(23, np.float32)},
    {'image': np.zeros((3, 84, 84), np.uint8), 'vector': np.zeros(23, np.float32)},
    {'image': np.zeros((4, 84, 84), np.uint8), 'vector': np.zeros(22, np.float32)}])
def test_observations_of_other_shapes_are_refused(bad):
    with pytest.raises(ValueError):
        image_agent().act(bad)


def test_inspect_prints_table_and_json(tmp_path, capsys):
    agent = image_agent('resnet18')
    learn(agent, 2, size=2)
    agent.save_checkpoint(tmp_path / 'a.pth', exploration={'x': 1})
    assert main([str(tmp_path / 'a.pth')]) is None
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith('critic_cnn_state_dict'))
    assert line.split()[1] == '123' and 'exploration' in printed
    assert main([str(tmp_path / 'a.pth'), '--json']) is None
    found = json.loads(capsys.readouterr().out)
    assert found['verifies'] and found['checksum'] == 'right' and found['missing'] == []
    assert found['total_it'] == 2 and found['architecture'] == 'resnet18'
    assert found['parts']['actor_cnn_state_dict']['entries'] == 123
    assert found['parts']['actor_state_dict']['parameters'] == sum(
        p.numel() for p in agent.actor.parameters())


def test_inspect_tells_what_is_wrong(tmp_path, capsys):
    agent = TD3Agent(5, 2, use_dict_buffer=False)
    path = tmp_path / 'a.pth'
    agent.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    for key in ('actor_target_state_dict', 'random_states', 'format_version', 'software',
                'architecture'):
        content.pop(key)
    torch.save(content, tmp_path / 'old.pth')
    found = inspect(tmp_path / 'old.pth')
    assert found['verifies'] and found['checksum'] == 'none' and found['warnings']
    assert {'actor_target_state_dict', 'random_states'} <= set(found['missing'])
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    assert 'SHA-256' in main([str(path)])
    assert 'NO: the file is damaged' in capsys.readouterr().out
    assert 'ENOENT' in main([str(tmp_path / 'none')])
    with pytest.raises(CheckpointError, match='SHA-256'):
        Policy().load_checkpoint(path)
