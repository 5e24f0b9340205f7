# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The guard's judgement, without ROS: a driver and a simulation on two clocks."""

import math

import pytest

from av_td3_ros.driving.guard import Guard, GuardSettings, State

TICK = 50_000_000


class Scene:
    """A guard, a clock of ticks and a driver, in steps of 10 ms of wall time."""

    def __init__(self, **settings):
        self.guard = Guard(GuardSettings(**settings))
        self.now, self.sim, self.orders = 100.0, 0, []
        self.speed = 8.0        # m/s; None where the speedometer is silent

    def take(self):
        order = self.guard.step(self.now)
        if order != (None, None):
            self.orders.append((self.now, *order))

    def tick(self):
        self.sim += TICK
        self.guard.tick(self.sim, self.now)
        if self.speed is not None:
            self.guard.speed(self.speed)
        self.take()

    def command(self, steer=0.1, stamp=None):
        self.guard.command(steer, self.sim if stamp is None else stamp, self.now)
        self.take()

    def run(self, seconds, *, tick_every=0.05, driving=True):
        """Let wall time pass, with ticks, each answered at once where ``driving``."""
        steps = round(seconds / 0.01)
        every = round(tick_every / 0.01) if tick_every else 0
        for step in range(1, steps + 1):
            self.now += 0.01
            if every and step % every == 0:
                self.tick()
                if driving:
                    self.command()
            self.take()

    @property
    def overrides(self):
        return [override for _, override, _ in self.orders if override is not None]


def test_a_driver_that_drives_is_left_alone():
    scene = Scene()
    scene.run(20.0)
    assert scene.guard.state is State.WATCHING and scene.guard.interventions == 0
    # Once, for a former guard may have left the override on.
    assert scene.overrides == [False] and all(brake is None for *_, brake in scene.orders)


def test_nobody_who_never_drove_is_braked_for():
    scene = Scene()
    scene.run(20.0, driving=False)
    assert scene.orders == [] and scene.guard.state is State.IDLE


def test_a_guard_that_was_halted_takes_in_what_came_before_it_judges():
    scene = Scene()
    scene.run(2.0)
    before = scene.sim
    scene.now += 0.7
    # Of each topic the newest are left, and the commands are further than the clock at first.
    for number in (5, 6, 7, 8):
        scene.command(stamp=before + 14 * TICK)
        scene.sim = before + (number - 1) * TICK
        scene.tick()
    scene.now += 0.02
    scene.sim = before + 13 * TICK
    scene.tick()
    scene.command()
    scene.run(2.0)
    assert scene.guard.state is State.WATCHING and scene.guard.interventions == 0
    assert scene.guard.refused == 4


@pytest.mark.parametrize('halts', [[0.7], [0.15] * 10])
def test_a_halted_guard_still_brakes_for_a_driver_that_died(halts):
    scene = Scene()
    scene.run(2.0)
    died = scene.now
    for halt in halts:
        scene.now += halt
        for _ in range(round(halt / 0.05)):
            scene.tick()
    scene.run(0.2, driving=False)
    when = next(at for at, override, _ in scene.orders if override)
    assert scene.guard.state is State.BRAKING
    # A halt longer than the deadline, and what is granted after it; or two of the short ones.
    assert when - died <= (0.85 if len(halts) == 1 else 0.31)


def test_silence_of_a_moving_car_is_braked_for_in_time():
    scene = Scene()
    scene.run(2.0)
    died = scene.now
    scene.run(0.5, driving=False)
    when, override, brake = next(o for o in scene.orders if o[1])
    assert 0.15 <= when - died <= 0.22
    assert override is True and brake == (1.0, 0.1)
    assert 'no good command' in scene.guard.reason
    later = [o for o in scene.orders if o[0] > when]
    # Said again after the override has surely arrived, then once a tick.
    assert len(later) >= 4 and all(o[1] is None and o[2] == (1.0, 0.1) for o in later)


def test_a_pause_is_no_silence():
    scene = Scene()
    scene.run(2.0)
    scene.guard.simulation(synchronous=True, running=False)
    scene.run(60.0, tick_every=0, driving=False)
    scene.guard.simulation(synchronous=True, running=True)
    scene.run(2.0)
    assert scene.guard.interventions == 0


@pytest.mark.parametrize('tick_every', [0.05, 0])
def test_a_simulation_that_is_not_synchronous_cannot_be_paused(tick_every):
    scene = Scene()
    scene.guard.simulation(synchronous=False, running=False)
    scene.run(2.0)
    scene.run(2.0, tick_every=tick_every, driving=False)
    assert scene.guard.interventions == 1


def test_a_learner_that_thinks_is_no_silence():
    scene = Scene()
    scene.guard.simulation(synchronous=True, running=True)
    scene.run(2.0)
    # Each tick is waited for up to 1 s; two in three come without an answer.
    for _ in range(10):
        scene.run(2.0, tick_every=1.0, driving=False)
        scene.command()
    assert scene.guard.interventions == 0


def test_a_dead_driver_in_lockstep_is_braked_for_after_three_ticks():
    scene = Scene()
    scene.guard.simulation(synchronous=True, running=True)
    scene.run(2.0)
    sim = scene.sim
    scene.run(3.05, tick_every=1.0, driving=False)
    assert scene.guard.interventions == 1 and scene.sim - sim == 3 * TICK


def test_in_lockstep_each_tick_gets_one_brake_command():
    scene = Scene()
    scene.guard.simulation(synchronous=True, running=True)
    scene.run(2.0)
    scene.run(3.0, tick_every=1.0, driving=False)
    scene.run(0.2, tick_every=0)
    settled = len(scene.orders)
    # No tick, no command; then one for one.
    scene.run(1.0, tick_every=0)
    assert len(scene.orders) == settled
    for n in range(1, 6):
        scene.tick()
        scene.run(0.1, tick_every=0)
        assert len(scene.orders) == settled + n


def test_a_fast_simulation_needs_wall_time_too():
    scene = Scene()
    scene.run(2.0)
    for _ in range(15):
        scene.now += 0.01
        for _ in range(5):
            scene.tick()
    assert scene.guard.interventions == 0
    for _ in range(10):
        scene.now += 0.01
        scene.tick()
    assert scene.guard.interventions == 1


def test_a_stalled_simulation_is_nobodys_fault_unless_the_world_may_move():
    for synchronous, expected in ((True, 0), (False, 1)):
        scene = Scene()
        scene.guard.simulation(synchronous=synchronous, running=True)
        scene.run(2.0)
        scene.run(0.9, tick_every=0, driving=False)
        assert scene.guard.interventions == 0
        scene.run(5.0, tick_every=0, driving=False)
        assert scene.guard.interventions == expected


def test_a_standing_car_is_left_in_peace():
    scene = Scene()
    scene.run(2.0)
    scene.speed = 0.02
    scene.run(30.0, driving=False)
    assert scene.guard.interventions == 0
    scene.speed = -0.5
    scene.run(0.1, driving=False)
    assert scene.guard.interventions == 1


def test_a_speed_heard_long_ago_says_nothing_of_now():
    scene = Scene()
    scene.speed = 0.0
    scene.run(1.0)
    scene.speed = None
    scene.run(1.0)      # the driver drives off, with a speedometer that is silent
    scene.run(0.5, driving=False)
    assert scene.guard.interventions == 1
    # A few ticks are no silence.
    scene = Scene()
    scene.speed = 0.0
    scene.run(1.0)
    scene.speed = None
    scene.run(0.45, driving=False)
    assert scene.guard.interventions == 0


@pytest.mark.parametrize('speed', [math.nan, math.inf, -math.inf])
def test_an_unknown_speed_counts_as_moving(speed):
    scene = Scene()
    scene.speed = speed
    scene.run(2.0)
    scene.run(0.5, driving=False)
    assert scene.guard.interventions == 1


def test_a_bad_command_is_braked_for_at_once():
    scene = Scene()
    scene.run(2.0)
    scene.command(None)
    assert scene.guard.state is State.BRAKING and 'not finite' in scene.guard.reason


def test_a_first_command_that_is_bad_is_braked_for():
    scene = Scene()
    scene.command(None)
    assert scene.guard.state is State.BRAKING


def test_a_driver_that_repeats_itself_is_silent():
    scene = Scene()
    scene.run(2.0)
    stamp = scene.sim
    for _ in range(40):
        scene.now += 0.05
        scene.tick()
        scene.command(stamp=stamp)
    # The stamp's age counts from 0.5 s on, and the deadline from there.
    assert scene.guard.interventions == 1
    braked = next(o[0] for o in scene.orders if o[1])
    assert 0.5 + 0.15 <= braked - (100.0 + 2.0) <= 0.5 + 0.35


def test_commands_without_a_stamp_are_judged_by_their_arrival():
    scene = Scene()
    scene.run(1.0)
    for _ in range(100):
        scene.now += 0.05
        scene.tick()
        scene.command(stamp=0)
    assert scene.guard.interventions == 0


def test_a_stamp_from_the_future_is_not_good():
    scene = Scene()
    scene.run(2.0)
    for _ in range(10):
        scene.now += 0.05
        scene.tick()
        scene.command(stamp=scene.sim + 3_600_000_000_000)
    assert scene.guard.interventions == 1


def test_it_hands_back_after_good_commands_in_a_row():
    scene = Scene()
    scene.run(2.0)
    scene.run(1.0, driving=False)
    assert scene.guard.state is State.BRAKING
    scene.run(0.2)                        # four good ones
    scene.command(None)                   # and a bad one
    scene.run(0.2)
    assert scene.guard.state is State.BRAKING
    scene.run(0.05)
    assert scene.guard.state is State.WATCHING and scene.overrides == [False, True, False]
    count = len(scene.orders)
    scene.run(10.0)
    assert len(scene.orders) == count and scene.guard.interventions == 1


def test_it_yields_to_a_person_and_to_the_autopilot():
    for switch in ('other_override', 'autopilot'):
        scene = Scene()
        scene.run(2.0)
        getattr(scene.guard, switch)(True)
        scene.run(5.0, driving=False)
        assert scene.guard.state is State.YIELDING and scene.guard.interventions == 0
        getattr(scene.guard, switch)(False)
        # Who drove before gets a few ticks to begin.
        scene.run(0.1, driving=False)
        assert scene.guard.interventions == 0
        scene.run(0.5, driving=False)
        assert scene.guard.interventions == 1


def test_a_person_takes_over_from_the_brake_and_keeps_the_override():
    scene = Scene()
    scene.run(2.0)
    scene.run(1.0, driving=False)
    scene.guard.other_override(True)
    before = len(scene.orders)
    scene.run(5.0)
    assert scene.guard.state is State.YIELDING and len(scene.orders) == before


def test_a_new_guard_releases_what_a_former_one_left():
    scene = Scene()
    scene.run(0.2, driving=False)
    assert scene.overrides == []
    scene.run(0.3)
    assert scene.overrides == [False]


def test_another_simulation_is_another_story():
    scene = Scene()
    scene.run(2.0)
    scene.run(1.0, driving=False)
    assert scene.guard.state is State.BRAKING
    scene.sim, scene.speed = 0, 0.0
    scene.run(5.0, driving=False)
    assert scene.guard.state is State.IDLE
    # The latched override would hold in the new one as well.
    assert scene.overrides[-1] is False
    scene.run(1.0)
    assert scene.guard.state is State.WATCHING and scene.guard.interventions == 1


def test_a_clock_set_back_under_a_car_that_moves_leaves_the_guard_armed():
    scene = Scene()
    scene.run(2.0)
    scene.sim = 0
    scene.run(0.1, driving=False)
    assert scene.guard.interventions == 0
    scene.run(0.3, driving=False)
    assert scene.guard.state is State.BRAKING and scene.orders[-1][2] == (1.0, 0.1)
    # Set back again while it brakes: it brakes on, until the car stands.
    scene.sim = 0
    count = len(scene.orders)
    scene.run(0.5, driving=False)
    assert scene.guard.state is State.BRAKING and len(scene.orders) > count + 5
    assert scene.overrides[-1] is True
    scene.speed = 0.0
    scene.run(0.5, driving=False)
    assert scene.guard.state is State.IDLE and scene.overrides[-1] is False
    # A driver that goes on is left alone.
    going = Scene()
    going.run(2.0)
    going.sim = 0
    going.run(5.0)
    assert going.guard.state is State.WATCHING and going.guard.interventions == 0
    # One that never drove is not armed by it.
    other = Scene()
    other.run(1.0, driving=False)
    other.sim = 0
    other.run(1.0, driving=False)
    assert other.guard.state is State.IDLE and other.orders == []


def beating(scene, seconds, *, beats=True, **how):
    """Let time pass with the driver's heartbeat."""
    for _ in range(round(seconds / 0.05)):
        if beats:
            scene.guard.heartbeat(scene.now)
        scene.run(0.05, **how)


def test_a_driver_that_lives_gets_the_time_to_stop_by_itself():
    scene = Scene()
    beating(scene, 2.0)
    assert scene.guard.hears(scene.now) and scene.guard.interventions == 0
    begun = scene.now
    beating(scene, 0.5, driving=False)
    assert scene.guard.state is State.WATCHING
    # But not forever: a process may live, and its driver hang.
    beating(scene, 0.2, driving=False)
    assert scene.guard.state is State.BRAKING and 'heartbeat' not in scene.guard.reason
    assert 0.6 <= scene.orders[-1][0] - begun < 0.75


def test_a_driver_that_dies_with_its_heartbeat_is_braked_for_as_soon_as_one_without():
    scene = Scene()
    beating(scene, 2.0)
    died = scene.now
    scene.run(0.3, driving=False)
    first = next(at for at, override, _ in scene.orders if override)
    assert first - died <= 0.22


def test_where_ticks_wait_a_dead_driver_is_braked_for_after_one_of_them():
    scene = Scene()
    scene.guard.simulation(synchronous=True, running=True)
    beating(scene, 2.0)
    scene.tick()
    scene.run(0.9, tick_every=None)
    assert scene.guard.state is State.WATCHING
    scene.run(0.3, tick_every=None)
    assert scene.guard.state is State.BRAKING and 'no heartbeat' in scene.guard.reason
    # One that beats meanwhile is a learner that thinks.
    thinking = Scene()
    thinking.guard.simulation(synchronous=True, running=True)
    beating(thinking, 2.0)
    thinking.tick()
    beating(thinking, 5.0, tick_every=None)
    assert thinking.guard.state is State.WATCHING
    # And without any tick nothing moves.
    still = Scene()
    still.guard.simulation(synchronous=True, running=True)
    beating(still, 2.0)
    still.run(5.0, tick_every=None)
    assert still.guard.state is State.WATCHING and not still.guard.hears(still.now)


def test_a_guard_that_never_heard_a_heartbeat_says_so():
    scene = Scene()
    scene.run(1.0)
    assert not scene.guard.hears(scene.now)
