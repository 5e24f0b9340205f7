# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several environments for one learner, the curriculum, and the classical driver among them."""

import numpy as np
import pytest

from av_td3_ros.settings import build
from av_td3_ros.simulation.town import default_town, Town
from av_td3_ros.training.configuration import RunSettings
from av_td3_ros.training.evaluate import evaluate, fixed_routes, main
from av_td3_ros.training.expert import Expert
from av_td3_ros.training.worlds import make_environment, Worlds

SMALL = {'simulation.image_width': 96, 'simulation.image_height': 84, 'action.repeat': 2,
         'action.max_steer': 0.6}


@pytest.fixture(scope='module')
def town():
    return Town.load(default_town())


def settings(**values):
    return build(RunSettings, {**SMALL, **{k.replace('__', '.'): v for k, v in values.items()}})


def straight_on(world, observation):
    return world.exploration.disturb(np.array([0.0, 0.5], np.float32), 0.3)


def drive(worlds, first, steps=4):
    """Begin a round and return all that its worlds went through, by stream."""
    found = {world.stream: [world.frame.copy(), world.vector.copy()]
             for world in worlds.begin(first, 0)}
    for _ in range(steps):
        for world in worlds.worlds:
            step = world.step(straight_on)
            found[world.stream] += [step.action, step.reward, step.frame.copy(), step.vector]
    return found


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other))


def test_an_episode_depends_on_its_number_and_stream_alone(town):
    worlds = Worlds([town], settings(simulation__worlds=2, simulation__vehicles=3))
    assert [world.stream for world in worlds.worlds] == [0, 1]
    one = drive(worlds, 4)
    drive(worlds, 6)
    again = drive(Worlds([town], settings(simulation__worlds=2, simulation__vehicles=3)), 4)
    assert same(one[0], again[0]) and same(one[1], again[1])
    assert not same(one[0], one[1])


def test_every_town_has_a_world(town):
    worlds = Worlds([town, town, town], settings(simulation__worlds=2))
    assert len(worlds) == 3


def test_a_record_sums_the_terms_of_its_episode(town):
    worlds = Worlds([town], settings(episode__max_duration=1.0))
    world, = worlds.begin(0, 0)
    rewards, steps = [], 0
    while True:
        step = world.step(straight_on)
        rewards.append(step.reward)
        steps += 1
        if step.ended:
            break
    record = world.record(step.info)
    assert record['return'] == pytest.approx(sum(rewards)) and record['steps'] == steps == 10
    assert step.truncated and record['ending'] == 'time'
    assert record['speed'] > 1.0 and record['lane_keeping'] >= 0.0


def test_the_curriculum_brings_cars_and_longer_routes(town):
    worlds = Worlds([town], settings(
        simulation__vehicles=8, curriculum__transitions=1000, episode__max_route_length=400.0))
    cars, lengths = [], []
    for transitions in (0, 250, 500, 1000, 5000):
        found = []
        for first in range(6):
            world, = worlds.begin(first, transitions)
            found.append(world.env.task.route.length)
        cars.append(len(world.env.world.others.x))
        lengths.append(max(found))
    assert cars == [0, 2, 4, 8, 8]
    for longest, bound in zip(lengths, (150, 175, 250, 400, 400)):
        assert 100.0 - 1.0 <= longest <= bound + 1.0
    assert lengths[-1] > 200.0


@pytest.mark.parametrize('options, words', [
    ({'start': None}, 'both'), ({'goal': None}, 'both'), ({'lenghts': (1, 2)}, 'lenghts')])
def test_wrong_options_are_named(town, options, words):
    env = make_environment(town, settings(), 0)
    with pytest.raises(ValueError, match=words):
        env.reset(options=options)


def test_the_expert_arrives_on_the_road_through_the_policys_actions(town):
    env = make_environment(town, settings(simulation__blank_camera=True,
                                          simulation__vehicles=20), 0)
    expert = Expert(env)
    actions = []

    def act(observation):
        actions.append(expert.act(observation))
        return actions[-1]

    found = evaluate(env, act, fixed_routes(town, 4, 7, 100.0, 250.0), 7)
    summary = found.summary()
    assert summary['success'] == 1.0 and summary['collisions_per_km'] == 0.0
    assert 5.0 < summary['mean_speed'] < 8.5 and summary['mean_lateral'] < 0.3
    assert np.abs(actions).max() <= 1.0 and np.shape(actions)[1] == 2


def test_an_expert_with_lapses_comes_too_close_and_says_which_actions_are_none_to_imitate(town):
    def drive(lapses):
        env = make_environment(town, settings(
            simulation__blank_camera=True, simulation__vehicles=40,
            simulation__traffic_speed=4.0), 0)
        expert, found = Expert(env, lapses), []
        for seed in range(3):
            observation, info = env.reset(seed=seed)
            while info['ending'] is None and info['time'] < 60.0:
                action = expert.act(observation)
                found.append((expert.exemplary, *action))
                observation, _, _, _, info = env.step(action)
        return np.array(found)

    without, with_lapses = drive(0.0), drive(0.5)
    assert without[:, 0].all()
    share = 1.0 - with_lapses[:, 0].mean()
    assert 0.02 < share < 0.5
    assert np.array_equal(with_lapses, drive(0.5))
    # It drives on where it should brake.
    wrong, right = (with_lapses[with_lapses[:, 0] == kind, 2].mean() for kind in (0.0, 1.0))
    assert wrong > right


def test_the_command_drives_the_expert(capsys):
    assert main(['expert', '--routes', '1', '--lengths', '60', '90', '--town',
                 str(default_town()), '--size', '84', '84']) == 0
    said = capsys.readouterr().out
    assert 'success: 1.000' in said and 'collisions: 0' in said
