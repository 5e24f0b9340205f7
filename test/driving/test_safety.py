# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Watchdogs, safe stop and gate as a driver uses them."""

from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.driving.safety.gate import GateSettings
from av_td3_ros.driving.safety.safety import Safety, SafetySettings

TICK = 50_000_000
DRIVE = Control(throttle=1.0, steer=0.5)
FREE = GateSettings(steer_rate=0.0, jerk=0.0, brake_jerk=0.0, ramp=0.0)


class Drive:
    """A driver that goes by what its safety says, tick by tick."""

    def __init__(self, gate=FREE, **how):
        self.now, self.number, self.sent = 50.0, 100, []
        self.safety = Safety(SafetySettings(gate=gate), self.now, **how)
        self.dogs = self.safety.watchdogs
        self.dogs.routed = True
        self.begun = 0

    @property
    def stamp(self):
        return self.number * TICK

    def heed(self):
        self.begun += self.safety.changed()
        due = self.safety.stop_command(self.now)
        if due is not None:
            self.sent.append(due)

    def tick(self, *, image=True, seconds=0.05):
        """Go on by a tick; return the commands given for it."""
        count = len(self.sent)
        self.number += 1
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.dogs.poll(self.now)
            self.heed()
        self.dogs.add_clock(self.stamp, self.now)
        self.heed()
        self.dogs.add_odometry(VehicleState(
            self.stamp, Pose(0.4 * self.number, 0.0, 0.0, 0.0), (8.0, 0.0), 0.0), self.now)
        self.heed()
        if image:
            self.dogs.add_image(self.stamp, self.number, self.now)
            self.heed()
            if self.safety.fault is None and not self.safety.answered(self.stamp):
                self.sent.append((self.safety.command(DRIVE, self.stamp), self.stamp))
        return [control for control, _ in self.sent[count:]]


def test_a_fault_is_answered_by_a_safe_stop_and_driving_goes_on_after_good_inputs():
    drive = Drive()
    assert [drive.tick() for _ in range(3)] == [[DRIVE]] * 3
    answers = [drive.tick(image=False) for _ in range(60)]
    assert answers[:5] == [[]] * 5 and drive.begun == 1
    gentle, held = Control(brake=0.5, steer=0.5), Control(brake=1.0, steer=0.5)
    given = [control for answer in answers for control in answer]
    assert given[0] == gentle and given[-1] == held and set(given) == {gentle, held}
    assert drive.safety.holding
    # 8 m/s take 2 s at 4 m/s^2, and half a second more passes until it should surely stand.
    assert 45 <= given.count(gentle) <= 52
    # One command a tick, no matter how often it is asked.
    stamps = [stamp for _, stamp in drive.sent]
    assert len(stamps) == len(set(stamps))
    after = [drive.tick() for _ in range(7)]
    assert after[:4] == [[held]] * 4 and after[-1] == [DRIVE] and drive.begun == 1
    assert not drive.safety.holding


def test_no_faster_than_real_time():
    drive = Drive()
    drive.tick()
    for _ in range(10):
        drive.tick(image=False)
    count = len(drive.sent)
    # A simulation that waits for each command must not race through a fault.
    for _ in range(20):
        drive.tick(image=False, seconds=0.01)
    assert len(drive.sent) - count <= 6


def test_a_clock_that_stands_is_answered_again_now_and_then():
    drive = Drive()
    drive.tick()
    for _ in range(400):
        drive.now += 0.01
        drive.dogs.poll(drive.now)
        drive.heed()
    assert drive.safety.fault.state == 'stopped'
    assert 5 <= len(drive.sent) - 1 <= 8
    assert {stamp for _, stamp in drive.sent} == {drive.stamp}


def test_another_time_begins_its_stamps_anew():
    drive = Drive()
    for _ in range(5):
        drive.tick()
    drive.number = 10
    answers = [drive.tick() for _ in range(8)]
    assert drive.begun == 1 and answers[0][0].brake == 0.5 and answers[-1] == [DRIVE]
    assert [stamp for _, stamp in drive.sent[5:]] == [n * TICK for n in range(11, 19)]


def test_limits_are_off_in_training_unless_asked_for():
    limited = GateSettings(steer_rate=1.0)
    assert Drive(limited, training=True).tick() == [DRIVE]
    assert Drive(limited).tick() != [DRIVE]
    assert Drive(GateSettings(steer_rate=1.0, in_training=True), training=True).tick() != [DRIVE]


def test_after_a_stop_throttle_is_ramped():
    drive = Drive(GateSettings(steer_rate=0.0, jerk=0.0, brake_jerk=0.0, ramp=0.5))
    for _ in range(20):
        drive.tick()
    assert drive.tick() == [DRIVE]
    for _ in range(10):
        drive.tick(image=False)
    after = [drive.tick()[0].throttle for _ in range(12)]
    rising = [throttle for throttle in after if throttle > 0.0]
    assert rising[0] < 0.2 and rising == sorted(rising)


def test_a_start_is_a_stop_too():
    drive = Drive()
    drive.tick()
    drive.tick(image=False)
    for _ in range(10):
        drive.tick(image=False)
    drive.safety.start(drive.now)
    assert drive.safety.fault is None and not drive.safety.holding
    drive.number = 3
    assert drive.tick() == [DRIVE] and drive.safety.changed() is False
