# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as experience: where episodes begin and end, which command is whose, what is left out."""

import dataclasses

import numpy as np
import pytest

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.episode import Ending, EpisodeSettings
from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.evaluation.experience import Experience
from av_td3_ros.evaluation.storage import BagError
from av_td3_ros.evaluation.topics import select

TICK = 50_000_000
SPEED = 5.0
COUNT = 60
STRAIGHT = np.stack([np.arange(0.0, 300.0), np.zeros(300)], axis=1)
TASK = TaskSettings(action=ActionSettings(repeat=2, max_steer=0.5))
GO = Control(throttle=0.5)


@dataclasses.dataclass
class Moment:
    """What a bag says of one tick; None for what is not recorded."""

    stamp: int
    x: float
    y: float = 0.0
    speed: float = SPEED
    picture: np.ndarray | None = None
    encoding: str = 'mono8'
    command: Control | None = GO
    status: Control | None = None
    odometry: bool = True
    collision: bool = False
    route: np.ndarray | None = None


def drive(count=COUNT):
    """Return a drive straight on; each picture is a shade of its own."""
    moments = [Moment((1 + i) * TICK, 10.0 + i * SPEED * 0.05,
                      picture=np.full((12, 16), i, np.uint8)) for i in range(count)]
    moments[0].route = STRAIGHT
    return moments


def write(path, moments):
    with BridgeBag(path) as bag:
        time = 0
        for moment in moments:
            # Times of receipt go on where stamps are set back.
            time += TICK
            bag._start = time - moment.stamp
            if moment.route is not None:
                bag.route(moment.stamp - 1, moment.route)
            state = VehicleState(moment.stamp, Pose(moment.x, moment.y, 0.0, 0.0),
                                 (moment.speed, 0.0), 0.0)
            if moment.status is not None:
                bag.status(state, (0.0, 0.0, 0.0), moment.status)
            if moment.odometry:
                bag.odometry(state)
            if moment.collision:
                bag.collision(moment.stamp, 7, (1.0, 0.0, 0.0))
            if moment.picture is not None:
                bag.image(moment.stamp, moment.picture, moment.encoding)
            if moment.command is not None:
                bag.command(moment.stamp + 1000 * (moment.picture is None), moment.command)
    return path


def read(path, task=TASK, on_road=None):
    """Return the bag's transitions and the finished experience."""
    found = []
    with Bag(path) as bag:
        counts = np.bincount(bag.index['topic'], minlength=len(bag.topics))
        experience = Experience(bag, select(bag.topics, counts.tolist()),
                                DrivingTask(task, on_road), found.append)
        experience.run()
    assert sum(experience.recording.account.values()) == experience.recording.count
    return found, experience


def shape(transitions):
    """Return the steps of each episode and how it ended, None where it was cut."""
    episodes = []
    for transition in transitions:
        if transition.kind is Kind.BEGIN:
            assert not episodes or episodes[-1][1] != 'open'
            episodes.append((0, 'open'))
        elif transition.kind is Kind.STEP:
            episodes[-1] = (episodes[-1][0] + 1, transition.ending or 'open')
        else:
            episodes[-1] = (episodes[-1][0], None)
    return episodes


def test_a_whole_drive(tmp_path):
    found, experience = read(write(tmp_path / 'bag', drive()))
    assert shape(found) == [(29, None)]
    assert experience.driver.cuts == {"the bag's end": 1}
    assert experience.recording.account == {'used': COUNT} and experience.period == 0.05
    assert [step.frame[0, 0] for step in found[:-1]] == list(range(0, COUNT, 2))
    reward = TASK.reward
    forward = 0.1 * SPEED * reward.progress - 0.1 * (reward.speed_limit - SPEED) * reward.speed
    assert [step.reward for step in found[2:-1]] == pytest.approx([forward] * 28)


def cut_at(number, change):
    moments = drive()
    change(moments, number)
    return moments


def missing(moments, number):
    del moments[number]


def no_picture(moments, number):
    moments[number].picture = None


def unusable(moments, number):
    moments[number].encoding = 'bayer_rggb8'


def no_odometry(moments, number):
    moments[number].odometry = False


def put_elsewhere(moments, number):
    for moment in moments[number:]:
        moment.x += 40.0


def rerouted(moments, number):
    moments[number].route = STRAIGHT + [0.0, 0.5]
    moments[number + 9].route = STRAIGHT + [0.0, 0.5]


def reversing(moments, number):
    moments[number].command = Control(throttle=0.5, reverse=True)


def set_back(moments, number):
    for moment in moments[number:]:
        moment.stamp -= 25 * TICK


def set_back_between_ticks(moments, number):
    for moment in moments[number:]:
        moment.stamp -= 25 * TICK + 20_000_000


@pytest.mark.parametrize('change, reason, steps, used', [
    (set_back_between_ticks, 'time was set back', (15, 14), 60),
    (missing, 'ticks are missing', (15, 13), 59),
    (no_picture, 'ticks are missing', (15, 13), 59),
    (unusable, 'ticks are missing', (15, 13), 59),
    (no_odometry, 'no odometry for a picture', (15, 13), 59),
    (put_elsewhere, 'the car was put elsewhere', (15, 14), 60),
    (rerouted, 'another route', (15, 14), 60),
    (reversing, 'no recorded command', (15, 13), 60),
    (set_back, 'time was set back', (15, 14), 60)])
def test_what_does_not_follow_is_not_learned_across(tmp_path, change, reason, steps, used):
    found, experience = read(write(tmp_path / 'bag', cut_at(31, change)))
    assert shape(found) == [(steps[0], None), (steps[1], None)]
    assert experience.driver.cuts == {reason: 1, "the bag's end": 1}
    assert experience.recording.account['used'] == used
    # The stack of the second episode holds nothing from before.
    second = [t for t in found if t.kind is Kind.BEGIN][1]
    assert second.frame[0, 0] in (31, 32)


def test_a_collision_ends_an_episode_and_the_next_begins_later(tmp_path):
    moments = drive()
    moments[31].collision = moments[33].collision = True
    found, experience = read(write(tmp_path / 'bag', moments))
    assert shape(found) == [(16, Ending.COLLISION), (3, None)]
    crash = [t for t in found if t.ending is Ending.COLLISION][0]
    assert crash.terms.collision == 1.0 and crash.reward < -4.0
    assert experience.recording.account == {'used': 39, 'just after a collision': 21}


def test_arrival_and_the_edge_of_the_road(tmp_path):
    moments = drive()
    moments[0].route = STRAIGHT[:20]
    found, experience = read(write(tmp_path / 'bag', moments))
    assert shape(found) == [(13, Ending.ARRIVAL)]
    assert experience.recording.account == {'used': 26, "at the route's end": 34}
    # The same drive where the map ends before the route.
    found, experience = read(tmp_path / 'bag', on_road=lambda x, y: x < 14.0)
    assert shape(found) == [(8, Ending.OFF_ROAD)] and found[-1].terms.edge > 0.0
    assert experience.recording.account == {
        'used': 17, 'away from the route or the road': 8, "at the route's end": 35}


def test_standing_before_setting_off_is_not_learned(tmp_path):
    moments = drive()
    for number, moment in enumerate(moments):
        moment.x = 10.0 + max(number - 10, 0) * 0.25
        if number < 10:
            moment.speed, moment.command = 0.0, Control(brake=1.0)
    # It stands again, and the episode ends by that as it would live.
    for moment in moments[30:]:
        moment.x, moment.speed, moment.command = 15.0, 0.0, Control(brake=1.0)
    task = dataclasses.replace(TASK, episode=EpisodeSettings(standstill_time=0.5))
    found, experience = read(write(tmp_path / 'bag', moments), task)
    assert shape(found) == [(15, Ending.STANDSTILL)]
    assert experience.recording.account == {'used': 30, 'standing before it sets off': 30}


def test_the_action_is_the_mean_of_the_commands_that_were_kept(tmp_path):
    moments = drive(9)
    for number, moment in enumerate(moments):
        moment.command = Control(steer=0.1 * (number % 2), throttle=0.4 * (number % 2))
    found, experience = read(write(tmp_path / 'bag', moments))
    assert experience.source == 'commands with the stamps of the pictures'
    assert np.array([step.action for step in found[1:-1]]) == pytest.approx(
        np.tile([0.1, 0.2], (4, 1))) and not experience.clipped


def test_commands_beyond_the_actions_are_counted(tmp_path):
    moments = drive(9)
    moments[3].command = Control(steer=-0.9, brake=0.4)
    found, experience = read(write(tmp_path / 'bag', moments))
    assert experience.clipped == 1
    assert found[2].action == pytest.approx([-0.5, 0.05])


def test_the_status_tells_what_was_commanded_where_no_commands_are_recorded(tmp_path):
    moments = drive(9)
    for number, moment in enumerate(moments):
        moment.command = None
        # What answered the picture before.
        moment.status = Control(steer=0.05 * (number - 1), throttle=0.5) if number else Control()
    found, experience = read(write(tmp_path / 'bag', moments))
    assert 'status' in experience.source
    # The last picture has no status after it.
    assert shape(found) == [(4, None)]
    assert [step.action[0] for step in found[1:-1]] == pytest.approx(
        [2.0 * 0.05 * (i + 0.5) for i in (0, 2, 4, 6)])


def test_pictures_of_a_camera_with_its_own_stamps(tmp_path):
    """As in a car: odometry has no stamp of a picture, commands neither."""
    moments = []
    for moment in drive():
        alone = dataclasses.replace(moment, picture=None, stamp=moment.stamp - 10_000_000)
        moments += [alone, dataclasses.replace(moment, odometry=False, command=None, route=None)]
    found, experience = read(write(tmp_path / 'bag', moments))
    assert experience.pairing == 'nearest'
    assert experience.source == 'the command received last before the next picture'
    assert len(shape(found)) == 1 and shape(found)[0][0] >= 28


@pytest.mark.parametrize('change, words', [
    (lambda moment: setattr(moment, 'route', None), 'no route'),
    (lambda moment: setattr(moment, 'command', None), 'no commands to learn from'),
    (lambda moment: setattr(moment, 'command', Control(throttle=1.0, reverse=True)),
     'no command that answers'),
    (lambda moment: setattr(moment, 'odometry', False), 'no odometry topic')])
def test_a_bag_that_nothing_can_be_learned_from(tmp_path, change, words):
    moments = drive(10)
    for moment in moments:
        change(moment)
    with pytest.raises(BagError, match=words):
        read(write(tmp_path / 'bag', moments))


def test_reversing_is_not_learned_as_driving_on_where_only_the_status_tells(tmp_path):
    moments = drive()
    for number, moment in enumerate(moments):
        moment.command = None
        moment.status = Control(throttle=0.5, reverse=15 <= number - 1 < 25)
    found, experience = read(write(tmp_path / 'bag', moments))
    assert shape(found) == [(7, None), (17, None)]
    # The last picture has no status after it either.
    assert experience.driver.cuts == {'no recorded command': 2}
    assert experience.recording.account['no recorded command'] >= 8


def test_the_tasks_own_full_steer_is_not_beyond_it(tmp_path):
    moments = drive(9)
    for moment in moments:
        moment.command = Control(throttle=0.5, steer=0.8)
    task = dataclasses.replace(TASK, action=ActionSettings(repeat=2, max_steer=0.8))
    assert read(write(tmp_path / 'bag', moments), task)[1].clipped == 0
    task = dataclasses.replace(TASK, action=ActionSettings(repeat=2, max_steer=0.79))
    assert read(tmp_path / 'bag', task)[1].clipped == 9
