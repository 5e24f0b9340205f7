# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The guard, a driver that dies, and the simulator, as processes of their own."""

from pathlib import Path
import signal
import time

from carla_msgs.msg import CarlaControl, CarlaEgoVehicleStatus, CarlaStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Pose as PoseMsg, Twist
import pytest
from std_msgs.msg import Bool
from support import make_graph

from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_pose, read_stamp
from av_td3_ros.simulation.town import default_town, Town

pytestmark = pytest.mark.ros
EGO = '/carla/ego_vehicle'


class Road:
    """A free-running simulator in real time, and its vehicle as applied and as it moves."""

    def __init__(self, ros, **parameters):
        self.ros = ros
        self.simulator = ros.start('simulator', {
            'camera.width': 64, 'camera.height': 48, 'spawn_point': 0, **parameters})
        self.arrivals = []
        self.status = []
        ros.node.create_subscription(
            CarlaEgoVehicleStatus, f'{EGO}/vehicle_status', self._on_status, qos.STREAM)
        self.carla = ros.subscribe(CarlaStatus, '/carla/status')
        self.overrides = ros.subscribe(Bool, f'{EGO}/vehicle_control_manual_override', qos.INFO)
        self.diagnostics = ros.subscribe(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
        self.guard = ros.start('guard')
        self.transform = ros.publisher(PoseMsg, f'{EGO}/control/set_transform', timeout=100.0)
        self.velocity = ros.publisher(Twist, f'{EGO}/control/set_target_velocity')
        self.control = ros.publisher(CarlaControl, '/carla/control')
        self.home = make_pose(Town.load(default_town()).spawn_points[0])

    def _on_status(self, message):
        self.status.append(message)
        self.arrivals.append(time.monotonic())

    @property
    def applied(self):
        return self.status[-1].control

    @property
    def speed(self):
        return self.status[-1].velocity

    def drive(self, **parameters):
        """Start a driver, and wait until the car is under way and the guard has heard it."""
        self.transform(self.home)
        self.velocity(Twist())
        heard = self.heard()
        driver = self.ros.start('driver.py', parameters)
        self.wait_for(lambda: self.status and self.applied.throttle > 0.5
                      and self.speed > 1.0, 'the driver to drive')
        # Fast DDS may take up to 3 s until two participants know all of each other's topics,
        # and the vehicle may obey a driver that the guard does not know yet.
        self.wait_for(lambda: self.heard() > heard, 'the guard to hear it')
        return driver

    def heard(self):
        """Return how many commands the guard has heard, by its last word."""
        state = self.state()
        return int({v.key: v.value for v in state.values}['commands']) if state else 0

    def wait_for(self, condition, what, timeout=15.0):
        """Wait as the graph does, and fail with what the guard makes of it."""
        try:
            self.ros.wait_for(condition, what, timeout)
        except AssertionError as error:
            raise AssertionError(f'{error}\n--- the guard says: {self.state()}') from None

    def state(self):
        """Return what the guard said about itself last."""
        for message in reversed(self.diagnostics):
            for status in message.status:
                if status.name.endswith('av_td3_guard: guard'):
                    return status
        return None


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('guard'))


@pytest.fixture(scope='module')
def road(graph):
    return Road(graph)


def braked(road):
    return road.status and road.applied.brake == 1.0 and road.applied.throttle == 0.0


def test_a_driver_killed_at_throttle_is_braked_for_within_300_ms(road):
    driver = road.drive()
    road.ros.spin(0.5)
    died = time.monotonic()
    driver.kill()
    road.wait_for(lambda: braked(road), 'the brake', timeout=5.0)
    applied = next(at for at, m in zip(road.arrivals, road.status)
                   if at > died and m.control.brake == 1.0)
    assert applied - died < 0.3
    road.wait_for(lambda: road.speed < 0.05, 'standstill')
    # Held, and said.
    road.ros.spin(0.5)
    assert braked(road) and road.speed < 0.05
    state = road.state()
    assert state.level == DiagnosticStatus.ERROR and 'no good command' in state.message
    # Another driver gets the control back, and the car drives off.
    again = road.drive()
    assert road.overrides[-1].data is False
    road.wait_for(lambda: road.state().level == DiagnosticStatus.OK, 'all well')
    again.stop()


def test_a_driver_stopped_and_continued_gets_the_control_back(road):
    driver = road.drive()
    driver.send(signal.SIGSTOP)
    road.wait_for(lambda: braked(road), 'the brake')
    driver.send(signal.SIGCONT)
    road.wait_for(lambda: road.applied.throttle > 0.5, 'the control handed back')
    driver.kill()
    road.wait_for(lambda: braked(road) and road.speed < 0.05, 'standstill')


def test_a_pause_is_not_braked_for(road):
    driver = road.drive()
    interventions = len(road.overrides)
    road.control(CarlaControl(command=CarlaControl.PAUSE))
    road.wait_for(lambda: not road.carla[-1].synchronous_mode_running, 'the pause')
    road.ros.spin(1.5)
    road.control(CarlaControl(command=CarlaControl.PLAY))
    road.wait_for(lambda: road.carla[-1].synchronous_mode_running, 'the end of the pause')
    road.ros.spin(0.5)
    assert len(road.overrides) == interventions and road.applied.throttle > 0.5
    driver.kill()
    road.wait_for(lambda: braked(road) and road.speed < 0.05, 'standstill')


def test_a_command_that_is_not_finite_is_braked_for(road):
    driver = road.drive(nan=150)
    count = len(road.overrides)
    road.wait_for(lambda: any(m.data for m in road.overrides[count:]), 'the override')
    road.wait_for(lambda: 'not finite' in road.guard.output, 'the reason')
    road.wait_for(lambda: road.applied.throttle > 0.5 and not road.overrides[-1].data,
                  'the control handed back')
    driver.kill()
    road.wait_for(lambda: braked(road) and road.speed < 0.05, 'standstill')


def test_a_driver_that_repeats_one_stamp_is_braked_for(road):
    driver = road.drive(freeze=150)
    road.wait_for(lambda: braked(road) and road.speed < 0.05, 'standstill')
    driver.kill()


def test_a_guard_can_be_killed_and_restarted_without_a_jolt(road):
    driver = road.drive()
    count, overrides = len(road.status), len(road.overrides)
    road.guard.kill()
    road.ros.spin(0.5)
    road.diagnostics.clear()
    road.guard = road.ros.start('guard')
    road.wait_for(lambda: len(road.overrides) > overrides, 'the new guard at work')
    road.ros.spin(0.3)
    assert all(m.control.throttle > 0.5 and m.control.brake == 0.0 for m in road.status[count:])
    # Killed while it brakes, it leaves the brake on; the next one hands back.
    driver.kill()
    road.wait_for(lambda: braked(road) and road.speed < 0.05, 'standstill')
    road.guard.kill()
    road.diagnostics.clear()
    driver = road.ros.start('driver.py')
    road.ros.spin(1.0)
    assert braked(road) and road.speed < 0.05
    road.guard = road.ros.start('guard')
    road.wait_for(lambda: road.applied.throttle > 0.5, 'the control handed back')
    driver.stop()


def test_a_guard_starts_at_once_and_stays_small(road):
    begin = time.monotonic()
    guard = road.ros.start('guard', arguments=['-r', '__ns:=/carla/other'])
    road.wait_for(
        lambda: [1 for name, space in road.ros.node.get_node_names_and_namespaces()
                 if (name, space) == ('av_td3_guard', '/carla/other')], 'the other guard')
    started = time.monotonic() - begin
    road.ros.spin(1.0)
    text = Path(f'/proc/{guard.pid}/status').read_text()
    resident = int(text.split('VmRSS:')[1].split()[0]) / 1024
    loaded = Path(f'/proc/{guard.pid}/maps').read_text()
    assert not [name for name in ('torch', 'cv2', 'llvmlite', 'libcarla.', '_multiarray_umath')
                if name in loaded]
    assert resident < 60.0, f'{resident:.1f} MB'
    assert started < 5.0     # 0.6 s alone on the machine
    assert guard.stop() == 0


def test_in_lockstep_a_dead_driver_is_braked_for_after_three_ticks(ros):
    road = Road(ros, synchronous_mode_wait_for_vehicle_control_command=True)
    driver = road.drive()
    driver.kill()
    ros.spin(0.2)
    last = read_stamp(road.status[-1].header.stamp)
    moving = [m for m in road.status if read_stamp(m.header.stamp) == last][0].velocity
    road.wait_for(lambda: braked(road), 'the brake', timeout=10.0)
    first = next(m for m in road.status if m.control.brake == 1.0)
    # Simulated time from the last command to the brake: a few ticks at a second of wall time
    # each, while the world stood still.
    assert read_stamp(first.header.stamp) - last <= 6 * 50_000_000 and moving > 1.0
    road.wait_for(lambda: road.speed < 0.05, 'standstill', timeout=20.0)
    # One brake command a tick, no faster than real time: neither a second each, nor a race.
    count = len(road.status)
    ros.spin(2.0)
    assert 6 <= len(road.status) - count <= 44
    again = road.drive()
    assert not road.overrides[-1].data
    again.stop()
