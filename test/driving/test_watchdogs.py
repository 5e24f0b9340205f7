# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Watchdogs: each fault, and what looks like one and is none."""

import numpy as np
import pytest

from av_td3_ros.driving.frames import Pose, VehicleState
from av_td3_ros.driving.safety.watchdogs import fingerprint, Watchdogs, WatchdogSettings

TICK = 50_000_000
POLL = 0.02


class Car:
    """A car at a speed, its simulation, and the watchdogs over what it sees."""

    def __init__(self, *, clock=True, lockstep=False, speed=8.0, **settings):
        self.now, self.tick_number, self.speed, self.x = 100.0, 1000, speed, 0.0
        self.clock, self.picture = clock, 0
        self.dogs = Watchdogs(WatchdogSettings(**settings), self.now, lockstep=lockstep)
        self.dogs.routed = True
        self.status()

    @property
    def stamp(self):
        return self.tick_number * TICK

    def status(self, synchronous=False, running=True):
        self.dogs.simulation(synchronous=synchronous, running=running, now=self.now)

    def wait(self, seconds):
        """Let wall time pass, polled as a node does; return the fault."""
        for _ in range(round(seconds / POLL)):
            self.now += POLL
            self.dogs.poll(self.now)
        return self.dogs.fault

    def tick(self, *, clock=None, image=True, odometry=True, new=True, lag=0, image_lag=0):
        """Go on by a tick; lags are in ticks."""
        self.wait(0.04)
        self.tick_number += 1
        self.x += self.speed * 0.05
        if self.clock if clock is None else clock:
            self.dogs.add_clock(self.stamp, self.now)
        if odometry:
            self.dogs.add_odometry(VehicleState(
                self.stamp - lag * TICK, Pose(self.x, 0.0, 0.0, 0.0), (self.speed, 0.0), 0.0),
                self.now)
        if image:
            self.picture += new
            self.dogs.add_image(self.stamp - image_lag * TICK, self.picture, self.now)
        self.now += 0.01
        self.dogs.poll(self.now)
        return self.dogs.fault

    def drive(self, count=10, **how):
        """Tick until there is a fault; return it and how many ticks it took."""
        for number in range(1, count + 1):
            if self.tick(**how):
                return self.dogs.fault, number
        return None, count

    def state(self, name):
        return self.dogs.states()[name]


@pytest.mark.parametrize('clock', [True, False])
def test_all_is_well(clock):
    car = Car(clock=clock)
    assert car.dogs.states() == {'image': 'waiting', 'odometry': 'waiting', 'pairing': 'ok',
                                 'route': 'ok', 'clock': 'waiting', 'guard': 'ok'}
    assert car.drive(100) == (None, 100)
    assert set(car.dogs.states().values()) == {'ok'} and car.dogs.faults == 0


@pytest.mark.parametrize('clock', [True, False])
@pytest.mark.parametrize('missing, name, word', [
    ('image', 'image', 'missing'), ('odometry', 'odometry', 'stale')])
def test_what_stays_away_is_a_fault_after_its_deadline(clock, missing, name, word):
    car = Car(clock=clock)
    car.drive()
    fault, ticks = car.drive(**{missing: False})
    assert (fault.watchdog, fault.state) == (name, word) and f'no new {missing}' in fault.reason
    # 0.3 s, and no later than the next poll and tick.
    assert 6 <= ticks <= 8 and car.state(name) == word
    assert car.dogs.faults == 1 and car.dogs.trips == {name: 1}
    # It ends after five good pictures in a row; one that is missing again begins anew.
    for _ in range(3):
        assert car.tick()
    for _ in range(10):
        car.tick(**{missing: False})
    assert car.dogs.faults == 2
    assert [bool(car.tick()) for _ in range(5)] == [True] * 4 + [False]
    assert car.state(name) == 'ok'


def test_the_same_stamp_again_is_no_new_picture():
    car = Car()
    car.drive()
    stuck = car.stamp
    for _ in range(9):
        car.dogs.add_image(stuck, car.picture, car.now)
        car.tick(image=False)
    fault = car.dogs.fault
    assert (fault.watchdog, fault.state) == ('image', 'frozen')
    assert 'with the same stamp' in fault.reason


def test_a_picture_that_stays_the_same_while_the_car_moves_is_frozen():
    car = Car()
    car.drive()
    fault, ticks = car.drive(new=False)
    assert (fault.watchdog, fault.state) == ('image', 'frozen') and ticks == 6
    assert '7 pictures are the same' in fault.reason and 'moved 2.' in fault.reason
    # The car stops; only another picture ends it.
    car.speed = 0.0
    car.drive(30, new=False)
    assert car.state('image') == 'frozen'
    assert car.tick()
    # Standing, the next ones are the same, and rightly so.
    assert [bool(car.tick(new=False)) for _ in range(4)] == [True] * 3 + [False]


def test_a_car_that_stands_or_creeps_may_see_the_same_for_long():
    car = Car(speed=0.0)
    assert car.drive(200, new=False) == (None, 200)
    car.speed = 0.2
    fault, ticks = car.drive(200, new=False)
    assert fault.state == 'frozen' and 40 <= ticks <= 60
    # Teleported away from there, it is not the way that it made.
    other = Car(speed=0.0)
    other.drive(50, new=False)
    other.x += 300.0
    assert other.drive(5, new=False) == (None, 5)


def test_a_position_that_stays_the_same_at_speed_is_frozen():
    car = Car()
    car.drive()
    for _ in range(8):
        car.x -= car.speed * 0.05
        car.tick()
    assert (car.dogs.fault.watchdog, car.dogs.fault.state) == ('odometry', 'frozen')


@pytest.mark.parametrize('how', [{'lag': 8}, {'image_lag': 8}])
def test_picture_and_odometry_that_drift_apart(how):
    car = Car()
    car.drive()
    fault, ticks = car.drive(30, **how)
    assert fault is not None
    for _ in range(12):
        car.tick(**how)
    assert car.state('pairing') == 'drifting' and 'apart' in car.dogs.fault.reason
    # A little late is no fault.
    assert Car().drive(50, lag=3) == (None, 50)


def test_without_a_route_it_stops():
    car = Car()
    car.drive()
    car.dogs.routed = False
    assert car.tick()[:2] == ('route', 'missing') and car.state('route') == 'missing'
    car.dogs.routed = True
    assert [bool(car.tick()) for _ in range(5)] == [True] * 4 + [False]
    training = Watchdogs(WatchdogSettings(), 0.0, needs_route=False)
    assert training.poll(0.0) is None and training.states()['route'] == 'ok'


@pytest.mark.parametrize('clock', [True, False])
def test_a_clock_that_is_set_back_and_one_that_jumps_ahead(clock):
    car = Car(clock=clock)
    car.drive()
    for number, name, text in ((20, 'backwards', 'set back by'),
                               (20 + 72000, 'jumped', 'jumped ahead by 3599.80')):
        car.tick_number = number
        fault = car.tick()
        assert (fault.watchdog, fault.state) == ('clock', name) and text in fault.reason
        assert [bool(car.tick()) for _ in range(4)] == [True] * 3 + [False]
    assert car.dogs.faults == 2 and car.state('clock') == 'ok'
    # A gap below the limit is none.
    car.tick_number += 30
    assert car.tick() is None


def test_with_one_good_input_a_jump_is_noticed_all_the_same():
    car = Car(clock=False, good_inputs=1)
    car.drive()
    car.tick_number = 20
    assert car.tick() is None and car.dogs.faults == 1 and car.dogs.trips == {'clock': 1}


def test_a_little_back_is_no_fault_of_pictures_that_overtake_each_other():
    car = Car(clock=False)
    car.drive()
    car.dogs.add_image(car.stamp - 3 * TICK, -1, car.now)
    assert car.tick() is None


@pytest.mark.parametrize('name', ['image', 'odometry'])
def test_one_stamp_far_ahead_is_recovered_from(name):
    """Those that come after it are not taken for old until the clock is there."""
    car = Car()
    car.drive()
    ahead = car.stamp + 3600 * 10 ** 9
    if name == 'image':
        car.dogs.add_image(ahead, -1, car.now)
    else:
        car.dogs.add_odometry(VehicleState(ahead, Pose(car.x, 0.0, 0.0, 0.0), (car.speed, 0.0),
                                           0.0), car.now)
    fault = car.tick()
    assert (fault.watchdog, fault.state) == ('clock', 'backwards')
    assert [bool(car.tick()) for _ in range(4)] == [True] * 3 + [False]
    assert car.dogs.newest == car.stamp and car.dogs.faults == 1
    assert car.drive(100)[0] is None


@pytest.mark.parametrize('name', ['image', 'odometry'])
def test_stamps_that_stay_at_zero_while_the_clock_goes_on(name):
    car, words = Car(), []
    car.drive(40)
    for _ in range(20):
        car.tick(image=name != 'image', odometry=name != 'odometry')
        if name == 'image':
            car.picture += 1
            car.dogs.add_image(0, car.picture, car.now)
        else:
            car.dogs.add_odometry(VehicleState(
                0, Pose(car.x, 0.0, 0.0, 0.0), (car.speed, 0.0), 0.0), car.now)
        fault = car.dogs.poll(car.now)
        words.append(None if fault is None else fault[:2])
    # At once, and for as long as it lasts; no picture has odometry of its stamp in any case.
    assert words[0] == ('clock', 'backwards') and words[-1] == (name, 'frozen')
    assert [car.tick() for _ in range(10)][-1] is None


def test_a_clock_that_stops():
    car = Car()
    car.drive()
    assert car.wait(0.9) is None
    assert car.wait(0.2)[:2] == ('clock', 'stopped') and car.state('clock') == 'stopped'
    # In synchronous mode nothing moves then: it is said, and no more.
    waiting = Car()
    waiting.status(synchronous=True)
    waiting.drive()
    assert waiting.wait(1.5) is None and waiting.state('clock') == 'ok'
    assert waiting.wait(600.0) is None and waiting.state('clock') == 'stopped'
    assert waiting.tick() is None
    # Before anything was ever heard there is nothing to stop.
    assert Car().wait(5.0) is None


def test_a_pause_is_no_fault():
    car = Car()
    car.status(synchronous=True)
    car.drive()
    # Also in the middle of a tick.
    car.tick(image=False)
    car.status(synchronous=True, running=False)
    assert car.wait(60.0) is None and car.state('clock') == 'paused' and car.dogs.paused
    car.status(synchronous=True, running=True)
    assert car.wait(0.2) is None and car.drive() == (None, 10)
    assert car.dogs.faults == 0


def test_a_learner_that_thinks_is_no_fault():
    car = Car(lockstep=True)
    car.status(synchronous=True)
    car.drive()
    # The world waits with the tick whose picture is on its way.
    car.tick(image=False, odometry=False)
    assert car.wait(5.0) is None
    # It went on without an answer: that is one.
    car.tick(image=False)
    assert car.wait(0.1)[:2] == ('image', 'missing')
    # Without a learner, the first tick that waits for a second is.
    driving = Car()
    driving.status(synchronous=True)
    driving.drive()
    driving.tick(image=False)
    assert driving.wait(0.9) is None and driving.wait(0.14)[:2] == ('image', 'missing')


def test_a_node_that_was_held_up_itself_looks_into_its_queue_first():
    car = Car()
    car.drive()
    car.dogs.add_clock(car.stamp + TICK, car.now)
    car.now += 1.5
    assert car.dogs.poll(car.now) is None
    car.tick_number += 30
    car.dogs.add_odometry(VehicleState(car.stamp, Pose(0.0, 0.0, 0.0, 0.0), (8.0, 0.0), 0.0),
                          car.now)
    car.dogs.add_image(car.stamp, 77, car.now)
    assert car.tick() is None and car.dogs.faults == 0
    # Nothing in it: the next poll knows. And where every poll is late, that is no excuse.
    for pause in (POLL, 0.5):
        held = Car()
        held.drive()
        for number in range(1, 4):
            held.dogs.add_clock(held.stamp + number * TICK, held.now)
        held.now += 0.9
        assert held.dogs.poll(held.now) is None
        held.now += pause
        assert held.dogs.poll(held.now).watchdog in ('image', 'odometry', 'clock')


def test_a_late_poll_keeps_the_faults_that_were():
    car = Car()
    car.drive()
    car.drive(image=False)
    car.now += 1.0
    assert car.dogs.poll(car.now).state == 'missing' and car.dogs.faults == 1


def test_while_the_guard_brakes_it_is_a_fault():
    car = Car()
    car.drive()
    car.dogs.guard('no good command for 0.30 s')
    fault = car.tick()
    assert fault.watchdog == 'guard' and 'no good command' in fault.reason
    car.dogs.guard('')
    assert [bool(car.tick()) for _ in range(5)] == [True] * 4 + [False]


def test_a_start_forgets():
    car = Car()
    car.drive()
    car.drive(image=False)
    car.dogs.start(car.now)
    assert car.dogs.fault is None and car.dogs.newest == -1 and car.dogs.speed is None
    car.tick_number = 3
    assert car.tick() is None


def test_fingerprints_tell_pictures_apart():
    rng = np.random.default_rng(1)
    for shape in ((84, 96, 4), (600, 800, 4), (600, 800, 3), (48, 64), (8192, 8, 1)):
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
        same, other = picture.copy(), picture.copy()
        other[0, 0] ^= 1
        assert fingerprint(picture) == fingerprint(same) != fingerprint(other)
