# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The town as a gymnasium environment."""

import dataclasses
import warnings

from gymnasium.utils.env_checker import check_env
import numpy as np
import pytest

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.driver import Driver
from av_td3_ros.driving.episode import EpisodeSettings
from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.reward import TERMS
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.ros.images import make_image, read_image
from av_td3_ros.ros.messages import make_odometry, make_path, read_odometry, read_path
from av_td3_ros.simulation.env import TownEnv
from av_td3_ros.simulation.town import default_town, Town
from av_td3_ros.simulation.world import Collision

SIZE = (96, 84)


@pytest.fixture(scope='module')
def town():
    return Town.load(default_town())


def make(town, **arguments):
    return TownEnv(town, image_size=SIZE, **arguments)


def drive(env, actions, seed=None, options=None):
    """Return everything that an episode brought."""
    record = [env.reset(seed=seed, options=options)]
    for action in actions:
        record.append(env.step(action))
        if record[-1][2] or record[-1][3]:
            break
    return record


def same(one, other):
    """Whether two records of episodes are equal to the byte."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return one == other


def actions(count, seed=0):
    return np.random.default_rng(seed).uniform([-0.2, 0.0], [0.2, 1.0], (count, 2)).astype(
        np.float32)


def test_gymnasiums_own_checks_pass(town):
    with warnings.catch_warnings():
        # Distances have no bounds, and the checker would rather have some.
        warnings.simplefilter('ignore', UserWarning)
        check_env(make(town, vehicles=2, render_mode='rgb_array'), skip_render_check=False)


def test_the_same_seed_gives_the_same_episode(town):
    one, other = make(town, vehicles=3), make(town, vehicles=3)
    first = drive(one, actions(30), seed=11)
    drive(other, actions(7, seed=1), seed=5)
    assert same(first, drive(other, actions(30), seed=11))
    # Also in the same environment again, and from the seed given to the constructor.
    assert same(first, drive(one, actions(30), seed=11))
    assert same(first, drive(make(town, vehicles=3, seed=11), actions(30)))


def test_other_seeds_and_later_episodes_differ(town):
    env = make(town, seed=2)
    starts = [env.reset(seed=3), env.reset(), env.reset(), env.reset(seed=4)]
    assert len({info['route_length'] for _, info in starts}) == 4
    # What follows a seed is the seed's too.
    env.reset(seed=3)
    assert same(env.reset(), starts[1])


def test_a_fixed_route(town):
    env = make(town)
    start, goal = town.spawn_points[0], town.spawn_points[40]
    observation, info = env.reset(seed=1, options={'start': start, 'goal': goal})
    expected = Route(town.route(start, goal))
    assert info['route_length'] == expected.length and env.start == start and env.goal == goal
    assert observation['vector'][0] == 0.0 and abs(observation['vector'][1]) < 0.05
    assert abs(observation['vector'][2]) < 0.1
    # The frame fills the stack.
    assert (observation['image'] == observation['image'][0]).all()


def test_what_is_told_fits_what_happened(town):
    env = make(town)
    record = drive(env, actions(100), seed=6)
    for _, reward, terminated, truncated, info in record[1:]:
        assert set(info['terms']) == set(TERMS)
        weights = env.settings.reward
        assert reward == pytest.approx(sum(
            info['terms'][name] * getattr(weights, name)
            * (1.0 if name in ('progress', 'arrival') else -1.0) for name in TERMS))
        assert 0.0 <= info['completion'] <= 1.0
        assert (info['ending'] is not None) == (terminated or truncated)
    moved = sum(info['terms']['progress'] for *_, info in record[1:])
    assert moved == pytest.approx(info['completion'] * info['route_length'], abs=0.5)


def test_an_action_lasts_as_long_as_it_is_repeated(town):
    settings = TaskSettings(action=ActionSettings(repeat=3))
    env = make(town, settings=settings)
    env.reset(seed=1)
    *_, info = env.step(np.array([0.0, 1.0], np.float32))
    assert info['time'] == pytest.approx(0.15)


def test_a_car_that_turns_off_the_road_ends_the_episode(town):
    env = make(town)
    record = drive(env, [np.array([1.0, 0.6], np.float32)] * 200, seed=1)
    assert record[-1][2] and not record[-1][3] and record[-1][4]['ending'] == 'off_road'
    assert record[-1][4]['terms']['off_road'] == 1.0
    with pytest.raises(RuntimeError, match='reset'):
        env.step(np.zeros(2, np.float32))


def test_a_car_that_stands_is_cut_off(town):
    env = make(town, settings=TaskSettings(episode=EpisodeSettings(standstill_time=1.0)))
    record = drive(env, [np.zeros(2, np.float32)] * 30, seed=1)
    assert record[-1][3] and not record[-1][2] and record[-1][4]['ending'] == 'standstill'
    assert len(record) == 21


def test_a_black_camera(town):
    env = make(town, blank_camera=True, render_mode='rgb_array')
    record, seeing = drive(env, actions(5), seed=1), drive(make(town), actions(5), seed=1)
    for (black, *rest), (picture, *others) in zip(record, seeing):
        assert black['image'].shape == picture['image'].shape == (4, 84, 84)
        assert black['image'].dtype == np.uint8
        assert not black['image'].any() and picture['image'].any()
        # All else is as it is with a camera.
        assert np.array_equal(black['vector'], picture['vector'])
        assert rest[:3] == others[:3]
    shown = env.render()
    assert shown.shape == (*SIZE[::-1], 3) and not shown.any()


@pytest.mark.parametrize('repeat', [1, 3])
def test_the_policy_nodes_observation_is_the_same_to_the_byte(town, repeat):
    """
    A driver is fed with the messages that the bridge sends of the environment's own world.

    Both see the same world state; what the messages go through (quaternions, float32 commands,
    the picture's bytes) must not change a bit of the observation, on straights, where a heading
    error of a rounding would show, as in bends.
    """
    settings = TaskSettings(action=ActionSettings(repeat=repeat))
    env = make(town, vehicles=4, settings=settings)
    observation, _ = env.reset(seed=21)
    task = DrivingTask(settings, on_road=town.on_road)
    seen = []
    chosen = iter(actions(400, seed=3) * np.float32(0.3))

    def policy(observation):
        seen.append(observation)
        return next(chosen)
    driver = Driver(task, policy)
    driver.set_route(Route(read_path(make_path(env.task.route.points, 0))))
    compared = 0

    def observe(collided=False):
        state = read_odometry(make_odometry(env.world.state, 'ego_vehicle'))
        picture = env.camera.render(env.world.state.pose, env.world.others)
        image = read_image(make_image(picture, 'bgra8', state.stamp, 'camera'))
        if collided:
            driver.set_collided()
        transitions, _ = driver.observe(state, image, 'bgra8')
        assert transitions == []
        return driver.decide()

    control = observe()
    assert same(dict(seen[-1]), dict(observation))
    ended = False
    while not ended and compared < 60:
        # As TownEnv.drive, with the driver looking on at every tick.
        result = None
        while result is None:
            events = env.world.step(Control(*(float(np.float32(value)) for value in (
                control.throttle, control.steer, control.brake))))
            collided = any(isinstance(event, Collision) for event in events)
            result = env.task.advance(env._tick(env.task.needs_image, collided))
            control = observe(collided)
        assert same(dict(task.position._asdict()), dict(env.task.position._asdict()))
        assert same(dict(driver.observation), dict(result.observation))
        assert dataclasses.astuple(driver.terms) == dataclasses.astuple(result.terms)
        ended = result.ending is not None
        compared += 1
    assert compared >= 20
