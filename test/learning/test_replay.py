# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay memory: what is stored, what is sampled, and what is refused."""

import threading

import numpy as np
import pytest
import torch

from av_td3_ros.learning.replay import ReplayMemory

VECTOR = np.zeros(23, np.float32)
ACTION = np.zeros(2, np.float32)


def frame(value):
    return np.full((84, 84), value, np.uint8)


def filled(length, *, ends=(), **options):
    """Return a memory with one stream; frames, vectors and rewards are the steps' numbers."""
    memory = ReplayMemory(options.pop('capacity', 1000), **options)
    flat = memory.layout.image_shape is None
    memory.begin_episode(0, None if flat else frame(0), VECTOR)
    for step in range(1, length + 1):
        end = step in ends
        memory.add(0, ACTION + step, step, end, False, None if flat else frame(step % 256),
                   VECTOR + step)
        if end:
            memory.begin_episode(0, None if flat else frame(step % 256), VECTOR + step)
    return memory


def levels(images):
    return images[:, :, 0, 0].tolist()


def test_batch_is_what_the_learner_expects():
    batch = filled(50).sample(32)
    for observation in (batch.observation, batch.next_observation):
        assert observation['image'].shape == (32, 4, 84, 84)
        assert observation['image'].dtype == torch.uint8
        assert observation['vector'].shape == (32, 23)
        assert observation['vector'].dtype == torch.float32
    assert batch.action.shape == (32, 2) and batch.action.dtype == torch.float32
    assert batch.reward.shape == batch.discount.shape == (32, 1)
    assert batch.reward.dtype == batch.discount.dtype == torch.float32


def test_flat_batch():
    batch = filled(50, image_shape=None).sample(8)
    assert batch.observation.shape == batch.next_observation.shape == (8, 23)
    assert torch.equal(batch.observation + 1, batch.next_observation)


def test_stacks_stop_at_the_edge_of_an_episode():
    memory = filled(9, ends=(5,))
    # Row 0 starts the first episode, row 6 the second.
    batch = memory.batch(np.array([1, 2, 4, 5, 7, 9]))
    assert levels(batch.observation['image']) == [
        [0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 2, 3], [1, 2, 3, 4], [5, 5, 5, 5], [5, 5, 6, 7]]
    assert levels(batch.next_observation['image']) == [
        [0, 0, 0, 1], [0, 0, 1, 2], [1, 2, 3, 4], [2, 3, 4, 5], [5, 5, 5, 6], [5, 6, 7, 8]]
    assert batch.discount[:, 0].tolist() == pytest.approx([0.99, 0.99, 0.99, 0, 0.99, 0.99])
    with pytest.raises(ValueError, match='row 6 is not the end'):
        memory.batch(np.array([6]))


def test_n_step_returns():
    memory = filled(9, ends=(5,), n_step=3, discount=0.5)
    batch = memory.batch(np.array([1, 3, 4, 5, 9, 10]))
    assert batch.reward[:, 0].tolist() == [1 + 2 / 2 + 3 / 4, 3 + 4 / 2 + 5 / 4, 4 + 5 / 2, 5,
                                           8 + 9 / 2, 9]
    # Terminated inside the window: nothing to come. Not gone further yet: bootstrap from there.
    assert batch.discount[:, 0].tolist() == [0.125, 0, 0, 0, 0.25, 0.5]
    assert levels(batch.next_observation['image'])[0] == [0, 1, 2, 3]
    assert levels(batch.next_observation['image'])[4] == [6, 7, 8, 9]


@pytest.mark.parametrize('end', ['truncated', 'abandoned'])
def test_truncation_and_abandonment_keep_the_bootstrap(end):
    memory = ReplayMemory(100, n_step=3, discount=0.5)
    memory.begin_episode(7, frame(0), VECTOR)
    memory.add(7, ACTION, 1, False, False, frame(1), VECTOR)
    memory.add(7, ACTION, 2, False, end == 'truncated', frame(2), VECTOR)
    if end == 'abandoned':
        memory.abandon(7)
    with pytest.raises(ValueError, match='stream 7 has no open episode'):
        memory.add(7, ACTION, 1, False, False, frame(3), VECTOR)
    memory.begin_episode(7, frame(9), VECTOR)
    memory.add(7, ACTION, 100, False, False, frame(10), VECTOR)
    batch = memory.batch(np.array([1, 2]))
    assert batch.reward[:, 0].tolist() == [2, 2]
    assert batch.discount[:, 0].tolist() == [0.25, 0.5]
    assert levels(batch.next_observation['image']) == [[0, 0, 1, 2], [0, 0, 1, 2]]


def test_oldest_give_way_to_the_newest():
    memory = filled(1000, capacity=100, image_shape=None)
    assert len(memory) == 100
    assert set(memory.sample(5000).reward[:, 0].tolist()) == set(range(901, 1001))


def test_every_transition_is_equally_likely():
    memory = filled(40, ends=(3, 10, 11, 30), image_shape=None, seed=3)
    counts = np.bincount(memory.sample(40_000).reward[:, 0].numpy().astype(int))[1:]
    # Chi-squared with 39 degrees of freedom is below 81 but once in ten thousand.
    assert len(counts) == 40 and ((counts - 1000) ** 2 / 1000).sum() < 81


def test_mostly_first_rows():
    memory = ReplayMemory(1000, image_shape=None)
    for _ in range(200):
        memory.begin_episode(0, None, VECTOR)
    memory.add(0, ACTION, 5, True, False, None, VECTOR)
    assert memory.sample(10).reward[:, 0].tolist() == [5] * 10


def test_seed_decides_the_samples():
    def draw(seed):
        return [filled(100, image_shape=None, seed=seed).sample_rows(20).tolist()]
    assert draw(1) == draw(1) != draw(2)


def test_bytes_of_a_transition():
    for capacity in (20_000, 1_000_000):
        memory = ReplayMemory(capacity)
        arrays = [memory._store.frames, memory._store.records, memory._chains.back,
                  memory._chains.ahead]
        assert sum(array.nbytes for array in arrays) <= 7300 * capacity


def test_batches_stay_as_they_are():
    memory = filled(200)
    batches = [memory.sample(16) for _ in range(12)]
    kept = [(batch, batch.observation['image'].clone()) for batch in batches]
    views = [memory.sample(16).next_observation['image'][3] for _ in range(3)]
    copies = [view.clone() for view in views]
    for _ in range(50):
        memory.sample(16)
    assert all(torch.equal(batch.observation['image'], image) for batch, image in kept)
    assert all(torch.equal(view, copy) for view, copy in zip(views, copies))


def test_output_is_reused_once_it_is_free():
    memory = filled(50)
    memory.sample(16)
    addresses = {memory.sample(16).observation['image'].data_ptr() for _ in range(20)}
    assert len(addresses) <= 2


BAD = {
    'image must be uint8 of shape': [('image', frame(0).astype(np.float32)),
                                     ('image', np.zeros((84, 83), np.uint8)),
                                     ('image', np.zeros((4, 84, 84), np.uint8)),
                                     ('image', None), ('image', [[0]])],
    'vector must be numbers of shape': [('vector', np.zeros(22, np.float32)),
                                        ('vector', np.array(['a'] * 23)), ('vector', None)],
    'vector must be finite': [('vector', np.full(23, np.nan)), ('vector', np.full(23, 1e39))],
    'action must be numbers of shape': [('action', np.zeros((1, 2))), ('action', 0.5)],
    'action must be finite': [('action', np.array([0, np.inf]))],
    'reward must be finite': [('reward', float('nan')), ('reward', -float('inf')),
                              ('reward', 1e39)],
    'reward must be a number': [('reward', 'much'), ('reward', None), ('reward', [1.0, 2.0]),
                                ('reward', 10 ** 400)],
    'terminated must be a bool': [('terminated', 1), ('terminated', None)],
    'truncated must be a bool': [('truncated', 'no')],
}


@pytest.mark.parametrize('message,name,value', [
    (message, *case) for message, cases in BAD.items() for case in cases])
def test_bad_transition_is_refused_and_ends_its_episode(message, name, value):
    memory = filled(3)
    before = memory._store.records[:10].copy(), memory.state_dict()
    good = {'action': ACTION, 'reward': 1.0, 'terminated': False, 'truncated': False,
            'image': frame(0), 'vector': VECTOR}
    with pytest.raises(ValueError, match=message):
        memory.add(0, **{**good, name: value})
    after = memory.state_dict()
    assert (before[0] == memory._store.records[:10]).all()
    assert {**after, 'open_episodes': {0: 3}, 'counters': before[1]['counters']} == before[1]
    assert after['counters'] == {'added': 3, 'abandoned': 1, 'lost': 0}
    # What came next would follow an observation that it did not come from.
    with pytest.raises(ValueError, match='no open episode'):
        memory.add(0, **good)
    if name in ('image', 'vector'):
        with pytest.raises(ValueError, match=message):
            memory.begin_episode(0, **{'image': frame(0), 'vector': VECTOR, name: value})
        assert not memory.open_episodes


def test_bad_calls():
    for options, message in (({'capacity': 0}, 'capacity'), ({'capacity': 1.5}, 'capacity'),
                             ({'stack': 0}, 'stack'), ({'n_step': True}, 'n_step'),
                             ({'image_shape': (84,)}, 'image_shape'),
                             ({'image_shape': (0, 84)}, 'height'), ({'discount': 2}, 'discount'),
                             ({'discount': float('nan')}, 'discount')):
        with pytest.raises(ValueError, match=message):
            ReplayMemory(**{'capacity': 10, **options})
    memory = ReplayMemory(10, image_shape=None)
    with pytest.raises(ValueError, match='no transition to sample'):
        memory.sample(1)
    with pytest.raises(ValueError, match='image must be None'):
        memory.begin_episode(0, frame(0), VECTOR)
    with pytest.raises(ValueError, match='stream must be an integer'):
        memory.begin_episode('car', None, VECTOR)
    memory.begin_episode(0, None, VECTOR)
    memory.add(0, ACTION, 1, False, False, None, VECTOR)
    for size in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match='batch_size'):
            memory.sample(size)
    for rows in ([-1], [2]):
        with pytest.raises(ValueError, match='rows must be between 0 and 1'):
            memory.batch(np.array(rows))


def test_counters():
    memory = filled(5, ends=(2,))
    memory.begin_episode(1, frame(0), VECTOR)
    memory.begin_episode(1, frame(0), VECTOR)
    assert memory.counters == {'added': 5, 'abandoned': 1, 'lost': 0, 'open': 2,
                               'uncommitted': 0}


@pytest.mark.parametrize('on_disk', [False, True])
def test_one_thread_adds_while_another_samples(tmp_path, on_disk):
    # A ring that turns over all the time: whatever is sampled must be of one piece.
    memory = ReplayMemory(64, n_step=2, image_shape=(16, 16), vector_dim=1,
                          directory=tmp_path if on_disk else None)
    stop, failures = threading.Event(), []

    def add():
        number, steps = 0, 0
        memory.begin_episode(0, np.zeros((16, 16), np.uint8), np.zeros(1))
        while not stop.is_set():
            number += 1
            memory.add(0, ACTION, number, False, False, np.full((16, 16), number % 256, np.uint8),
                       np.array([number]))
            steps += 1
        failures.append(None if steps > 64 * 5 else f'only {steps} steps')

    writer = threading.Thread(target=add)
    writer.start()
    while len(memory) < 60 and writer.is_alive():
        pass
    for _ in range(300):
        batch = memory.sample(32)
        last = batch.next_observation['vector'][:, :1].long()
        image = batch.next_observation['image'].long()
        expected = torch.clamp(last - torch.tensor([3, 2, 1, 0]), min=0) % 256
        assert (image == expected[:, :, None, None]).all()
        first = batch.observation['vector'][:, :1].long()
        assert torch.equal(batch.observation['image'].long()[:, -1, 0, 0], first[:, 0] % 256)
        assert ((last - first >= 1) & (last - first <= 2)).all()
    while memory._chains.head < 500 and writer.is_alive():
        pass
    stop.set()
    writer.join(30)
    assert failures == [None]
