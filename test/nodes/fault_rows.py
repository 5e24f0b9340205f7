# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The fault table's rows about driving: each injects faults into real processes, and measures.

A row takes a :class:`rig.Rig` and how often, asserts what must hold whatever the machine's speed,
and returns its measured figures; whoever calls it holds the times to their bounds, of which
:data:`BOUNDS` has those of this project.
"""

import signal
import time

from rig import constant_agent, DEADLINE, GOOD_INPUTS, THROTTLE
from stack import TRAINER
from std_msgs.msg import UInt8MultiArray

from av_td3_ros.learning.policy import export_policy
from av_td3_ros.ros import qos, weights

# Longest time from the fault to the applied brake, s of wall time, on a machine that is not busy.
BOUNDS = {'inputs': DEADLINE + 0.2, 'policy': 0.3, 'guard_warning': 1.0, 'trainer_back': 5.0,
          'late': 2 * DEADLINE + 0.2}

# How each input fails, and the watchdog's word for it. A relay that holds its publisher's process
# (SIGSTOP) is a publisher that hangs.
INPUT_FAULTS = {
    'image stops': ('image', 'stop', 'image', ('missing',)),
    'image publisher SIGSTOPped': ('image', signal.SIGSTOP, 'image', ('missing',)),
    'image frozen, new stamps': ('image', 'freeze', 'image', ('frozen',)),
    'image repeated, same stamp': ('image', 'same', 'image', ('frozen', 'missing')),
    'image 0.5 s late': ('image', 'delay', 'pairing', ('drifting',)),
    'odometry stops': ('odometry', 'stop', 'odometry', ('stale',)),
    'odometry publisher SIGSTOPped': ('odometry', signal.SIGSTOP, 'odometry', ('stale',)),
    'odometry not finite': ('odometry', 'nan', 'odometry', ('stale',)),
    'odometry repeated, same stamp': ('odometry', 'same', 'odometry', ('frozen', 'stale')),
}


def input_bound(name):
    """Return the longest time to the brake for one of INPUT_FAULTS, s."""
    # Drifting apart is one deadline, for which it must last the other.
    return BOUNDS['late' if INPUT_FAULTS[name][2] == 'pairing' else 'inputs']


def input_fault(rig, name):
    """Make an input fail at speed; return the time to the brake, and that until driving on."""
    what, how, watchdog, words = INPUT_FAULTS[name]
    rig.drive()
    begun = time.monotonic()
    try:
        if isinstance(how, str):
            rig.mode(what, how)
        else:
            rig.relays[what].send(how)
        brake = rig.brake_after(begun)
        word = rig.wait_for(lambda: rig.told(watchdog) in words and rig.told(watchdog),
                            f'{watchdog} as one of {words} on /diagnostics')
        # By its own command: where the guard, which brakes harder, came before it, the set
        # deceleration goes on for a while after the guard let go.
        rig.wait_for(lambda: rig.commands[-1].brake > 0.9 and rig.applied.brake > 0.9
                     and rig.speed < 0.05, 'standstill')
        # Held for as long as it lasts.
        count = len(rig.status)
        rig.ros.spin(0.5)
        assert all(m.control.brake > 0.9 and m.velocity < 0.1 for m in rig.status[count:])
    finally:
        first, healed = len(rig.commands), time.monotonic()
        rig.mode(what, 'pass')
        rig.relays[what].send(signal.SIGCONT)
    rig.wait_for(lambda: rig.drives, 'driving on')
    # No throttle before so many good inputs.
    braked = next(number for number, command in enumerate(rig.commands[first:])
                  if command.throttle > 0.0)
    # Those that waited in a process that hung come at once, several to one command.
    least = GOOD_INPUTS if isinstance(how, str) else GOOD_INPUTS // 2
    assert braked >= least, f'only {braked} commands to brake after the fault'
    return {'brake_s': round(brake, 3), 'word': word,
            'driving_again_s': round(time.monotonic() - healed, 3)}


def policy_dies(rig, how):
    """Kill or stop the policy node at throttle; return the time to the brake, and hand back."""
    rig.drive()
    overrides, begun = len(rig.overrides), time.monotonic()
    rig.policy.send(how)
    brake = rig.brake_after(begun)
    rig.wait_for(lambda: any(m.data for m in rig.overrides[overrides:]), 'the override')
    rig.wait_for(lambda: rig.speed < 0.05, 'standstill')
    count = len(rig.status)
    rig.ros.spin(0.5)
    assert all(m.control.brake == 1.0 for m in rig.status[count:])
    begun = time.monotonic()
    if how == signal.SIGKILL:
        rig.policy.kill()
        rig.start_policy()
    else:
        rig.policy.send(signal.SIGCONT)
    rig.wait_for(lambda: rig.drives, 'the control handed back', 100.0)
    handed = time.monotonic() - begun
    # Handed back without a jolt: the first throttle is a part of what is driven with.
    applied = [m.control for m, at in zip(rig.status, rig.arrivals) if at > begun]
    first = next(control.throttle for control in applied if control.throttle > 0.0)
    assert first < THROTTLE and not rig.overrides[-1].data
    return {'brake_s': round(brake, 3), 'handed_back_s': round(handed, 3),
            'first_throttle': round(first, 3)}


def guard_dies(rig):
    """Kill the guard; return how long until the warning, with the drive going on."""
    rig.drive()
    told = 'av_td3_policy: guard'
    rig.wait_for(lambda: rig.diagnosed(told) and rig.diagnosed(told).message == 'present',
                 'the guard to be heard')
    count, warned = len(rig.status), rig.policy.output.count('is gone: nobody brakes')
    begun = time.monotonic()
    rig.guard.kill()
    rig.wait_for(lambda: rig.policy.output.count('is gone: nobody brakes') > warned, 'a warning')
    warning = time.monotonic() - begun
    rig.ros.spin(0.5)
    assert all(m.control.throttle > 0.5 and m.control.brake == 0.0 for m in rig.status[count:])
    rig.start_guard()
    rig.wait_for(lambda: 'the guard is back' in rig.policy.output, 'the guard to be back')
    rig.ros.spin(0.5)
    # Started again, it does not touch the drive either.
    assert all(m.control.throttle > 0.5 and m.control.brake == 0.0 for m in rig.status[count:])
    return {'warning_s': round(warning, 3)}


def swaps(rig, count, pace=0.1):
    """Swap weights every ``pace`` s: every command is of one version or the other, whole."""
    versions = [export_policy(constant_agent(steer), number)
                for number, steer in enumerate((0.25, -0.25))]
    publish = rig.weights_publisher
    rig.drive(0.5)
    before = {key: int(value) for key, value in rig.diagnosed.fresh(
        'av_td3_policy: driving').items() if key in ('deadline_misses', 'images', 'commands')}
    used = 'av_td3_policy: weights'
    newest, first, number = time.time_ns() // 1000, None, 0
    # On and on where the car was stopped meanwhile, so that both versions were driven with.
    while number < count or len(seen(rig, first)) < 2 and number < 10 * count:
        newest = max(newest + 1, time.time_ns() // 1000)
        publish(UInt8MultiArray(data=weights.encode(newest, number, versions[number % 2])))
        rig.ros.spin(pace)
        if first is None and seen(rig, -3) & {0.25, -0.25}:
            first = len(rig.commands)
        if number % 40 == 39:
            rig.home()
        number += 1
    rig.diagnosed.wait_for(used, lambda v: v.get('version') == str(newest), 'the newest weights')
    assert first is not None and seen(rig, first) == {0.25, -0.25}, seen(rig, first)
    after = {key: int(value) for key, value in rig.diagnosed.fresh(
        'av_td3_policy: driving').items() if key in before}
    return {'swaps': number, 'other_outputs': 0,
            'deadlines_missed': after['deadline_misses'] - before['deadline_misses'],
            'commands': after['commands'] - before['commands'],
            'images': after['images'] - before['images']}


def seen(rig, first):
    """Return the steers of the commands from a number on that drive."""
    if first is None:
        return set()
    return {round(command.steer, 6) for command in rig.commands[first:] if command.throttle > 0.0}


def weights_publisher(rig):
    """Return what publishes weights as a training node does."""
    return rig.ros.publisher(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS)
