# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator in synchronous mode, waiting for one command a tick, over DDS."""

import math
import time

from carla_msgs.msg import (CarlaControl, CarlaEgoVehicleControl, CarlaEgoVehicleStatus,
                            CarlaLaneInvasionEvent, CarlaStatus)
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped, Twist
from nav_msgs.msg import Odometry, Path
import numpy as np
import pytest
from std_msgs.msg import Bool
from support import make_graph

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import (make_control, make_pose, read_odometry, read_path, read_stamp)
from av_td3_ros.simulation.town import default_town, Town

pytestmark = pytest.mark.ros
EGO = '/carla/ego_vehicle'


class Bench:
    """One simulator for the tests of this file, and a driver's side of its topics."""

    def __init__(self, ros):
        self.ros = ros
        self.process = ros.start('simulator', {
            'synchronous_mode_wait_for_vehicle_control_command': True,
            'camera.width': 64, 'camera.height': 48, 'seed': 4})
        self.odometry = ros.subscribe(Odometry, f'{EGO}/odometry')
        self.status = ros.subscribe(CarlaEgoVehicleStatus, f'{EGO}/vehicle_status')
        self.carla = ros.subscribe(CarlaStatus, '/carla/status')
        self.routes = ros.subscribe(Path, f'{EGO}/waypoints', qos.ROUTE)
        self.invasions = ros.subscribe(CarlaLaneInvasionEvent, f'{EGO}/lane_invasion')
        self.command = ros.publisher(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd',
                                     timeout=100.0)
        self.manual = ros.publisher(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd_manual')
        self.override = ros.publisher(Bool, f'{EGO}/vehicle_control_manual_override',
                                      qos.OVERRIDE)
        self.transform = ros.publisher(PoseMsg, f'{EGO}/control/set_transform')
        self.velocity = ros.publisher(Twist, f'{EGO}/control/set_target_velocity')
        self.goal = ros.publisher(PoseStamped, f'{EGO}/goal')
        self.control = ros.publisher(CarlaControl, '/carla/control')
        ros.wait_for(lambda: self.odometry and self.status and self.routes, 'the first tick')
        self.town = Town.load(default_town())

    @property
    def now(self):
        return read_stamp(self.odometry[-1].header.stamp)

    @property
    def state(self):
        return read_odometry(self.odometry[-1])

    def drive(self, control=Control(), ticks=1):
        """Answer ticks with a command each, and return the state after them."""
        for _ in range(ticks):
            before, count = self.now, len(self.status)
            self.command(make_control(control, before))
            self.ros.wait_for(lambda: self.now > before and len(self.status) > count, 'a tick')
        return self.state

    def place(self, pose):
        """Teleport to a standstill at a pose."""
        self.transform(make_pose(pose))
        self.velocity(Twist())
        self.ros.spin(0.05)
        return self.drive(Control(brake=1.0), 2)

    def settle(self):
        """Begin a test in step: exactly one command is awaited."""
        self.control(CarlaControl(command=CarlaControl.PLAY))
        self.override(Bool(data=False))
        self.ros.spin(0.05)
        self.drive()
        self.ros.spin(0.05)

    def warned(self, text):
        return self.process.output.count(text)


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('lockstep'))


@pytest.fixture(scope='module')
def the_bench(graph):
    return Bench(graph)


@pytest.fixture
def bench(the_bench):
    the_bench.settle()
    return the_bench


def test_one_command_makes_one_tick(bench):
    begin = bench.now
    state = bench.drive(Control(throttle=0.3, steer=0.25), 5)
    assert bench.now - begin == 5 * 50_000_000 and state.stamp == bench.now
    bench.ros.spin(0.3)
    assert bench.now - begin == 5 * 50_000_000
    applied = bench.status[-1].control
    assert (applied.throttle, applied.steer) == (pytest.approx(0.3), 0.25)


def test_without_a_command_it_waits_a_second_warns_and_ticks_on(bench):
    bench.drive(Control(throttle=0.5))
    warned, begin = bench.warned('Timeout (1.0 s)'), time.monotonic()
    bench.ros.next_of(bench.odometry, 'a tick without a command', timeout=5.0)
    first = time.monotonic()
    bench.ros.next_of(bench.odometry, 'another', timeout=5.0)
    assert 0.9 < first - begin < 1.6 and 0.9 < time.monotonic() - first < 1.6
    assert bench.warned('Timeout (1.0 s)') == warned + 2
    # The last command stays applied.
    assert bench.status[-1].control.throttle == 0.5


def test_a_late_command_counts_for_the_next_tick(bench):
    late = bench.now
    bench.ros.next_of(bench.odometry, 'the tick that was not answered', timeout=5.0)
    begin, warned = bench.now, bench.warned('Unexpected')
    bench.command(make_control(Control(steer=-0.5), late))
    bench.ros.wait_for(lambda: bench.now > begin, 'the next tick', timeout=0.9)
    assert bench.now - begin == 50_000_000 and bench.warned('Unexpected') == warned


def test_an_extra_command_is_warned_about(bench):
    warned = bench.warned('Unexpected vehicle control command')
    for _ in range(2):
        bench.command(make_control(Control(), bench.now))
    bench.ros.wait_for(lambda: bench.warned('Unexpected vehicle control command') > warned,
                       'a warning')
    assert 'publish exactly one a tick' in bench.process.output


def test_the_override_decides_whose_command_is_obeyed(bench):
    bench.manual(make_control(Control(brake=0.7)))
    begin = bench.now
    bench.ros.spin(0.2)
    assert bench.now == begin
    bench.override(Bool(data=True))
    bench.ros.spin(0.1)
    bench.command(make_control(Control(throttle=1.0), bench.now))
    bench.ros.spin(0.2)
    assert bench.now == begin
    bench.manual(make_control(Control(brake=0.7)))
    bench.ros.wait_for(lambda: bench.now > begin and bench.status[-1].control.brake > 0.0,
                       'the manual command')
    assert bench.status[-1].control.throttle == 0.0
    # Nor does the bridge set a velocity then.
    bench.velocity(Twist())
    bench.override(Bool(data=False))
    bench.ros.spin(0.1)
    bench.drive(Control(throttle=0.2))
    assert bench.status[-1].control.throttle == pytest.approx(0.2)


def test_pause_step_and_play(bench):
    bench.control(CarlaControl(command=CarlaControl.PAUSE))
    bench.ros.wait_for(lambda: not bench.carla[-1].synchronous_mode_running, 'PAUSE')
    begin = bench.now
    bench.ros.spin(1.3)
    assert bench.now == begin
    for n in (1, 2):
        running = len(bench.carla)
        bench.control(CarlaControl(command=CarlaControl.STEP_ONCE))
        # It runs for the step, and then does not.
        bench.ros.wait_for(
            lambda: [m.synchronous_mode_running for m in bench.carla[running:]]
            == [True, True, False] and bench.now == begin + n * 50_000_000, 'a step')
        bench.ros.spin(0.2)
        assert bench.now == begin + n * 50_000_000
    bench.control(CarlaControl(command=CarlaControl.PLAY))
    bench.ros.wait_for(lambda: bench.carla[-1].synchronous_mode_running, 'PLAY')
    bench.drive(ticks=3)
    bench.control(CarlaControl(command=7))
    bench.ros.wait_for(lambda: bench.warned('there is no command 7'), 'a warning')


@pytest.mark.parametrize('values', [
    {'throttle': math.nan}, {'steer': math.inf}, {'brake': -math.inf}])
def test_a_command_that_is_not_finite_is_no_command(bench, values):
    begin, applied = bench.now, bench.status[-1].control
    warned = bench.warned('command ignored')
    bench.command(CarlaEgoVehicleControl(**values))
    bench.ros.wait_for(lambda: bench.warned('command ignored') > warned
                       or bench.now > begin, 'a warning', timeout=3.0)
    bench.ros.spin(0.1)
    assert bench.status[-1].control == applied
    bench.drive()


def test_what_is_out_of_range_is_clipped_as_in_carla(bench):
    bench.drive(Control(throttle=3.0, steer=-2.0, brake=-1.0))
    applied = bench.status[-1].control
    assert (applied.throttle, applied.steer, applied.brake) == (1.0, -1.0, 0.0)


def test_positive_steer_turns_right_and_left_is_positive_y(bench):
    start = bench.place(bench.town.spawn_points[0]).pose
    state = bench.drive(Control(throttle=0.6, steer=0.3), 30)
    turned = (state.pose.yaw - start.yaw + math.pi) % (2 * math.pi) - math.pi
    assert turned < -0.05 and state.yaw_rate < 0.0 and state.velocity[0] > 1.0
    c, s = math.cos(start.yaw), math.sin(start.yaw)
    dx, dy = state.pose.x - start.x, state.pose.y - start.y
    assert c * dx + s * dy > 1.0 and c * dy - s * dx < 0.0
    status = bench.status[-1]
    assert status.velocity == pytest.approx(state.speed, abs=1e-4)
    assert status.orientation == bench.odometry[-1].pose.pose.orientation
    # Backwards: the forward velocity is negative, the status' speed is not.
    bench.place(bench.town.spawn_points[0])
    state = bench.drive(Control(throttle=0.5, reverse=True), 20)
    assert state.velocity[0] < -0.3 and bench.status[-1].velocity > 0.3


def test_a_teleport_leaves_the_velocity_until_it_is_set(bench):
    bench.place(bench.town.spawn_points[0])
    moving = bench.drive(Control(throttle=0.8), 30)
    assert moving.speed > 2.0
    there, routes = bench.town.spawn_points[7], len(bench.routes)
    bench.transform(make_pose(there))
    bench.ros.spin(0.05)
    state = bench.drive()
    assert math.dist(state.pose[:2], there[:2]) < 1.0
    assert state.pose.yaw == pytest.approx(there.yaw, abs=0.05)
    assert state.speed == pytest.approx(moving.speed, abs=0.6)
    # The stock waypoint publisher plans anew when the car jumps.
    bench.ros.wait_for(lambda: len(bench.routes) > routes, 'a route from there')
    assert math.dist(read_path(bench.routes[-1])[0], there[:2]) < 3.0
    bench.velocity(Twist())
    bench.ros.spin(0.05)
    assert bench.drive().speed < 0.1
    # The twist is in the body frame, as in the bridge.
    bench.velocity(make_twist(5.0))
    bench.ros.spin(0.05)
    state = bench.drive()
    assert state.velocity[0] == pytest.approx(5.0, abs=0.4) and abs(state.velocity[1]) < 0.2


def make_twist(forward):
    message = Twist()
    message.linear.x = forward
    return message


def test_bad_poses_and_twists_move_nothing(bench):
    before = bench.place(bench.town.spawn_points[3]).pose
    bad = make_pose(before)
    bad.position.x = math.nan
    bench.transform(bad)
    unturned = make_pose(Pose(0.0, 0.0, 0.0, 0.0))
    unturned.orientation.w = 0.0
    bench.transform(unturned)
    bench.velocity(make_twist(math.inf))
    bench.ros.wait_for(lambda: bench.warned('set_transform ignored')
                       and bench.warned('set_target_velocity ignored'), 'warnings')
    assert bench.drive(Control(brake=1.0)).pose == pytest.approx(before, abs=1e-3)


def test_a_goal_makes_a_route(bench):
    bench.place(bench.town.spawn_points[2])
    for index in (20, 41):
        goal, count = bench.town.spawn_points[index], len(bench.routes)
        bench.goal(PoseStamped(pose=make_pose(goal)))
        bench.ros.wait_for(lambda: len(bench.routes) > count, 'a route')
        route = bench.routes[-1]
        points = read_path(route)
        assert route.header.frame_id == 'map'
        assert math.dist(points[0], bench.state.pose[:2]) < 2.0
        assert math.dist(points[-1], goal[:2]) < 1.0
        steps = np.hypot(*np.diff(points, axis=0).T)
        assert steps.max() < 2.0
        # Each pose looks along the route.
        turn = route.poses[0].pose.orientation
        yaw = 2.0 * math.atan2(turn.z, turn.w)
        direction = math.atan2(*(points[1] - points[0])[::-1])
        assert math.cos(yaw - direction) > 0.99


def test_a_bad_goal_leaves_the_route(bench):
    count = len(bench.routes)
    for frame, x in (('map', math.nan), ('base_link', 1.0)):
        message = PoseStamped()
        message.header.frame_id = frame
        message.pose.position.x = x
        bench.goal(message)
    bench.ros.wait_for(lambda: bench.warned('Goal ignored'), 'a warning')
    bench.ros.spin(0.2)
    assert len(bench.routes) == count


def test_crossing_a_marking_is_an_event(bench):
    bench.place(bench.town.spawn_points[0])
    bench.invasions.clear()
    bench.drive(Control(throttle=0.7, steer=0.5), 60)
    bench.ros.wait_for(lambda: bench.invasions, 'an event')
    event = bench.invasions[0]
    assert event.header.frame_id == 'ego_vehicle/lane_invasion'
    assert list(event.crossed_lane_markings)


def test_it_ends_by_a_signal_within_seconds(bench):
    assert bench.process.stop(5.0) == 0
    assert 'Traceback' not in bench.process.output
