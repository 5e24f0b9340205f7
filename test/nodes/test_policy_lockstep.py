# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In lockstep, a training over three processes is repeatable bit by bit."""

from carla_msgs.msg import CarlaControl
import pytest
from stack import (CAMERA, graph, hear_experience, hear_progress, LEARNER, LOCKSTEP, POLICY,
                   Service, START)
import torch

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]

RUNNING, TRANSITIONS = 70, 90


def train(folder):
    """Learn from exactly so many transitions; return the checkpoint and the experience."""
    with graph(folder) as ros:
        ros.start('simulator', {**CAMERA, **LOCKSTEP, 'vehicles': 4, 'seed': 3,
                                'start_paused': True})
        ros.start('training', {**LEARNER, 'checkpoint_dir': str(folder / 'checkpoints'),
                               'lockstep': True, 'publish_every': 7, 'algorithm.seed': 5,
                               'save_name': 'end', 'save_at_end': False})
        ros.start('policy', {'training': True, 'lockstep': True,
                             'seed': 8, 'episode.max_duration': 2.0})
        heard, progress = hear_experience(ros), hear_progress(ros)
        control = ros.publisher(CarlaControl, '/carla/control', timeout=START)

        def transitions():
            return progress[-1].transitions if progress else 0
        ros.wait_for(lambda: transitions() >= RUNNING, 'experience', START)
        control(CarlaControl(command=CarlaControl.PAUSE))
        ros.spin(1.0)
        assert RUNNING <= transitions() < TRANSITIONS
        while transitions() < TRANSITIONS:
            count, driving = transitions(), heard[-1].transition.ending is None
            control(CarlaControl(command=CarlaControl.STEP_ONCE))
            if driving:
                ros.wait_for(lambda: transitions() > count, 'a transition', 10.0)
            else:
                # On the way to an episode's start a tick brings nothing, or its beginning.
                ros.spin(0.3)
        answer = Service(ros, f'{POLICY}/save_checkpoint')()
        assert answer.success, answer.message
        return torch.load(folder / 'checkpoints' / 'end.pth', weights_only=True), heard


def tensors(item, where=''):
    """Yield each tensor of a checkpoint with its name, and what else is there."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield from tensors(value, f'{where}/{key}')
    elif isinstance(item, (list, tuple)):
        for index, value in enumerate(item):
            yield from tensors(value, f'{where}/{index}')
    else:
        yield where, item


def experience_fields(item):
    """Return what must be equal of two experiences: all but the stream, the clock and versions."""
    step = item.transition
    return {'kind': step.kind, 'episode': step.episode, 'ending': step.ending,
            'vector': step.vector.tobytes(), 'frame': step.frame.tobytes(),
            'action': step.action.tobytes(), 'terms': step.terms, 'reward': step.reward}


def test_the_same_seed_twice_gives_identical_weights(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    one, heard = train(tmp_path / 'a')
    other, again = train(tmp_path / 'b')
    # Every transition is the same.
    count = min(len(heard), len(again))
    assert count > TRANSITIONS
    for first, second in zip(heard[:count], again[:count]):
        for name in experience_fields(first):
            assert experience_fields(first)[name] == experience_fields(second)[name], \
                f'{name} of {first.sequence} differs'
    # And so is what was learned from them.
    assert one['total_it'] == other['total_it'] == (TRANSITIONS - 20) // 2
    parts = [key for key in one if key.endswith('_state_dict') or key in (
        'random_states', 'exploration')]
    assert len(parts) == 14
    for key in parts:
        found, expected = dict(tensors(other[key])), dict(tensors(one[key]))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) \
                else value == found[name]
            assert same, f'{key}{name} differs'
    # No sequence number is missing, and episodes were driven from their beginning.
    assert [item.sequence for item in heard] == list(range(len(heard)))
    assert len({item.transition.episode for item in heard}) >= 2
