# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topic of a bag is what: by its type, by the role name in it, or as the user says."""

from __future__ import annotations

import dataclasses
import re
from typing import Mapping, Sequence

from av_td3_ros.evaluation.storage import BagError, Topic

KINDS: dict[str, tuple[str, ...]] = {
    'route': ('nav_msgs/msg/Path',),
    'collision': ('carla_msgs/msg/CarlaCollisionEvent',),
    'lane_invasion': ('carla_msgs/msg/CarlaLaneInvasionEvent',),
    'command': ('carla_msgs/msg/CarlaEgoVehicleControl',),
    'status': ('carla_msgs/msg/CarlaEgoVehicleStatus',),
    'objects': ('derived_object_msgs/msg/ObjectArray',),
    'odometry': ('nav_msgs/msg/Odometry',),
    'image': ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'),
}
"""The kinds of topics and their types, in the order in which messages of one time are taken: the
policy node's, where the picture, which brings the decision, comes after all that was before it."""

NEEDED = ('image', 'odometry')
OTHERS = 'others'
"""Odometry of other vehicles: any number of topics."""

_NAMES = {
    'route': ('waypoints',), 'collision': ('collision',), 'lane_invasion': ('lane_invasion',),
    'command': ('vehicle_control_cmd',), 'status': ('vehicle_status',), 'objects': ('objects',),
    'odometry': ('odometry',),
    'image': ('rgb_front/image', 'rgb_front/image/compressed', 'rgb_front/image_compressed')}


@dataclasses.dataclass(frozen=True)
class Selection:
    """The number of each kind's topic in the bag; ``others`` those of other vehicles."""

    role: str
    chosen: Mapping[str, int]
    others: tuple[int, ...] = ()

    def kind(self, topic: int) -> str:
        """Return what a topic is."""
        return next((kind for kind, number in self.chosen.items() if number == topic), OTHERS)


def select(topics: Sequence[Topic], counts: Sequence[int], *, role: str = '',
           mapping: Mapping[str, str] | None = None) -> Selection:
    """
    Find the topics of one vehicle.

    counts: messages of each topic; one without any is not taken. role: its role name, empty to
    find it. mapping: topics by kind as the user gives them. Raises :class:`.BagError`, naming
    what there is, where a needed one is missing or where it is not clear which is meant.
    """
    mapping = dict(mapping or {})
    there = [number for number, count in enumerate(counts) if count]
    chosen: dict[str, int] = {}
    for kind, name in mapping.items():
        if kind not in KINDS:
            raise BagError(f'there is no kind of topic {kind!r}; there are ' + ', '.join(KINDS))
        found = [number for number in there if topics[number].name == name]
        if not found:
            raise BagError(f'the bag has no messages on {name}')
        if topics[found[0]].type not in KINDS[kind]:
            raise BagError(f'{name} is {topics[found[0]].type}, not ' + ' or '.join(KINDS[kind]))
        chosen[kind] = found[0]
    role = role or _find_role(topics, there, chosen)
    for kind in KINDS:
        if kind not in chosen:
            number = _find(topics, there, kind, role)
            if number is not None:
                chosen[kind] = number
    for kind in NEEDED:
        if kind not in chosen:
            raise BagError(f'the bag has no {kind} topic ({" or ".join(KINDS[kind])})'
                           + (f' of {role}' if role else '') + '; it has ' + (', '.join(
                               sorted(f'{topics[n].name} ({topics[n].type})' for n in there)[:12])
                               or 'none'))
    others = tuple(number for number in there if topics[number].type in KINDS['odometry']
                   and number != chosen['odometry'])
    return Selection(role, chosen, others)


def _role_of(name: str) -> str:
    match = re.fullmatch(r'/carla/([^/]+)/.+', name)
    return match.group(1) if match else ''


def _find_role(topics: Sequence[Topic], there: Sequence[int], chosen: Mapping[str, int]) -> str:
    for kind in ('image', 'odometry', 'command'):
        if kind in chosen:
            return _role_of(topics[chosen[kind]].name)
    kinds: dict[str, set[str]] = {}
    for number in there:
        for kind in ('image', 'odometry'):
            if topics[number].type in KINDS[kind]:
                kinds.setdefault(_role_of(topics[number].name), set()).add(kind)
    roles = sorted(role for role, has in kinds.items() if role and len(has) == 2)
    if 'ego_vehicle' in roles:
        return 'ego_vehicle'
    if len(roles) > 1:
        raise BagError('the bag has several vehicles: ' + ', '.join(roles)
                       + '; choose one with --role-name')
    return roles[0] if roles else ''


def _find(topics: Sequence[Topic], there: Sequence[int], kind: str, role: str) -> int | None:
    found = [number for number in there if topics[number].type in KINDS[kind]]
    if role:
        own = [number for number in found if _role_of(topics[number].name) == role]
        # Shared topics, as /carla/objects, are of no role.
        shared = [number for number in found if not _role_of(topics[number].name)]
        found = own or shared
        named = [number for leaf in _NAMES[kind] for number in found
                 if topics[number].name == f'/carla/{role}/{leaf}']
        if named:
            return named[0]
        if kind == 'command':
            # Others are for the override, not what the vehicle drove by.
            found = [n for n in found if not topics[n].name.endswith('_manual')]
    if len(found) > 1:
        raise BagError(f'several topics may be the {kind}: '
                       + ', '.join(sorted(topics[number].name for number in found))
                       + f'; choose one with --topic {kind}=NAME')
    return found[0] if found else None
