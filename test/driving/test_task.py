# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The task: decisions, stacks, terms and endings over whole drives."""

import dataclasses

import numpy as np
import pytest
from shapes import picture, state, straight

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.episode import Ending, EpisodeSettings
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.observation import ObservationSettings
from av_td3_ros.driving.reward import RewardSettings
from av_td3_ros.driving.task import DrivingTask, TaskSettings, Tick, trained_task
from av_td3_ros.settings import as_dict, SettingsError

SPEED = 4.0     # 0.2 m a tick


def tick(number, *, y=0.0, image=True, collided=False):
    return Tick(state(0.2 * number, y, tick=number, speed=SPEED),
                picture(number) if image else None, collided=collided)


def task(repeat=1, on_road=None, **episode):
    return DrivingTask(TaskSettings(action=ActionSettings(repeat=repeat),
                                    episode=EpisodeSettings(**episode)), on_road)


def brightness(observation):
    """Return which ticks' pictures are in the stack."""
    return observation['image'][:, 0, 0].tolist()


def test_a_step_a_tick():
    driven = task()
    assert brightness(driven.begin(tick(0), straight())) == [0, 0, 0, 0]
    steps = [driven.advance(tick(n)) for n in (1, 2, 3, 4, 5)]
    assert brightness(steps[-1].observation) == [2, 3, 4, 5]
    assert steps[-1].terms.progress == pytest.approx(0.2)
    assert steps[-1].reward == pytest.approx(steps[-1].terms.reward(RewardSettings()))
    assert not steps[-1].terminated and not steps[-1].truncated
    # An episode's start clears the stack.
    assert brightness(driven.begin(tick(9), straight())) == [9, 9, 9, 9]


def test_an_action_is_kept_for_several_ticks():
    driven = task(repeat=3)
    driven.begin(tick(0), straight())
    steps = []
    for number in range(1, 10):
        # Only the tick that brings a decision needs its picture.
        assert driven.needs_image == (number % 3 == 0)
        steps.append(driven.advance(tick(number, image=driven.needs_image)))
    assert [step is None for step in steps] == [True, True, False] * 3
    assert brightness(steps[-1].observation) == [0, 3, 6, 9]
    # What a step measures spans its ticks.
    assert steps[-1].terms.progress == pytest.approx(0.6)
    assert steps[-1].terms.speed == pytest.approx((RewardSettings().speed_limit - SPEED) * 0.15)


def test_pictures_that_are_not_needed_change_nothing():
    with_them, without = task(repeat=3), task(repeat=3)
    for driven in (with_them, without):
        driven.begin(tick(0), straight())
    for number in range(1, 20):
        collided = number == 17
        one = with_them.advance(tick(number, collided=collided))
        other = without.advance(tick(number, image=without.needs_image, collided=collided))
        assert (one is None) == (other is None)
        if one is not None:
            assert np.array_equal(one.observation['image'], other.observation['image'])
            assert one.observation['vector'].tobytes() == other.observation['vector'].tobytes()
            assert (one.terms, one.reward, one.ending) == (other.terms, other.reward,
                                                           other.ending)
            if one.ending:
                break
    assert one.ending is Ending.COLLISION and number == 17


def test_a_collision_between_two_decisions_ends_the_episode_there():
    driven = task(repeat=4)
    driven.begin(tick(0), straight())
    assert driven.advance(tick(1)) is None
    step = driven.advance(tick(2, image=False, collided=True))
    assert step.ending is Ending.COLLISION and step.terminated and step.terms.collision == 1.0
    assert step.terms.progress == pytest.approx(0.4)
    # Without a picture of its own it keeps the last.
    assert brightness(step.observation) == [0, 0, 0, 0]


def test_leaving_the_surface_counts_where_it_is_known():
    driven = task(on_road=lambda x, y: x < 0.5)
    driven.begin(tick(0), straight())
    assert driven.advance(tick(1)).ending is None
    step = driven.advance(tick(3))
    assert step.ending is Ending.OFF_ROAD and step.terms.off_road == 1.0


@pytest.mark.parametrize('wheels, off', [
    ({'wheelbase': 2.8, 'track': 1.6}, 1), ({'wheelbase': 2.8, 'track': 1.4}, 0),
    ({'wheelbase': 0.0, 'track': 1.6}, 0),
    ({'wheelbase': 0.2, 'track': 1.4, 'edge_margin': 0.4}, 1)])
def test_wheels_over_the_edge_cost_by_their_number_and_time(wheels, off):
    # A hole under the place of the left rear wheel alone.
    driven = task(repeat=2, on_road=lambda x, y: not (x < -0.05 and y > 0.75),
                  **{'edge_margin': 0.0, **wheels})
    driven.begin(tick(0), straight())
    assert driven.advance(tick(1)) is None
    step = driven.advance(tick(2))
    assert step.terms.edge == pytest.approx(0.1 * off) and step.ending is None
    # From here on each tick has its own wheels: none is over the hole any more.
    driven.advance(tick(8))
    assert driven.advance(tick(9)).terms.edge == 0.0


def test_truncation_is_not_termination():
    driven = task(max_duration=1.0)
    driven.begin(tick(0), straight())
    step = driven.advance(tick(20))
    assert step.ending is Ending.TIME and step.truncated and not step.terminated
    assert step.terms.collision == step.terms.off_road == step.terms.arrival == 0.0


def test_arrival():
    driven = task()
    driven.begin(tick(0), straight(20.0))
    step = driven.advance(tick(90))
    assert step.ending is Ending.ARRIVAL and step.terms.arrival == 1.0


def test_a_picture_that_cannot_be_used_leaves_the_task_as_it_was():
    driven, clean = task(), task()
    for one in (driven, clean):
        one.begin(tick(0), straight())
        one.advance(tick(1))
    with pytest.raises(ImageError):
        driven.advance(Tick(state(0.4, tick=2), picture(2), 'yuv422'))
    for number in (3, 4):
        step, expected = driven.advance(tick(number)), clean.advance(tick(number))
        assert step.reward == expected.reward
        assert np.array_equal(step.observation['image'], expected.observation['image'])


def test_another_route_in_between_earns_no_leap():
    driven = task()
    driven.begin(tick(0), straight(50.0))
    driven.advance(tick(1))
    driven.change_route(type(straight())(np.array([[-300.0, 0.0], [50.0, 0.0]])), tick(1).state)
    assert driven.advance(tick(2)).terms.progress == pytest.approx(0.2)


def test_it_wants_to_be_begun():
    with pytest.raises(RuntimeError, match='begin'):
        task().advance(tick(0))


def test_a_policy_is_driven_as_it_was_trained():
    trained = TaskSettings(
        observation=ObservationSettings(speed_scale=20.0), action=ActionSettings(repeat=3),
        reward=RewardSettings(progress=9.0))
    mine = TaskSettings(episode=EpisodeSettings(max_duration=33.0))
    found = trained_task({**as_dict(trained), 'networks': {'cnn': {}}}, mine)
    assert found == dataclasses.replace(mine, observation=trained.observation,
                                        action=trained.action)
    assert trained_task({}, mine) == mine
    with pytest.raises(SettingsError, match='action.repeat'):
        trained_task({'action': {'repeat': 0}}, mine)
