# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the training node writes for TensorBoard, from a vehicle's experience, by hand."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.learning.learner import Learner, LearnerSettings, TrainingSettings
from av_td3_ros.learning.settings import AlgorithmSettings
from av_td3_ros.nodes.training_record import TrainingRecord
from av_td3_ros.ros.experience import Experience

SCALE = 10.0


class Bench:
    """A learner with a record, and one vehicle's stream."""

    def __init__(self, folder):
        settings = LearnerSettings(algorithm=AlgorithmSettings(buffer_size=100),
                                   training=TrainingSettings(threads=1))
        self.folder, self.learner = folder, Learner(settings, {})
        self.record = TrainingRecord(folder, self.learner)
        self.stamp = 1_000_000_000

    def send(self, kind, speed=0.0, scale=SCALE, version=0, ending=None, **terms):
        self.stamp += 100_000_000
        frame, vector = np.zeros((84, 84), np.uint8), np.zeros(23, np.float32)
        vector[0] = speed / SCALE
        step = Transition(kind, 0, self.stamp, frame, vector, reward=1.5,
                          terms=RewardTerms(**terms), ending=ending)
        if kind is Kind.BEGIN:
            self.learner.begin(0, frame, vector)
        elif kind is Kind.STEP:
            self.learner.add(0, step.action, step.reward, ending is Ending.ARRIVAL, False, frame,
                             vector)
        else:
            self.learner.abandon(0)
        self.record.took(0, Experience(7, 0, version, step), scale)

    def read(self):
        self.record.close()
        events = EventAccumulator(str(self.folder))
        events.Reload()
        return {tag: [(event.step, event.value) for event in events.Scalars(tag)]
                for tag in events.Tags()['scalars']}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_an_episodes_figures(bench):
    bench.send(Kind.BEGIN)
    bench.send(Kind.STEP, speed=4.0, progress=2.0)
    bench.send(Kind.STEP, speed=8.0, progress=3.0, arrival=1.0, ending=Ending.ARRIVAL)
    bench.send(Kind.BEGIN)
    bench.send(Kind.STEP, speed=4.0, scale=None, edge=0.1, ending=Ending.ARRIVAL)
    found = bench.read()
    assert found['episode/success'] == [(2, 1.0), (3, 0.0)]     # a wheel over the edge
    assert found['episode/off_road'] == [(2, 0.0), (3, 1.0)]
    assert found['episode/collision'] == [(2, 0.0), (3, 0.0)]
    assert found['episode/return'] == [(2, 3.0), (3, 1.5)]
    assert found['episode/steps'] == [(2, 2.0), (3, 1.0)]
    assert found['episode/duration'] == [(2, pytest.approx(0.2)), (3, pytest.approx(0.1))]
    assert found['episode/mean_speed'] == [(2, pytest.approx(6.0))]     # unknown in the second
    assert found['terms/progress'] == [(2, 5.0), (3, 0.0)]
    assert found['terms/arrival'] == [(2, 1.0), (3, 0.0)]
    assert 'episode/completion' not in found


@pytest.mark.parametrize('ending', [Ending.COLLISION, Ending.OFF_ROAD, Ending.STANDSTILL])
def test_endings(bench, ending):
    bench.send(Kind.BEGIN)
    bench.send(Kind.STEP, ending=ending)
    found = bench.read()
    assert found['episode/success'][0][1] == 0.0
    assert found['episode/collision'][0][1] == float(ending is Ending.COLLISION)
    assert found['episode/off_road'][0][1] == float(ending is Ending.OFF_ROAD)


def test_episodes_that_are_not_whole_have_no_figures(bench):
    bench.send(Kind.BEGIN)
    bench.send(Kind.STEP)
    bench.send(Kind.ABANDON)
    bench.send(Kind.BEGIN)
    bench.send(Kind.STEP)
    bench.record.forget(0)      # lost on the way
    bench.send(Kind.STEP, ending=Ending.ARRIVAL)
    assert 'episode/return' not in bench.read()


def test_the_age_of_weights_is_counted_in_updates(bench):
    bench.record.published(100)
    bench.learner.agent.total_it = 50
    bench.record.published(200)
    bench.learner.agent.total_it = 60
    bench.send(Kind.BEGIN)
    for version in (0, 100, 200, 999):      # 0: at random; 999: of another training node
        bench.send(Kind.STEP, version=version)
    assert bench.read()['age/weights'] == [(4, (60.0 + 10.0) / 2)]


def test_few_versions_are_remembered(bench):
    for version in range(1, 5000):
        bench.record.published(version)
    assert len(bench.record._updates_of) == 1000 and 4999 in bench.record._updates_of
