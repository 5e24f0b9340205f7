# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is said: the mode, rates, stamps, frames, the camera's size, and the commands."""

from __future__ import annotations

import math
from typing import Iterator, Sequence

from av_td3_ros.setup_check.expected import (CLOCK, COMMAND, expected, ODOMETRY, OVERRIDE, ROUTE,
                                             STATUS, WEIGHTS)
from av_td3_ros.setup_check.facts import ERROR, Facts, Finding, OK, Sample, WARNING

TICK = 0.05
"""Length in s of the ticks that the policies are trained with."""
WIDTH, HEIGHT = 800, 600
ENCODINGS = ('bgra8', 'bgr8', 'rgba8', 'rgb8', 'mono8')
WAITS = 'synchronous_mode_wait_for_vehicle_control_command'
# Fields of CarlaStatus are float32.
_CLOSE = 1e-4


def judge(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with what was said, and one line for each part that is well."""
    yield from _mode(facts)
    yield from _stamps(facts)
    yield from _frames(facts)
    yield from _camera(facts)
    yield from _commands(facts)
    yield from _training(facts)


# The mode of the bridge

def _mode(facts: Facts) -> Iterator[Finding]:
    seen = facts.seen(STATUS)
    if not seen:
        if facts.topic(STATUS).publishers:
            yield Finding(ERROR, 'bridge', f'nothing came on {STATUS} within {facts.seconds:g} s',
                          'the simulation stands: look at the output of the bridge and of CARLA')
        return
    last = seen[-1].fields
    parameters = next((facts.parameters[e.node] for e in facts.topic(STATUS).publishers
                       if e.node in facts.parameters), {})
    wrong = list(_wrong_mode(facts, seen, parameters))
    yield from wrong
    if not wrong:
        waits = ' and waits for a command each tick' if parameters.get(WAITS) else ''
        yield Finding(OK, 'mode', f'synchronous, {last["fixed_delta_seconds"]:g} s a tick{waits}')


def _wrong_mode(facts: Facts, seen: Sequence[Sample], parameters) -> Iterator[Finding]:
    last = seen[-1].fields
    if not last['synchronous_mode']:
        yield Finding(ERROR, 'mode', 'the simulation is not synchronous: pictures are missed and '
                      'commands come late', 'start the bridge with synchronous_mode:=True')
    elif not last['synchronous_mode_running']:
        yield Finding(ERROR, 'mode', 'the simulation is paused', 'go on: ros2 topic pub --once '
                      "/carla/control carla_msgs/msg/CarlaControl '{command: 0}'")
    elif parameters.get('passive'):
        yield Finding(WARNING, 'mode', 'the bridge is passive: another client ticks CARLA and '
                      'does not wait for commands', 'start the bridge with passive:=False')
    elif parameters.get(WAITS) is False:
        yield Finding(WARNING, 'mode', 'the bridge does not wait for a command each tick: on a '
                      'slow computer pictures go unanswered', f'start it with {WAITS}:=True')
    step = last['fixed_delta_seconds']
    if abs(step - TICK) > _CLOSE:
        yield Finding(WARNING, 'mode', f'a tick is {step:g} s; the policy was trained with '
                      f'{TICK:g} s', f'start the bridge with fixed_delta_seconds:={TICK:g}')


# Rates and stamps

def _stamps(facts: Facts) -> Iterator[Finding]:
    status = facts.seen(STATUS)
    step = round(1e9 * (status[-1].fields['fixed_delta_seconds'] if status else TICK) / 1e6) \
        * 1_000_000
    clock = [s.stamp for s in facts.seen(CLOCK) if s.stamp is not None]
    wrong = False
    rates = []
    for e in expected(facts.camera):
        name = e.topic(facts.role)
        if not e.stamped or not facts.topic(name).publishers:
            continue
        stamps = [s.stamp for s in facts.seen(name) if s.stamp is not None]
        found = list(_stream(name, stamps, clock, step, facts, needed=e.needed))
        wrong |= bool(found)
        yield from found
        rates.append(f'{e.name} {len(stamps) / facts.seconds:.3g} Hz')
    if wrong or not rates:
        return
    pictures, places = (
        [s.stamp for s in facts.seen(facts.of_vehicle(n)) if s.stamp is not None]
        for n in (f'{facts.camera}/image', ODOMETRY))
    if _apart(pictures, places):
        yield Finding(ERROR, 'stamps', 'no picture has the stamp of an odometry message',
                      'they must come from one bridge, which stamps both with the tick')
    else:
        yield Finding(OK, 'stamps', 'of each tick; in wall time ' + ', '.join(rates))


def _apart(one: Sequence[int], other: Sequence[int]) -> bool:
    """
    Tell whether two streams of one time have no stamp in common.

    Where few messages came, or of different times, that says nothing: the listener, which takes
    what it gets, may have missed the others.
    """
    return min(len(one), len(other)) >= 3 and max(one[0], other[0]) < min(one[-1], other[-1]) \
        and not set(one) & set(other)


def _stream(name: str, stamps: Sequence[int], clock: Sequence[int], step: int, facts: Facts, *,
            needed: bool) -> Iterator[Finding]:
    if not stamps:
        if needed:
            yield Finding(ERROR, name, f'nothing came within {facts.seconds:g} s',
                          'look at the output of the bridge; is the simulation paused, or the '
                          'image too large for what the middleware has room for '
                          '(config/fastdds.xml, config/cyclonedds.xml)?')
        return
    if clock and abs(stamps[-1] - clock[-1]) > 10 * 1_000_000_000:
        yield Finding(ERROR, name, f'its stamp {stamps[-1] / 1e9:.3f} s is far from the '
                      f'{clock[-1] / 1e9:.3f} s of {CLOCK}', 'stamp it with simulation time')
        return
    steps = [after - before for before, after in zip(stamps, stamps[1:])]
    if any(length <= 0 for length in steps):
        yield Finding(ERROR, name, 'its stamps repeat or go back', 'is it published twice, or by '
                      'two bridges?')
    # The median: a listener that comes in late or loses a picture is not the sender's fault.
    elif steps and sorted(steps)[len(steps) // 2] > 1.5 * step:
        typical = sorted(steps)[len(steps) // 2]
        yield Finding(ERROR, name, f'it comes every {typical / 1e9:g} s of simulation, not each '
                      f'tick of {step / 1e9:g} s', 'spawn the sensor with sensor_tick 0, or end '
                      'what else loads this computer')


# Frames and the camera

def _frames(facts: Facts) -> Iterator[Finding]:
    camera = f'{facts.role}/{facts.camera}'
    for name, frame in ((f'{facts.camera}/image', camera), (ODOMETRY, 'map'), (ROUTE, 'map')):
        topic = facts.of_vehicle(name)
        seen = facts.seen(topic)
        if seen and seen[-1].frame != frame:
            yield Finding(ERROR, topic, f'its frame is {seen[-1].frame!r}, not {frame!r}',
                          'take it from the bridge unchanged')
    odometry = facts.seen(facts.of_vehicle(ODOMETRY))
    if odometry and odometry[-1].fields['child'] != facts.role:
        yield Finding(WARNING, facts.of_vehicle(ODOMETRY), 'its child frame is '
                      f'{odometry[-1].fields["child"]!r}, not {facts.role!r}',
                      'spawn sensor.pseudo.odom on the vehicle itself')
    route = facts.seen(facts.of_vehicle(ROUTE))
    if route and route[-1].fields['points'] < 2:
        yield Finding(ERROR, facts.of_vehicle(ROUTE), 'the route is empty',
                      f'set a goal on {facts.of_vehicle("goal")}, and look whether the waypoint '
                      'publisher found the vehicle')
    elif not route and facts.topic(facts.of_vehicle(ROUTE)).publishers:
        yield Finding(ERROR, facts.of_vehicle(ROUTE), 'no route came',
                      f'set a goal on {facts.of_vehicle("goal")}; the publisher must be '
                      'transient local')


def _camera(facts: Facts) -> Iterator[Finding]:
    topic = facts.of_vehicle(f'{facts.camera}/image')
    if not facts.seen(topic):
        return
    image = facts.seen(topic)[-1].fields
    width, height = image['width'], image['height']
    wrong = False
    if image['encoding'] not in ENCODINGS:
        wrong = True
        yield Finding(ERROR, topic, f'its encoding {image["encoding"]!r} cannot be read',
                      'use ' + ', '.join(ENCODINGS))
    if width * HEIGHT != height * WIDTH:
        wrong = True
        yield Finding(WARNING, topic, f'pictures are {width}x{height}, of another shape than the '
                      f'{WIDTH}x{HEIGHT} that the policy was trained with: they are distorted',
                      f'spawn the camera with image_size_x {WIDTH}, image_size_y {HEIGHT}')
    info = facts.seen(facts.of_vehicle(f'{facts.camera}/camera_info'))
    if info:
        told = info[-1].fields
        if (told['width'], told['height']) != (width, height):
            wrong = True
            yield Finding(ERROR, topic, f'pictures are {width}x{height}, but camera_info says '
                          f'{told["width"]}x{told["height"]}', 'they are of two cameras: spawn '
                          'one with this id')
        elif told['fx'] > 0.0:
            fov = math.degrees(2.0 * math.atan(0.5 * width / told['fx']))
            if abs(fov - 90.0) > 1.0:
                wrong = True
                yield Finding(WARNING, topic, f'its field of view is {fov:.0f} degrees; the '
                              'policy was trained with 90', 'spawn the camera with fov 90')
    if not wrong:
        yield Finding(OK, 'camera', f'{width}x{height} {image["encoding"]}')


# Commands

def _commands(facts: Facts) -> Iterator[Finding]:
    topic = facts.of_vehicle(COMMAND)
    senders = facts.topic(topic).publishers
    override = facts.seen(facts.of_vehicle(OVERRIDE))
    if override and override[-1].fields['data']:
        yield Finding(ERROR, facts.of_vehicle(OVERRIDE), f'the override is on: {topic} is ignored',
                      'has the guard braked? Its /diagnostics say why; else publish false, '
                      'transient local')
    if not senders:
        yield Finding(WARNING, topic, 'nobody sends commands', 'start the policy: ros2 launch '
                      'av_td3_ros driving.launch.py simulator:=carla role_name:=' + facts.role)
        return
    commands = facts.seen(topic)
    if not commands:
        yield Finding(ERROR, topic, f'{senders[0].node} sent no command within '
                      f'{facts.seconds:g} s', 'look at its output and /diagnostics; is it active '
                      '(ros2 lifecycle get), and are pictures and route there?')
        return
    pictures = [s.stamp for s in facts.seen(facts.of_vehicle(f'{facts.camera}/image'))
                if s.stamp is not None]
    stamps = [s.stamp for s in commands if s.stamp is not None]
    limits = any(not _within(s) for s in commands)
    if limits:
        yield Finding(ERROR, topic, 'a command is out of range', 'throttle and brake are in '
                      '[0, 1], steer in [-1, 1], all finite')
    if len(stamps) != len(set(stamps)):
        yield Finding(ERROR, topic, 'several commands have one stamp', 'send exactly one a '
                      'picture, with its stamp')
    elif _apart(pictures, stamps):
        yield Finding(WARNING, topic, 'no command has the stamp of a picture',
                      'stamp a command with the stamp of the picture that it answers')
    elif not limits:
        yield Finding(OK, 'commands', f'{len(commands)} within {facts.seconds:g} s by '
                      f'{senders[0].node}')


def _within(sample: Sample) -> bool:
    f = sample.fields
    return 0.0 <= f['throttle'] <= 1.0 and 0.0 <= f['brake'] <= 1.0 and -1.0 <= f['steer'] <= 1.0


def _training(facts: Facts) -> Iterator[Finding]:
    trains = [node for node, told in facts.parameters.items() if told.get('training') is True]
    if trains and not facts.topic(WEIGHTS).publishers:
        yield Finding(ERROR, 'training', f'{trains[0]} trains, but nobody publishes {WEIGHTS}',
                      'start the training node: ros2 run av_td3_ros training_node')
