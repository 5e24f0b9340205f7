# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who is there: bridge, vehicle, topics with their types and QoS, and nothing twice."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

from av_td3_ros.setup_check.expected import (CLOCK, COMMAND, Expected, expected, STATUS, WEIGHTS)
from av_td3_ros.setup_check.facts import Endpoint, ERROR, Facts, Finding, OK, Topic, WARNING

_DOMAIN = ('start it, or look in its domain: ROS_DOMAIN_ID and '
           'ROS_AUTOMATIC_DISCOVERY_RANGE (ROS_LOCALHOST_ONLY on Humble) must fit on both sides')


def judge(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the graph's nodes and topics, or one line that nothing is."""
    found = list(_bridge(facts))
    if not any(f.level == ERROR and f.subject == 'bridge' for f in found):
        vehicle = list(_vehicle(facts))
        found += vehicle or list(_topics(facts))
    found += _doubles(facts)
    found += _qos(facts)
    yield from found
    if not found:
        yield Finding(OK, 'topics', 'all are there, with their types and fitting QoS')


def _bridge(facts: Facts) -> Iterator[Finding]:
    if facts.topic(STATUS).publishers:
        return
    if facts.topic(CLOCK).publishers:
        yield Finding(
            ERROR, 'bridge', f'{CLOCK} is published by {_nodes(facts.topic(CLOCK).publishers)}, '
            f'but nobody publishes {STATUS}', "this is no CARLA ROS bridge (CARLA's native ROS 2 "
            'has no odometry, route or status; see docs/carla.md)')
    else:
        yield Finding(ERROR, 'bridge', f'nobody publishes {STATUS} and {CLOCK}: no CARLA bridge '
                      'is seen', _DOMAIN)


def _vehicle(facts: Facts) -> Iterator[Finding]:
    """Yield that no vehicle has the role name, where it has no topic of a bridge at all."""
    if any(topic.publishers if e.published else topic.subscriptions
           for e in expected(facts.camera) if not e.name.startswith('/')
           for topic in [_without_ours(facts, e)]):
        return
    others = sorted({name.split('/')[2] for name, topic in facts.topics.items()
                     if name.startswith('/carla/') and name.count('/') >= 3
                     and name.endswith(('/odometry', '/vehicle_status', '/image'))
                     and topic.publishers})
    yield Finding(
        ERROR, 'role name', f'no vehicle {facts.role!r} publishes anything'
        + (f'; there is {", ".join(others)}' if others else ''),
        (f'use role_name:={others[0]}, or ' if others else '')
        + f'spawn a vehicle named {facts.role!r} and have ego_vehicle_role_name of the bridge '
        'hold that name')


def _without_ours(facts: Facts, e: Expected) -> Topic:
    """Return a topic without the policy and guard, which also wait where there is no bridge."""
    topic = facts.topic(e.topic(facts.role))

    def others(ends: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        return tuple(end for end in ends if 'av_td3_' not in end.node)
    return Topic(others(topic.publishers), others(topic.subscriptions))


def _topics(facts: Facts) -> Iterator[Finding]:
    for e in expected(facts.camera):
        name = e.topic(facts.role)
        topic = facts.topic(name)
        ends = topic.publishers if e.published else topic.subscriptions
        level = ERROR if e.needed else WARNING
        wrong = [end for end in (*topic.publishers, *topic.subscriptions) if end.type != e.type]
        for end in wrong:
            yield Finding(
                ERROR, name, f'{end.node} has the type {end.type}, not {e.type}',
                'have it use that type; both sides need the same message package')
        if not ends:
            did = 'publishes' if e.published else 'subscribes to'
            yield Finding(level, name, f'nobody {did} it', e.remedy.replace('<role>', facts.role))


def _doubles(facts: Facts) -> Iterator[Finding]:
    for name in (STATUS, CLOCK):
        nodes = facts.topic(name).publishers
        if len(nodes) > 1:
            yield Finding(
                ERROR, 'bridge', f'{len(nodes)} nodes publish {name}: {_nodes(nodes)}',
                'end all bridges and simulators but one, or give each a ROS_DOMAIN_ID of its own')
            break
    for e in expected(facts.camera):
        name = e.topic(facts.role)
        nodes = facts.topic(name).publishers
        if name in (STATUS, CLOCK) or len(nodes) < 2 or not (e.published or e.name == COMMAND):
            continue
        if e.name == COMMAND:
            yield Finding(ERROR, name, f'{len(nodes)} nodes send commands: {_nodes(nodes)}',
                          'the vehicle obeys whichever comes last: end all but one')
        else:
            yield Finding(ERROR, name, f'{len(nodes)} nodes publish it: {_nodes(nodes)}',
                          'end all but one, or spawn the sensor once')
    trainers = facts.topic(WEIGHTS).publishers
    if len(trainers) > 1:
        yield Finding(ERROR, 'training', f'{len(trainers)} training nodes are in this domain: '
                      + _nodes(trainers), 'end all but one, or give each a ROS_DOMAIN_ID of its '
                      'own: the policy would take the weights of both')
    for node, count in sorted(Counter(facts.nodes).items()):
        if count > 1 and 'av_td3_' in node:
            yield Finding(ERROR, 'nodes', f'{count} nodes are called {node}', 'end all but one; '
                          'vehicles need role names of their own')


def _qos(facts: Facts) -> Iterator[Finding]:
    for name, topic in sorted(facts.topics.items()):
        if not name.startswith(('/carla/', CLOCK, '/av_td3_')):
            continue
        for publisher in topic.publishers:
            for subscription in topic.subscriptions:
                wrong, remedy = _mismatch(publisher, subscription)
                if wrong and publisher.type == subscription.type:
                    yield Finding(ERROR, name, f'{publisher.node} publishes {wrong} to '
                                  f'{subscription.node}: nothing arrives', remedy)


def _mismatch(publisher: Endpoint, subscription: Endpoint) -> tuple[str, str]:
    """Return why two ends do not match, and the remedy; two empty texts where they do."""
    if subscription.reliable and not publisher.reliable:
        return ('best effort, which does not match the reliable subscription',
                f'make the publisher of {publisher.node} reliable')
    if subscription.latched and not publisher.latched:
        return ('volatile, which does not match the transient-local subscription',
                f'make the publisher of {publisher.node} transient local')
    return '', ''


def _nodes(ends: tuple[Endpoint, ...]) -> str:
    return ', '.join(sorted(end.node for end in ends))
