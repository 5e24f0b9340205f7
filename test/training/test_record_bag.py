# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of recording bags in the embedded town, and of judging by them."""

import numpy as np
import pytest

from av_td3_ros.driving.reading import read_odometry
from av_td3_ros.evaluation.assessment import assess, Options
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.resources import shipped
from av_td3_ros.simulation.town import Town, town_path
from av_td3_ros.training import record_bag

POLICY = shipped('models', 'policy.pth')


@pytest.fixture(scope='module')
def town():
    return Town.load(town_path('town_b'))


@pytest.fixture(scope='module')
def expert(town, tmp_path_factory):
    """Return a bag of a short route that the expert drives among other cars."""
    path = tmp_path_factory.mktemp('record') / 'expert'
    record_bag.record(path, routes=1, seed=3, town=town, lengths=(50.0, 80.0), size=(64, 48),
                      vehicles=8, compression='storage')
    return path


def content(path):
    with Bag(path) as bag:
        return [(m.time, bag.topics[m.topic].name, bytes(m.data))
                for m in bag.messages(bag.order(range(len(bag.topics))))]


def test_the_expert_drives_its_route(expert):
    result = assess([expert], [POLICY], Options()).result
    driven = result['bags'][0]['driven']
    assert result['bags'][0]['losses'] == []
    assert [route['completion'] for route in driven['routes']] == [1.0]
    assert driven['collisions'] == 0 and driven['lateral_error']['worst'] < 1.5
    assert driven['time_to_collision']['observed'] > 50
    assert result['pictures']['used'] > 0.8 * result['pictures']['in_bags']
    error = result['open_loop']['A']['action_error']
    assert error['frames'] == result['pictures']['used']
    assert 0.0 < error['steer']['mean'] < 0.3


def test_what_is_applied_is_what_was_commanded(expert):
    """The status of a tick tells the command that answered the picture before it."""
    with Bag(expert) as bag:
        decoder = Decoder(bag.topics)
        found = {}
        for message in bag.messages(bag.order(range(len(bag.topics)))):
            topic = bag.topics[message.topic]
            found.setdefault(topic.name.rsplit('/', 1)[-1], []).append(
                decoder.decode(topic.type, message.data))
    commands, status = found['vehicle_control_cmd'], found['vehicle_status']
    assert len(commands) == len(status) == len(found['image'])
    for command, after in zip(commands, status[1:]):
        assert (command.steer, command.throttle) == (after.control.steer, after.control.throttle)
    states = [read_odometry(message) for message in found['odometry']]
    assert np.diff([state.stamp for state in states]).tolist() == [50_000_000] * (len(states) - 1)


def test_the_same_seed_gives_the_same_bag(town, tmp_path):
    bags = []
    for storage in ('mcap', 'sqlite3'):
        path = tmp_path / storage
        record_bag.record(path, routes=2, seed=5, steps=15, town=town, lengths=(50.0, 80.0),
                          size=(32, 24), vehicles=3, storage=storage)
        bags.append(content(path))
    assert bags[0] == bags[1] and len(bags[0]) > 100


def test_a_policy_may_drive(town, tmp_path, monkeypatch):
    monkeypatch.setattr(record_bag.Town, 'load', lambda path: town)
    arguments = [str(tmp_path / 'bag'), '--checkpoint', str(POLICY), '--routes', '1',
                 '--steps', '40', '--lengths', '50', '80', '--size', '64', '48']
    assert record_bag.main(arguments) == 0
    assert 'exists already' in record_bag.main(arguments)
    found = assess([tmp_path / 'bag'], [POLICY], Options(closed_loop=True))
    # Its own commands are what is recorded: nothing is between them.
    error = found.result['open_loop']['A']['action_error']
    assert error['steer']['worst'] < 1e-5 and error['drive']['worst'] < 1e-5
    assert 0.0 < found.result['closed_loop']['routes'][0]['completion'] < 1.0


def test_nothing_is_left_of_a_recording_that_failed(town, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt
    monkeypatch.setattr(record_bag.Town, 'load', lambda path: town)
    monkeypatch.setattr(record_bag.Recorder, 'drive', interrupt)
    assert 'interrupted' in record_bag.main([str(tmp_path / 'bag'), '--routes', '1'])
    assert not (tmp_path / 'bag').exists()
    assert 'is refused' in str(record_bag.main(
        [str(tmp_path / 'bag'), '--checkpoint', str(shipped('package.xml'))]))
