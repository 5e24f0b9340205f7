# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demonstration's observer over DDS: what comes late or out of order is not lost."""

import time

from carla_msgs.msg import CarlaControl
from nav_msgs.msg import Odometry
import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import CameraInfo, Image

from av_td3_ros.demo.figures import RouteMeter
from av_td3_ros.demo.observer import Observer
from av_td3_ros.demo.parameters import ROLE
from av_td3_ros.demo.routes import DemoRoute
from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.reward import RewardSettings
from av_td3_ros.driving.route import Route
from av_td3_ros.ros import qos
from av_td3_ros.ros.compatibility import make_executor

pytestmark = [pytest.mark.ros, pytest.mark.timeout(60)]

TICK = 50_000_000
STEP = 0.1      # m a tick
LATE = 0.4      # s after which a message is old, whatever the machine


class Film:
    """Takes frames in a video's place: each picture's tick, and that of the car's place in it."""

    def __init__(self):
        self.frames, self.lost = [], 0

    def add(self, picture, view, scene, lost=0):
        self.frames.append((int(picture[0, 0, 0]), round(scene.pose.x / STEP)))
        self.lost += lost


class Bench:
    """An observer of one straight route, and the simulator's publishers."""

    def __init__(self):
        rclpy.init(args=[])
        points = np.column_stack([np.arange(0.0, 51.0), np.zeros(51)])
        drawn = DemoRoute(Pose(0.0, 0.0, 0.0, 0.0), Pose(50.0, 0.0, 0.0, 0.0), Route(points),
                          np.zeros(51))
        self.meter = RouteMeter(drawn.route, goal_radius=3.0, max_lateral=2.5)
        self.film = Film()
        self.observer = Observer([drawn], [self.meter], RewardSettings(), self.film)
        self.node = rclpy.create_node('simulator')
        self.executor = make_executor()
        for node in (self.observer, self.node):
            self.executor.add_node(node)
        self.commands = []
        self.node.create_subscription(
            CarlaControl, '/carla/control', lambda m: self.commands.append(m.command), qos.STREAM)
        # Deep enough for a burst: of what is lost here nothing is to be learnt.
        self._odometry, self._image, self._camera = (
            self.node.create_publisher(kind, f'/carla/{ROLE}/{name}', qos.EXPERIENCE)
            for kind, name in ((Odometry, 'odometry'), (Image, 'rgb_front/image'),
                               (CameraInfo, 'rgb_front/camera_info')))
        self.spin(lambda: all(p.get_subscription_count() for p in (
            self._odometry, self._image, self._camera)) and self.observer._run
            .get_subscription_count())
        self._camera.publish(CameraInfo(k=[100.0, 0.0, 8.0, 0.0, 100.0, 4.0, 0.0, 0.0, 1.0]))
        self.spin(lambda: self.observer._view is not None)

    def close(self):
        self.executor.shutdown()
        for node in (self.observer, self.node):
            node.destroy_node()
        rclpy.try_shutdown()

    def spin(self, condition, keep_up=False):
        until = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < until, (self.film.frames, self.commands, self.observer.ticks)
            self.executor.spin_once(timeout_sec=0.02)
            if keep_up:
                self.observer.keep_up()

    def odometry(self, tick):
        message = Odometry()
        message.header.frame_id = 'map'
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(tick * TICK, 10 ** 9)
        message.child_frame_id = ROLE
        message.pose.pose.position.x = tick * STEP
        message.pose.pose.orientation.w = 1.0
        message.twist.twist.linear.x = STEP / (TICK * 1e-9) if tick else 0.0
        self._odometry.publish(message)

    def image(self, tick):
        message = Image(height=8, width=16, encoding='bgra8', step=64, data=bytes([tick]) * 512)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(tick * TICK, 10 ** 9)
        self._image.publish(message)


@pytest.fixture
def bench(ros_domain):
    bench = Bench()
    yield bench
    bench.close()


def test_pictures_and_odometry_meet_in_any_order_and_however_late(bench):
    # Nothing is taken in meanwhile, so that all of it is late.
    for tick in range(0, 100):
        bench.odometry(tick)
    for tick in range(0, 100):
        bench.image(tick)
    bench.spin(lambda: len(bench.film.frames) == 50)
    for tick in range(100, 140):
        bench.image(tick)
    bench.spin(lambda: len(bench.observer._pictures) == 20)
    for tick in range(100, 140):
        bench.odometry(tick)
    bench.spin(lambda: bench.observer.ticks == 140)
    assert bench.film.frames == [(tick, tick) for tick in range(0, 140, 2)]
    assert bench.film.lost == 0 and bench.observer.ticks == 140


def test_pictures_that_never_came_are_counted(bench):
    for tick in (*range(0, 20), *range(31, 60)):
        bench.odometry(tick)
        bench.image(tick)
    bench.spin(lambda: bench.observer.ticks == 49 and len(bench.film.frames) == 25)
    assert [tick for tick, _ in bench.film.frames] == [*range(0, 20, 2), *range(31, 60, 2)]
    # Those of the ticks 20, 22, 24, 26 and 28.
    assert bench.film.lost == 5


def test_the_simulator_waits_for_a_late_observer(bench):
    bench.odometry(0)
    bench.spin(lambda: bench.observer.ticks == 1, keep_up=True)
    assert not bench.commands
    for tick in range(1, 11):
        bench.odometry(tick)
    time.sleep(LATE)
    bench.spin(lambda: bench.commands, keep_up=True)
    assert bench.commands == [CarlaControl.PAUSE]
    bench.spin(lambda: len(bench.commands) > 1, keep_up=True)
    assert bench.commands == [CarlaControl.PAUSE, CarlaControl.PLAY]
    assert bench.observer.ticks == 11
    # Having caught up, it is not late any more.
    bench.odometry(11)
    bench.spin(lambda: bench.observer.ticks == 12, keep_up=True)
    assert len(bench.commands) == 2


def test_a_simulator_that_was_paused_on_purpose_stays_so(bench):
    bench.observer.run(CarlaControl.PAUSE)
    bench.odometry(0)
    time.sleep(LATE)
    begun = time.monotonic()
    bench.spin(lambda: bench.observer.ticks and time.monotonic() - begun > LATE, keep_up=True)
    assert bench.commands == [CarlaControl.PAUSE]
    bench.observer.run(CarlaControl.PLAY)
    bench.spin(lambda: len(bench.commands) == 2, keep_up=True)
    bench.odometry(1)
    bench.spin(lambda: bench.observer.ticks == 2, keep_up=True)
    assert bench.commands == [CarlaControl.PAUSE, CarlaControl.PLAY]
