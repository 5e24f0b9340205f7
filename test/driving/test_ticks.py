# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the order in which pictures and odometry become a driver's ticks."""

import numpy as np

from av_td3_ros.driving.driver import Driver, Phase
from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.start import Request
from av_td3_ros.driving.task import DrivingTask, TaskSettings
from av_td3_ros.driving.ticks import Picture, Ticks

TICK = 50_000_000
PICTURE = Picture(np.zeros((90, 100, 4), np.uint8), 'bgra8')


def state(number):
    return VehicleState(number * TICK, Pose(0.3 * number, 0.0, 0.0, 0.0), (6.0, 0.0), 0.0)


class Car:
    """Ticks of a car on a straight route."""

    def __init__(self):
        self.driver = Driver(DrivingTask(TaskSettings()), lambda _: np.array([0.25, 0.5]))
        self.driver.set_route(Route(np.stack([np.arange(0.0, 500.0), np.zeros(500)], axis=1)))
        self.restarts = []
        self.ticks = Ticks(self.driver, self.restarts.append)

    def take(self, answers):
        """Observe what was answered; return each stamp with its command's steer and brake."""
        out = []
        for answer in answers:
            assert self.ticks.observe(answer) == ([], Request.NOTHING)
            control = self.driver.decide()
            out.append((answer.stamp // TICK, control.steer, control.brake))
        return out

    def picture(self, number):
        return self.take(self.ticks.add_picture(number * TICK, PICTURE))

    def odometry(self, number):
        return self.take(self.ticks.add_state(state(number)))


def test_either_order_gives_one_answer():
    car = Car()
    assert car.picture(1) == [] and car.odometry(1) == [(1, 0.25, 0.0)]
    assert car.odometry(2) == [] and car.picture(2) == [(2, 0.25, 0.0)]
    assert car.picture(2) == []
    assert car.driver.phase is Phase.DRIVING


def test_pictures_without_odometry_repeat_the_command_then_brake():
    car = Car()
    car.picture(1), car.odometry(1)
    for number in (2, 3, 4):
        assert car.picture(number) == []
    assert car.take(car.ticks.give_up()) == [(2, 0.25, 0.0), (3, 0.25, 0.0), (4, 0.0, 1.0)]
    assert car.ticks.give_up() == []


def test_time_that_is_set_back_starts_anew():
    car = Car()
    car.picture(100), car.odometry(100)
    assert car.driver.phase is Phase.DRIVING
    car.odometry(5)
    assert car.restarts == [[]] and car.driver.phase is Phase.WAITING
    assert car.picture(5) == [(5, 0.25, 0.0)]


def test_a_little_late_is_not_set_back():
    car = Car()
    car.picture(100), car.odometry(100)
    assert car.picture(99) == [(99, 0.25, 0.0)]
    assert not car.restarts
