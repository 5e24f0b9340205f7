# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every fault of a graph gives its own line, with a remedy, and a sound graph gives none."""

import dataclasses
import json

import pytest

from av_td3_ros.setup_check.expected import expected
from av_td3_ros.setup_check.facts import Endpoint, ERROR, Facts, OK, Sample, Topic, WARNING
from av_td3_ros.setup_check.report import as_json, as_text, judge

BRIDGE, POLICY, GUARD = ('/carla_ros_bridge', '/carla/ego_vehicle/av_td3_policy',
                         '/carla/ego_vehicle/av_td3_guard')
EGO = '/carla/ego_vehicle'
TICK = 50_000_000
COMMAND = f'{EGO}/vehicle_control_cmd'
IMAGE = f'{EGO}/rgb_front/image'
STATUS = {'synchronous_mode': True, 'synchronous_mode_running': True, 'fixed_delta_seconds': 0.05}
WAITS = 'synchronous_mode_wait_for_vehicle_control_command'


def ticks(frame='', **fields):
    """Return samples of ten ticks."""
    return tuple(Sample(number * TICK, frame, fields) for number in range(40, 50))


def sound():
    """Return the facts of a graph in which all is well: bridge, policy and guard."""
    topics = {}
    for e in expected('rgb_front'):
        bridge = Endpoint(BRIDGE, e.type, latched=e.latched)
        ours = Endpoint(POLICY, e.type, latched=e.latched)
        topics[e.topic('ego_vehicle')] = Topic((bridge,), (ours,)) if e.published \
            else Topic((ours,), (bridge,))
    samples = {
        '/carla/status': tuple(Sample(None, '', STATUS) for _ in range(10)),
        '/clock': ticks(),
        IMAGE: ticks('ego_vehicle/rgb_front', width=800, height=600, encoding='bgra8'),
        f'{EGO}/rgb_front/camera_info': ticks('ego_vehicle/rgb_front', width=800, height=600,
                                              fx=400.0),
        f'{EGO}/odometry': ticks('map', child='ego_vehicle'),
        f'{EGO}/vehicle_status': ticks('map'),
        f'{EGO}/waypoints': (Sample(0, 'map', {'points': 90}),),
        COMMAND: ticks(throttle=0.5, steer=-0.1, brake=0.0),
        f'{EGO}/vehicle_control_manual_override': (Sample(None, '', {'data': False}),),
    }
    return Facts('ego_vehicle', 'rgb_front', 2.0, (BRIDGE, POLICY, GUARD), topics, samples,
                 {BRIDGE: {'passive': False, 'synchronous_mode': True, WAITS: True},
                  POLICY: {'training': False}})


def with_topic(name, **changes):
    """Return sound facts with other publishers or subscriptions of a topic."""
    facts = sound()
    topics = {**facts.topics, name: dataclasses.replace(facts.topic(name), **changes)}
    return dataclasses.replace(facts, topics=topics)


def with_samples(name, samples):
    """Return sound facts with other samples on a topic."""
    facts = sound()
    return dataclasses.replace(facts, samples={**facts.samples, name: tuple(samples)})


def with_status(**fields):
    """Return sound facts with another status of the bridge."""
    return with_samples('/carla/status', [Sample(None, '', {**STATUS, **fields})] * 3)


def end(name, node=BRIDGE, **changes):
    """Return the endpoint that sound facts have at a topic, changed."""
    topic = sound().topic(name)
    return dataclasses.replace((*topic.publishers, *topic.subscriptions)[0], node=node, **changes)


def test_a_sound_graph_has_no_fault():
    findings = judge(sound())
    assert {f.level for f in findings} == {OK}
    assert {f.subject for f in findings} == {'topics', 'mode', 'stamps', 'camera', 'commands'}


def image(**fields):
    """Return sound facts with pictures of another kind."""
    return with_samples(IMAGE, ticks('ego_vehicle/rgb_front', **{
        'width': 800, 'height': 600, 'encoding': 'bgra8', **fields}))


def renamed():
    """Return sound facts of a vehicle that has another role name than the one looked for."""
    return dataclasses.replace(sound(), role='hero')


# Name of the case, facts, level, and parts of the one line that must be there.
CASES = [
    ('no graph', Facts('ego_vehicle', 'rgb_front', 2.0), ERROR,
     ['no CARLA bridge', 'ROS_DOMAIN_ID']),
    ('native', with_topic('/carla/status', publishers=()), ERROR, ['no CARLA ROS bridge']),
    ('two bridges', with_topic('/carla/status', publishers=(
        end('/carla/status'), end('/carla/status', '/other'))), ERROR,
     ['2 nodes publish /carla/status', '/other', 'ROS_DOMAIN_ID']),
    ('role', renamed(), ERROR, ["no vehicle 'hero'", 'there is ego_vehicle',
                                'role_name:=ego_vehicle']),
    ('asynchronous', with_status(synchronous_mode=False), ERROR,
     ['not synchronous', 'synchronous_mode:=True']),
    ('paused', with_status(synchronous_mode_running=False), ERROR,
     ['paused', 'ros2 topic pub --once /carla/control']),
    ('ticks', with_status(fixed_delta_seconds=0.1), WARNING,
     ['0.1 s', 'fixed_delta_seconds:=0.05']),
    ('silent', with_samples('/carla/status', ()), ERROR, ['nothing came on /carla/status']),
    ('passive', dataclasses.replace(sound(), parameters={BRIDGE: {'passive': True}}), WARNING,
     ['passive']),
    ('not waiting', dataclasses.replace(sound(), parameters={BRIDGE: {WAITS: False}}), WARNING,
     ['does not wait', f'{WAITS}:=True']),
    ('no camera', with_topic(IMAGE, publishers=()), ERROR,
     [IMAGE, 'nobody publishes', 'sensor.camera.rgb', 'objects.json']),
    ('no odometry', with_topic(f'{EGO}/odometry', publishers=()), ERROR,
     ['nobody publishes', 'sensor.pseudo.odom']),
    ('no route', with_topic(f'{EGO}/waypoints', publishers=()), ERROR,
     ['waypoint publisher', 'role_name:=ego_vehicle']),
    ('no collision', with_topic(f'{EGO}/collision', publishers=()), ERROR,
     ['sensor.other.collision']),
    ('no teleport', with_topic(f'{EGO}/control/set_transform', subscriptions=()), WARNING,
     ['actor.pseudo.control', 'training needs it']),
    ('type', with_topic(IMAGE, publishers=(
        end(IMAGE, type='sensor_msgs/msg/CompressedImage'),)), ERROR, ['CompressedImage']),
    ('best effort', with_topic(COMMAND, publishers=(end(COMMAND, POLICY, reliable=False),)),
     ERROR, ['best effort', POLICY, 'reliable']),
    ('volatile', with_topic(f'{EGO}/vehicle_control_manual_override', publishers=(
        end(f'{EGO}/vehicle_control_manual_override', GUARD, latched=False),)), ERROR,
     ['volatile', GUARD, 'transient local']),
    ('two drivers', with_topic(COMMAND, publishers=(
        end(COMMAND, POLICY), end(COMMAND, '/manual'))), ERROR,
     ['2 nodes send commands', '/manual', 'end all but one']),
    ('two cameras', with_topic(IMAGE, publishers=(end(IMAGE), end(IMAGE, '/cam'))), ERROR,
     ['2 nodes publish', '/cam']),
    ('two trainers', with_topic('/av_td3_trainer/weights', publishers=(
        Endpoint('/av_td3_trainer', 'x'), Endpoint('/av_td3_trainer', 'x'))), ERROR,
     ['2 training nodes', 'ROS_DOMAIN_ID']),
    ('twins', dataclasses.replace(sound(), nodes=(BRIDGE, POLICY, POLICY)), ERROR,
     [f'2 nodes are called {POLICY}']),
    ('no trainer', dataclasses.replace(sound(), parameters={POLICY: {'training': True}}), ERROR,
     ['trains', 'training_node']),
    ('no pictures', with_samples(IMAGE, ()), ERROR,
     ['nothing came', 'cyclonedds.xml']),
    ('slow camera', with_samples(IMAGE, image().seen(IMAGE)[::3]), ERROR,
     ['every 0.15 s', 'sensor_tick']),
    ('stamps back', with_samples(IMAGE, image().seen(IMAGE)[::-1]), ERROR, ['go back']),
    ('wall time', with_samples(IMAGE, [
        dataclasses.replace(s, stamp=s.stamp + 1_700_000_000 * 10**9)
        for s in image().seen(IMAGE)]), ERROR, ['far from', 'simulation time']),
    ('unpaired', with_samples(IMAGE, [dataclasses.replace(s, stamp=s.stamp + 7)
                                      for s in image().seen(IMAGE)]), ERROR,
     ['no picture has the stamp of an odometry']),
    ('frame', with_samples(f'{EGO}/odometry', ticks('odom', child='ego_vehicle')), ERROR,
     ["'odom', not 'map'"]),
    ('camera frame', with_samples(IMAGE, ticks('front', width=800, height=600,
                                               encoding='bgra8')), ERROR,
     ["'front', not 'ego_vehicle/rgb_front'"]),
    ('child', with_samples(f'{EGO}/odometry', ticks('map', child='base_link')), WARNING,
     ["'base_link'"]),
    ('empty route', with_samples(f'{EGO}/waypoints', [Sample(0, 'map', {'points': 0})]), ERROR,
     ['route is empty', f'{EGO}/goal']),
    ('route not heard', with_samples(f'{EGO}/waypoints', ()), ERROR, ['no route came']),
    ('size', image(width=320, height=320), WARNING, ['320x320', 'image_size_x 800']),
    ('other size', image(width=400, height=300), ERROR, ['camera_info says 800x600']),
    ('encoding', image(encoding='yuv422'), ERROR, ["'yuv422' cannot be read"]),
    ('view', with_samples(f'{EGO}/rgb_front/camera_info', ticks(
        'ego_vehicle/rgb_front', width=800, height=600, fx=700.0)), WARNING, ['59 degrees']),
    ('nobody drives', with_topic(COMMAND, publishers=()), WARNING,
     ['nobody sends commands', 'driving.launch.py']),
    ('no commands', with_samples(COMMAND, ()), ERROR, ['sent no command', 'lifecycle']),
    ('twice', with_samples(COMMAND, sound().seen(COMMAND) * 2), ERROR,
     ['several commands have one stamp']),
    ('not answers', with_samples(COMMAND, [dataclasses.replace(s, stamp=s.stamp + 1)
                                           for s in sound().seen(COMMAND)]), WARNING,
     ['no command has the stamp of a picture']),
    ('range', with_samples(COMMAND, ticks(throttle=float('nan'), steer=0.0, brake=0.0)), ERROR,
     ['out of range']),
    ('override', with_samples(f'{EGO}/vehicle_control_manual_override',
                              [Sample(None, '', {'data': True})]), ERROR,
     ['override is on', 'diagnostics']),
]


@pytest.mark.parametrize('facts, level, parts', [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])
def test_a_fault_is_one_line_with_its_remedy(facts, level, parts):
    lines = [f for f in judge(facts) if f.level == level and all(p in str(f) for p in parts)]
    assert len(lines) == 1, as_text(facts, judge(facts))
    assert lines[0].remedy and '\n' not in str(lines[0])


@pytest.mark.parametrize('facts', [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_a_fault_brings_few_other_lines(facts):
    assert 1 <= sum(f.level != OK for f in judge(facts)) <= 3, as_text(facts, judge(facts))


def test_few_messages_are_no_fault():
    """A listener on a busy computer misses most, and others of each stream."""
    facts = sound()
    few = {IMAGE: facts.seen(IMAGE)[3:5], f'{EGO}/odometry': facts.seen(f'{EGO}/odometry')[5:6],
           COMMAND: facts.seen(COMMAND)[:2]}
    facts = dataclasses.replace(facts, samples={**facts.samples, **few})
    assert {f.level for f in judge(facts)} == {OK}


def test_the_worst_comes_first_and_the_sum_last():
    facts = image(encoding='yuv422', width=320, height=320)
    lines = as_text(facts, judge(facts)).splitlines()
    levels = [line.split()[0] for line in lines[:-1]]
    assert levels == sorted(levels, key=['ERROR', 'WARNING', 'OK'].index)
    assert lines[-1].endswith(f'{levels.count("ERROR")} errors, '
                              f'{levels.count("WARNING")} warnings')


def test_json_holds_the_same():
    facts = renamed()
    told = json.loads(as_json(facts, judge(facts)))
    assert told['role'] == 'hero' and told['ok'] is False
    assert [f['level'] for f in told['findings']] == [f.level for f in judge(facts)]
    assert all(set(f) == {'level', 'subject', 'text', 'remedy'} for f in told['findings'])
    assert json.loads(as_json(sound(), judge(sound())))['ok'] is True
