# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay memory in a checkpoint: exactly as it was, or a reason why not."""

import copy
import io
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
import torch

from av_td3_ros.learning.replay import ReplayError, ReplayMemory, ReplayWarning

VECTOR = np.zeros(3, np.float32)


def flat(directory=None, capacity=100, **options):
    return ReplayMemory(capacity, image_shape=None, vector_dim=3, directory=directory, **options)


def grow(memory, steps, sign=1):
    for _ in range(steps):
        number = memory._chains.head
        if 0 not in memory.open_episodes:
            memory.begin_episode(0, None, VECTOR + number)
        else:
            memory.add(0, np.zeros(2), sign * number, number % 40 == 39, False, None,
                       VECTOR + number)


def through_a_file(state):
    file = io.BytesIO()
    torch.save({'replay': state}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)['replay']


def same(batch, other):
    return all(np.array_equal(a, b) for a, b in zip(batch, other))


def test_state_is_plain_and_small(tmp_path):
    with flat(tmp_path) as memory:
        grow(memory, 50)
        memory.sample(7)
        state = memory.state_dict()
        assert through_a_file(state) == state
        assert len(repr(state)) < 1000
        assert state['directory'] == str(tmp_path)


RESUME = """
import sys, torch, numpy as np
sys.path.insert(0, sys.argv[1])
from test_replay_state import flat, grow
state = torch.load(sys.argv[2] + '/checkpoint', weights_only=True)
with flat(sys.argv[2] + '/replay', seed=99) as memory:
    assert memory.load_state_dict(state, strict=True).exact
    rows = [memory.sample_rows(10).tolist() for _ in range(5)]
    grow(memory, 30)
    rows += [memory.sample_rows(10).tolist() for _ in range(5)]
print(rows)
"""


def test_another_process_goes_on_exactly(tmp_path):
    with flat(tmp_path / 'replay', seed=5) as memory:
        grow(memory, 170)
        memory.sample(30)
        torch.save(memory.state_dict(), tmp_path / 'checkpoint')
        memory.commit()
        rows = [memory.sample_rows(10).tolist() for _ in range(5)]
        # The open episode goes on, as it does after the resume.
        grow(memory, 30)
        rows += [memory.sample_rows(10).tolist() for _ in range(5)]
    here = Path(__file__).parent
    result = subprocess.run(
        [sys.executable, '-c', RESUME, str(here), str(tmp_path)], cwd=here.parents[1],
        env={'PYTHONPATH': str(here.parents[1])}, capture_output=True, text=True, timeout=100)
    assert result.stdout == f'{rows}\n', result.stderr


@pytest.mark.parametrize('on_disk', [False, True])
@pytest.mark.parametrize('since', [0, 1, 25, 32])
def test_back_to_a_state_in_a_full_ring(tmp_path, on_disk, since):
    memory = flat(tmp_path if on_disk else None)
    grow(memory, 500)
    state, before = memory.state_dict(), memory.verify()
    live = memory._chains.tail, memory._chains.head
    expected = memory.sample(40)
    memory.commit()
    grow(memory, since)
    memory.commit()
    if on_disk:
        memory.close()
        memory = flat(tmp_path)
    restored = memory.load_state_dict(state, strict=True)
    assert restored.exact and restored.lost == 0
    assert (memory._chains.tail, memory._chains.head) == live and before == memory.verify() == []
    assert same(memory.sample(40), expected)
    assert memory.counters['added'] == state['counters']['added']
    memory.close()


@pytest.mark.parametrize('on_disk', [False, True])
def test_overwritten_rows_are_named(tmp_path, on_disk):
    memory = flat(tmp_path if on_disk else None)
    grow(memory, 500)
    state = memory.state_dict()
    grow(memory, 60)
    now = memory.state_dict()
    reason = r'oldest 1\d rows were overwritten; 1\d of 100 transitions are lost'
    with pytest.raises(ReplayError, match=reason):
        memory.load_state_dict(state, strict=True)
    assert memory.state_dict() == now
    with pytest.warns(ReplayWarning, match=reason):
        restored = memory.load_state_dict(state)
    assert not restored.exact and 10 <= restored.lost < 20
    assert len(memory) == 100 - restored.lost and memory._chains.head == 500
    assert memory.verify() == []
    grow(memory, 300)
    assert memory.verify() == [] and len(memory) == 100
    memory.close()


def test_all_overwritten_keeps_what_is_here(tmp_path):
    with flat(tmp_path) as memory:
        grow(memory, 120)
        state = memory.state_dict()
        grow(memory, 400)
        with pytest.warns(ReplayWarning, match='none of its 100 transitions can be told'):
            restored = memory.load_state_dict(state)
        assert restored.lost == 100 and len(memory) == 100 and not memory.open_episodes


def test_replaced_rows_are_not_taken_for_the_states(tmp_path):
    memory = flat(tmp_path)
    grow(memory, 50)
    early = memory.state_dict()
    grow(memory, 50)
    late = memory.state_dict()
    assert memory.load_state_dict(early).exact
    # Nothing has been written yet: there is a way forward again.
    assert memory.load_state_dict(late).exact and memory._chains.head == 100
    assert memory.load_state_dict(early).exact
    grow(memory, 60, sign=-1)
    with pytest.warns(ReplayWarning, match='can be told to be here; all 100 that are here'):
        assert memory.load_state_dict(late).lost == 97
    memory.close()
    # The same again, to the bit, is the same.
    memory = flat(tmp_path)
    assert memory.load_state_dict(early).exact
    grow(memory, 70)
    assert memory.load_state_dict(late).exact
    memory.close()


def test_rewinding_is_durable_before_rows_are_replaced(tmp_path):
    with flat(tmp_path) as memory:
        grow(memory, 50)
        early = memory.state_dict()
        grow(memory, 50)
        memory.commit()
        memory.load_state_dict(early)
        assert memory._store.last.head == 100
        grow(memory, 1)
        assert memory._store.last.head == 50
        grow(memory, 9)
    with flat(tmp_path) as memory:
        assert memory._chains.head == 60 and memory.verify() == []
        assert memory.counters['lost'] == 0


def test_uncommitted_rows_are_named(tmp_path):
    memory = flat(tmp_path / 'replay')
    grow(memory, 80)
    memory.commit()
    files = {path.name: path.read_bytes() for path in (tmp_path / 'replay').iterdir()}
    grow(memory, 10)
    state = memory.state_dict()
    memory.close()
    for name, data in files.items():
        (tmp_path / 'replay' / name).write_bytes(data)
    with flat(tmp_path / 'replay') as memory:
        with pytest.raises(ReplayError, match='newest 10 rows were never committed; 9 of 87'):
            memory.load_state_dict(state, strict=True)
        with pytest.warns(ReplayWarning, match='newest 10 rows'):
            restored = memory.load_state_dict(state)
        assert restored.lost == 9 and not memory.open_episodes
        grow(memory, 20)
        assert memory.verify() == []


def test_in_memory_through_save_and_load(tmp_path):
    memory = ReplayMemory(60, image_shape=(8, 8), vector_dim=1, seed=4)
    for step in range(150):
        frame = np.full((8, 8), step, np.uint8)
        if step % 50 == 0:
            memory.begin_episode(3, frame, np.zeros(1))
        else:
            memory.add(3, np.zeros(2), step, False, False, frame, np.zeros(1))
        if step % 40 == 0:
            memory.save(tmp_path / 'saved')
    memory.save(tmp_path / 'saved')
    state = through_a_file(memory.state_dict())
    assert state['directory'] is None
    expected = memory.sample(30)
    other = ReplayMemory(60, image_shape=(8, 8), vector_dim=1)
    with pytest.warns(ReplayWarning, match='none of its 60 transitions'):
        assert not other.load_state_dict(state).exact
    other.load(tmp_path / 'saved')
    assert other.load_state_dict(state, strict=True).exact
    batch = other.sample(30)
    assert torch.equal(batch.observation['image'], expected.observation['image'])
    assert torch.equal(batch.reward, expected.reward)
    other.add(3, np.zeros(2), 150, False, False, np.zeros((8, 8), np.uint8), np.zeros(1))
    other.save(tmp_path / 'saved')
    with ReplayMemory(60, image_shape=(8, 8), vector_dim=1, directory=tmp_path / 'saved') as third:
        assert third._chains.head == 151 and third.verify() == []
        with pytest.raises(ValueError, match='without a directory'):
            third.load(tmp_path / 'other')
    stranger = ReplayMemory(60, image_shape=(8, 8), vector_dim=1)
    stranger.begin_episode(0, np.zeros((8, 8), np.uint8), np.zeros(1))
    with pytest.raises(ReplayError, match='not of this replay memory'):
        stranger.save(tmp_path / 'saved')
    with pytest.raises(FileNotFoundError, match='holds no replay memory'):
        stranger.load(tmp_path / 'nothing')
    assert not (tmp_path / 'nothing').exists()


def test_other_settings_are_named():
    memory = flat(n_step=3)
    grow(memory, 20)
    state = memory.state_dict()
    other = flat(n_step=1, discount=0.5)
    grow(other, 20)
    with pytest.warns(ReplayWarning, match='n_step was 3 there and is 1 here; discount was 0.99'):
        assert not other.load_state_dict(state).exact


def change(state, path, value):
    state = copy.deepcopy(state)
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return state


@pytest.mark.parametrize('path,value,message', [
    (['version'], 2, 'version is 2'), (['layout', 'capacity'], 0, 'layout is'),
    (['layout', 'capacity'], 99, 'another layout'), (['layout', 'vector_dim'], 'a', 'layout is'),
    (['layout', 'image_shape'], [84, 84], 'another layout'), (['layout'], None, 'layout is'),
    (['head'], -1, 'head is -1'), (['head'], 10 ** 6, 'tail is'), (['head'], 1.0, 'head is'),
    (['tail'], 10 ** 6, 'tail is'), (['chain'], 1 << 32, 'chain is'),
    (['rng', 'state'], 'x', 'rng is'), (['rng', 'state'], 5, 'rng is'), (['rng'], {}, 'rng is'),
    (['rng', 'inc'], hex(1 << 128), 'rng is'), (['open_episodes', 0], 50, 'open_episodes is'),
    (['open_episodes'], [1], 'open_episodes is'), (['counters'], {}, 'counters is'),
    (['discount'], float('nan'), 'discount is'), (['surplus'], 1, r"keys \['surplus'\]")])
def test_bad_state_changes_nothing(path, value, message):
    memory = flat()
    grow(memory, 50)
    state = memory.state_dict()
    grow(memory, 5)
    before = memory.state_dict()
    with pytest.raises(ValueError, match=message):
        memory.load_state_dict(change(state, path, value))
    assert memory.state_dict() == before
    with pytest.raises(ValueError, match='dictionary'):
        memory.load_state_dict([])


def test_rows_that_are_not_live_are_believed_only_where_they_are_whole():
    memory = flat()
    grow(memory, 50)
    early = memory.state_dict()
    grow(memory, 50)
    late = memory.state_dict()
    memory.load_state_dict(early)
    memory._store.records['vector'][70] += 1
    with pytest.warns(ReplayWarning, match='newest 50 rows'):
        restored = memory.load_state_dict(late)
    # What lies between cannot be told from rows of another history.
    assert memory._chains.head == 50 and restored.lost == 49
    memory._store.records['vector'][70] -= 1
    assert memory.load_state_dict(late).exact


def test_saving_again_after_going_back(tmp_path):
    memory = flat()
    grow(memory, 300)
    early = memory.state_dict()
    grow(memory, 25)
    memory.save(tmp_path)
    assert memory.load_state_dict(early).exact
    memory.save(tmp_path)
    other = flat()
    other.load(tmp_path)
    assert other.verify() == []
    assert (other._chains.tail, other._chains.head) == (early['tail'], early['head'])
    assert other.load_state_dict(early, strict=True).exact
