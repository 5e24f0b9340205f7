# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the policy sees is known from outside: from its experience, or by driving along."""

import numpy as np
import pytest

from av_td3_ros.driving.driver import Driver, Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.settings import build
from av_td3_ros.visualization.watcher import Shadow, Told

TASK = TaskSettings()
TICK = 50_000_000
ROUTE = Route(np.stack([np.arange(0.0, 300.0), np.zeros(300)], axis=1))


def state(number):
    return VehicleState(number * TICK, Pose(0.4 * number, 0.3, 0.0, 0.01), (8.0, 0.0), 0.0)


def image(number):
    return np.random.default_rng(number).integers(0, 256, (90, 100, 4), dtype=np.uint8)


@pytest.mark.parametrize('repeat', [1, 2])
def test_the_shadow_sees_what_the_policy_nodes_driver_sees(repeat):
    task = build(TaskSettings, {'action.repeat': repeat})
    seen = []

    def policy(observation):
        seen.append(observation)
        return np.zeros(2, np.float32)
    driver, shadow = Driver(DrivingTask(task), policy), Shadow(task)
    driver.set_route(ROUTE)
    shadow.set_route(ROUTE)
    decisions = []
    for number in range(1, 20):
        driver.observe(state(number), image(number))
        driver.decide()
        for answer in [*shadow.add_state(state(number)),
                       *shadow.add_picture(number * TICK, Picture(image(number), 'bgra8'))]:
            decisions.append(shadow.observe(answer))
    decisions = [decision for decision in decisions if decision is not None]
    assert len(decisions) == len(seen) == len(range(0, 19, repeat))
    for decision, expected in zip(decisions, seen):
        assert (decision.observation['image'] == expected['image']).all()
        assert (decision.observation['vector'] == expected['vector']).all()
    assert decisions[5].terms['progress'] == pytest.approx(
        0.4 * repeat * task.reward.progress, abs=1e-6)
    assert decisions[0].title == 'driving'


def test_without_a_route_nothing_is_decided():
    shadow = Shadow(TASK)
    shadow.set_route(None)
    answers = [*shadow.add_state(state(1)), *shadow.add_picture(TICK, Picture(image(1), 'bgra8'))]
    assert len(answers) == 1 and shadow.observe(answers[0]) is None


def transition(kind, level, **values):
    return Transition(kind, 7, level * TICK, np.full((84, 84), level, np.uint8),
                      np.full(23, level, np.float32), **values)


def levels(decision):
    return decision.observation['image'][:, 0, 0].tolist()


def test_experience_tells_the_stack_and_the_terms():
    told = Told(TASK)
    first = told.take(transition(Kind.BEGIN, 1))
    assert levels(first) == [1, 1, 1, 1] and first.terms == {}
    second = told.take(transition(Kind.STEP, 2, terms=RewardTerms(progress=2.0)))
    assert levels(second) == [1, 1, 1, 2] and second.stamp == 2 * TICK
    assert second.observation['vector'][0] == 2.0
    assert second.terms['progress'] == pytest.approx(2.0 * TASK.reward.progress)
    last = told.take(transition(Kind.STEP, 3, ending=Ending.ARRIVAL))
    assert last.title == f'training, episode 7: {Ending.ARRIVAL.value}'
    assert levels(told.take(transition(Kind.BEGIN, 9))) == [9, 9, 9, 9]


def test_who_comes_in_the_middle_sees_the_newest_frame_only():
    told = Told(TASK)
    assert levels(told.take(transition(Kind.STEP, 5))) == [5, 5, 5, 5]
    assert levels(told.take(transition(Kind.STEP, 6))) == [5, 5, 5, 6]
    assert told.take(transition(Kind.ABANDON, 6)) is None
    assert levels(told.take(transition(Kind.BEGIN, 8))) == [8, 8, 8, 8]
