# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The driver through whole episodes: what it commands, and what it tells the learner."""

import dataclasses
import math

import numpy as np
import pytest
from shapes import picture, state, straight

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.driver import Driver, Kind, Phase, STOP
from av_td3_ros.driving.episode import Ending, EpisodeSettings
from av_td3_ros.driving.exploration import Exploration, ExplorationSettings
from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.driving.image import ImageError
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.start import Plan, Request
from av_td3_ros.driving.task import DrivingTask, TaskSettings

PLAN = Plan(Pose(0.0, 0.0, 0.0, 0.0), Pose(100.0, 0.0, 0.0, 0.0))


class Bench:
    """A driver on a straight road; its policy steers by the tick's number."""

    def __init__(self, training=True, repeat=1, plans=lambda episode: PLAN, **options):
        settings = TaskSettings(action=ActionSettings(repeat=repeat),
                                episode=EpisodeSettings(max_duration=60.0))
        self.asked = []
        self.driver = Driver(DrivingTask(settings), self.act, plans=plans if training else None,
                             **options)
        self.tick = 0
        self.x = 0.0
        self.sent = []
        self.requests = []

    def act(self, observation):
        self.asked.append(observation)
        return np.array([0.001 * len(self.asked), 0.5], np.float32)

    def step(self, y=0.0, speed=4.0, **decision):
        """Take a tick with a picture of its own and return the command."""
        self.tick += 1
        self.x += speed * 0.05
        transitions, request = self.driver.observe(
            state(self.x, y, tick=self.tick, speed=speed), picture(self.tick % 256))
        self.sent += transitions
        self.requests.append(request)
        return self.driver.decide(**decision)

    def begin(self):
        """Bring the car to the start, with a route to the goal."""
        self.x = 0.0
        self.driver.set_route(None)
        self.step(speed=0.0)
        self.driver.set_route(straight(100.0))
        self.step(speed=0.0)
        assert self.driver.phase is Phase.DRIVING
        return self

    def kinds(self):
        return [transition.kind for transition in self.sent]


# Training

def test_an_episode_from_the_start_to_the_goal():
    bench = Bench()
    bench.x = 50.0
    assert bench.step() == STOP and bench.requests == [Request.TELEPORT]
    bench.x = 0.0
    assert bench.step(speed=0.0) == STOP and bench.requests[-1] is Request.GOAL
    bench.driver.set_route(straight(100.0))
    assert bench.sent == []
    first = bench.step(speed=0.0)
    assert first == Control(throttle=0.5, steer=pytest.approx(0.001))
    assert bench.kinds() == [Kind.BEGIN] and bench.sent[0].stamp == 3 * 50_000_000
    while bench.sent[-1].ending is None:
        assert bench.step().throttle == 0.5 or bench.sent[-1].ending
    end = bench.sent[-1]
    assert end.ending is Ending.ARRIVAL and end.kind is Kind.STEP and end.episode == 0
    assert bench.driver.result.ending is Ending.ARRIVAL and bench.driver.result.completion == 1.0
    assert bench.driver.result.distance == pytest.approx(97.2, abs=0.3)
    assert bench.driver.result.returned == pytest.approx(
        sum(transition.reward for transition in bench.sent))
    assert bench.driver.result.duration == pytest.approx(0.05 * (len(bench.sent) - 1))
    # It brakes on its way to the next one.
    assert bench.step() == STOP and bench.driver.episode == 1
    assert bench.requests[-1] is Request.TELEPORT


def test_each_step_has_the_action_that_led_to_it():
    bench = Bench().begin()
    commands = [bench.step() for _ in range(5)]
    actions = [transition.action for transition in bench.sent if transition.kind is Kind.STEP]
    # The first step's action was decided at the beginning.
    assert actions[0] == pytest.approx([0.001, 0.5])
    for command, action in zip(commands, actions[1:]):
        assert action == pytest.approx([command.steer, command.throttle])
    # What is sent is what the policy saw: the newest frame of each observation.
    for transition, seen in zip(bench.sent, bench.asked):
        assert np.array_equal(transition.frame, seen['image'][-1])
        assert np.array_equal(transition.vector, seen['vector'])


def test_an_action_is_kept_while_it_is_repeated():
    bench = Bench(repeat=3).begin()
    steers = [bench.step().steer for _ in range(9)]
    assert steers == pytest.approx([0.001] * 2 + [0.002] * 3 + [0.003] * 3 + [0.004])
    assert bench.kinds() == [Kind.BEGIN] + [Kind.STEP] * 3


@pytest.mark.parametrize('y, collided, ending', [
    (4.0, False, Ending.OFF_ROAD), (0.0, True, Ending.COLLISION)])
def test_episodes_that_end_badly_brake(y, collided, ending):
    bench = Bench().begin()
    bench.step()
    if collided:
        bench.driver.set_collided()
    assert bench.step(y=y) == STOP
    assert bench.sent[-1].ending is ending and bench.driver.result.ending is ending
    assert bench.driver.result.completion == pytest.approx(0.004, abs=1e-3)
    # A collision counts once: the next episode knows nothing of it.
    bench.begin()
    assert bench.sent[-1].kind is Kind.BEGIN and bench.sent[-1].episode == 1
    bench.step()
    assert bench.sent[-1].ending is None


def test_a_collision_is_not_forgotten_with_a_picture_that_cannot_be_used():
    bench = Bench().begin()
    bench.driver.set_collided()
    bench.tick += 1
    with pytest.raises(ImageError):
        bench.driver.observe(state(0.1, tick=bench.tick), picture(3), 'unknown')
    bench.step()
    assert bench.sent[-1].ending is Ending.COLLISION


def test_a_gap_in_time_abandons_the_episode_and_nothing_bridges_it():
    bench = Bench().begin()
    bench.step()
    bench.tick += 30
    assert bench.step() == STOP
    assert bench.kinds() == [Kind.BEGIN, Kind.STEP, Kind.ABANDON]
    assert bench.sent[-1].episode == 0 and bench.driver.episode == 1
    bench.begin()
    assert bench.sent[-1].kind is Kind.BEGIN and bench.sent[-1].episode == 1


def test_pictures_alone_repeat_twice_then_brake_and_abandon():
    bench = Bench().begin()
    last = bench.step()
    for _ in range(2):
        assert bench.driver.observe_alone() == [] and bench.driver.decide() == last
    given_up = bench.driver.observe_alone()
    assert [transition.kind for transition in given_up] == [Kind.ABANDON]
    assert bench.driver.decide() == STOP
    assert bench.driver.observe_alone() == [] and bench.driver.decide() == STOP
    assert bench.driver.reason == 'no odometry for the pictures'


def test_a_single_picture_alone_does_not_end_the_episode():
    bench = Bench().begin()
    bench.step()
    bench.driver.observe_alone()
    bench.driver.decide()
    bench.tick += 1
    bench.step()
    assert bench.kinds() == [Kind.BEGIN, Kind.STEP, Kind.STEP]
    # The action was kept for the two ticks that this step spans.
    assert bench.sent[-1].terms.speed == pytest.approx((8.0 - 4.0) * 0.1)


def test_a_reset_abandons_and_starts_anew():
    bench = Bench().begin()
    bench.step()
    assert [t.kind for t in bench.driver.reset()] == [Kind.ABANDON]
    assert bench.driver.decide() == STOP and bench.driver.reset() == []
    bench.tick = 0
    bench.begin()
    assert bench.sent[-1].kind is Kind.BEGIN and bench.sent[-1].episode == 1


def test_a_plan_that_leads_nowhere_gives_way_to_the_next():
    asked = []

    def plans(episode):
        asked.append(episode)
        return PLAN if episode == 1 else Plan(Pose(1e4, 0.0, 0.0, 0.0), PLAN.goal)
    bench = Bench(plans=plans)
    for _ in range(200):
        if bench.driver.episode == 1:
            break
        assert bench.step(speed=0.0) == STOP
    assert asked == [0, 1] and bench.sent == []
    bench.begin()
    assert bench.sent[0].episode == 1


def test_a_route_that_changes_amid_an_episode_does_not_count():
    bench = Bench().begin()
    bench.driver.set_route(Route(np.array([[0.0, 50.0], [100.0, 50.0]])))
    bench.step()
    assert bench.sent[-1].ending is None and abs(bench.sent[-1].vector[1]) < 0.01


# Deciding

@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_an_action_that_is_not_finite_brakes(bad):
    bench = Bench().begin()
    bench.driver.policy = lambda observation: np.array([0.0, bad])
    assert bench.step() == STOP and 'not finite' in bench.driver.reason
    bench.driver.policy = bench.act
    assert bench.step().throttle == 0.5
    # The step that follows has the action of the brake.
    assert bench.sent[-1].action == pytest.approx([0.0, -1.0])


def test_noise_decays_with_what_was_learned_and_random_comes_first():
    settings = ExplorationSettings(expl_noise=0.3, final_noise=0.0, decay_steps=100)
    bench = Bench(exploration=Exploration(settings, seed=0)).begin()
    random = [bench.step(random=True) for _ in range(20)]
    assert len(bench.asked) == 1        # at the beginning
    assert np.std([c.throttle - c.brake for c in random]) > 0.1
    noisy = [bench.step(learned=0) for _ in range(20)]
    assert np.std([c.throttle for c in noisy]) > 0.03
    quiet = [bench.step(learned=100) for _ in range(10)]
    assert {c.throttle for c in quiet} == {0.5}


def test_noise_is_the_episodes_own():
    def throttles(first):
        settings = ExplorationSettings()
        bench = Bench(exploration=Exploration(settings, seed=3), first_episode=first).begin()
        return [bench.step().throttle for _ in range(8)]
    assert throttles(4) == throttles(4) and throttles(4) != throttles(5)


def test_asked_twice_it_gives_the_same_command_and_decides_once():
    bench = Bench().begin()
    command = bench.step()
    assert bench.driver.decide() == command and len(bench.asked) == 2


# Driving the route given

def test_without_a_route_it_brakes_and_with_one_it_drives_to_its_end():
    bench = Bench(training=False)
    assert bench.step() == STOP and bench.driver.reason == 'no route'
    bench.driver.set_route(straight(20.0))
    commands = []
    while bench.driver.phase is not Phase.ARRIVED:
        commands.append(bench.step())
    assert commands[-1] == STOP and all(c.throttle == 0.5 for c in commands[:-1])
    assert bench.driver.result.ending is Ending.ARRIVAL
    assert bench.step() == STOP and bench.sent == []
    # Another route, and on it goes.
    bench.driver.set_route(straight(60.0))
    assert bench.step().throttle == 0.5 and bench.driver.result is None


def test_a_drive_goes_on_where_a_training_would_end():
    bench = Bench(training=False)
    bench.driver.set_route(straight(100.0))
    bench.step()
    bench.driver.set_collided()
    assert bench.step().throttle == 0.5
    assert bench.step(y=4.0).throttle == 0.5 and bench.sent == []


def test_a_route_that_is_gone_brakes():
    bench = Bench(training=False)
    bench.driver.set_route(straight(100.0))
    bench.step()
    bench.driver.set_route(None)
    assert bench.step() == STOP and bench.driver.phase is Phase.WAITING


def test_a_new_route_is_followed_at_once():
    bench = Bench(training=False)
    bench.driver.set_route(straight(100.0))
    bench.step()
    bench.driver.set_route(Route(np.array([[0.0, 1.0], [100.0, 1.0]])))
    bench.step()
    assert bench.asked[-1]['vector'][1] < 0.0
    # The pictures go on: it is the same drive.
    assert len(set(bench.asked[-1]['image'][:, 0, 0].tolist())) == 2


def test_a_gap_empties_the_stack():
    bench = Bench(training=False)
    bench.driver.set_route(straight(100.0))
    for _ in range(5):
        bench.step()
    bench.tick += 30
    bench.step()
    assert len(set(bench.asked[-1]['image'][:, 0, 0].tolist())) == 1
    assert bench.sent == []


def test_no_transition_is_lost_over_many_episodes():
    """Every step's observation is the next one's start; episodes are begun, and ended once."""
    bench = Bench()
    rng = np.random.default_rng(0)
    for _ in range(12):
        bench.begin()
        for _ in range(int(rng.integers(3, 40))):
            chance = rng.random()
            if chance < 0.03:
                bench.driver.set_collided()
            elif chance < 0.06:
                bench.tick += 40
            elif chance < 0.1:
                bench.sent += bench.driver.observe_alone()
                bench.driver.decide()
                bench.tick += 1
            bench.step(y=float(rng.choice([0.0, 5.0], p=[0.97, 0.03])))
            if bench.driver.phase is not Phase.DRIVING:
                break
        else:
            bench.sent += bench.driver.reset()
    open_episode = None
    for transition in bench.sent:
        if transition.kind is Kind.BEGIN:
            assert open_episode is None
            open_episode = transition.episode
        else:
            assert open_episode == transition.episode
            if transition.kind is Kind.ABANDON or transition.ending is not None:
                open_episode = None
    numbers = [t.episode for t in bench.sent if t.kind is Kind.BEGIN]
    assert numbers == sorted(set(numbers)) and len(numbers) == 12
    assert dataclasses.asdict(bench.sent[1].terms)['progress'] >= 0.0
