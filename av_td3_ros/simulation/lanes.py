# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lanes and markings of a map as arrays in ROS's frame, sampled from ``carla.Map``."""

from __future__ import annotations

import dataclasses
import math

import carla
import numpy as np

from av_td3_ros.simulation.opendrive import Road, Section

STEP = 0.5                 # m between samples along a road
NO_MARKING = 10            # CARLA's LaneMarkingType.NONE
# Permissions of carla.LaneChange, as bits: 1 to the right, 2 to the left.
_RIGHT, _LEFT = 1, 2
# Lane types beside the road, whose edges no wheel of a car in traffic meets.
_UNPAVED = ('none', 'sidewalk', 'tram', 'rail')
_EDGE = 1e-3               # m kept from a section's ends, where CARLA would answer for the next


@dataclasses.dataclass(frozen=True, eq=False)
class Lane:
    """
    One lane of one lane section, sampled in its direction of travel.

    ``centre``, ``left`` and ``right`` are (N, 3) float64 in metres, map frame (ROS); ``yaw``
    (N,) radians counter-clockwise; ``width`` (N,) metres; ``distance`` (N,) metres along the
    centre from its first sample. ``kind`` is the OpenDRIVE lane type ('driving', 'sidewalk',
    'shoulder', ...). ``left_marking`` and ``right_marking`` (N,) uint8 are CARLA
    LaneMarkingType numbers, ``left_mark_width`` and ``right_mark_width`` (N,) metres.
    ``change`` (N,) uint8 has bit 1 where a change to the right is legal and bit 2 to the left.
    ``successors`` are the indices of the driving lanes that follow; ``left_lane`` and
    ``right_lane`` the index of the driving lane of the same direction beside it, or -1.
    """

    index: int
    road: int
    section: int
    lane: int
    junction: int
    kind: str
    centre: np.ndarray
    left: np.ndarray
    right: np.ndarray
    yaw: np.ndarray
    width: np.ndarray
    distance: np.ndarray
    left_marking: np.ndarray
    right_marking: np.ndarray
    left_mark_width: np.ndarray
    right_mark_width: np.ndarray
    change: np.ndarray
    forward: bool            # travels along its road's s
    successors: tuple[int, ...] = ()
    left_lane: int = -1
    right_lane: int = -1

    @property
    def length(self) -> float:
        """Length of the centre in metres."""
        return float(self.distance[-1])

    @property
    def driving(self) -> bool:
        """Whether cars drive here."""
        return self.kind == 'driving'


@dataclasses.dataclass(frozen=True, eq=False)
class Marking:
    """
    One continuous painted marking of one type.

    ``kind`` is CARLA's LaneMarkingType number, ``width`` metres, ``points`` (N, 3) float64
    metres in the map frame, in the direction of the road's s.
    """

    kind: int
    width: float
    points: np.ndarray


def sample_lanes(carla_map: carla.Map, roads: list[Road]) -> list[Lane]:
    """Sample every lane but the centre lanes (width 0), linked to the lanes that follow it."""
    lanes: list[Lane] = []
    for road in roads:
        for number, section in enumerate(road.sections):
            stations = _stations(section)
            for lane_id, kind in section.lanes:
                if lane_id == 0:
                    continue
                lane = _sample(carla_map, len(lanes), road, number, lane_id, kind, stations)
                if lane is not None:
                    lanes.append(lane)
    return _link(carla_map, roads, lanes)


def _stations(section: Section) -> np.ndarray:
    low, high = section.start + _EDGE, section.end - _EDGE
    if high <= low:
        low = high = 0.5 * (section.start + section.end)
    return np.linspace(low, high, max(2, math.ceil((high - low) / STEP) + 1))


def _sample(carla_map: carla.Map, index: int, road: Road, section: int, lane_id: int, kind: str,
            stations: np.ndarray) -> Lane | None:
    rows, driving = [], kind == 'driving'
    for s in stations.tolist():
        waypoint = carla_map.get_waypoint_xodr(road.number, lane_id, s)
        if waypoint is None:
            return None
        transform = waypoint.transform
        place = transform.location
        # CARLA's frame is left-handed: y and yaw change sign (ROS-bridge convention).
        row = [place.x, -place.y, place.z, -transform.rotation.yaw, waypoint.lane_width]
        left, right = waypoint.left_lane_marking, waypoint.right_lane_marking
        row += [int(left.type), left.width, int(right.type), right.width] \
            if left is not None and right is not None else [NO_MARKING, 0.0, NO_MARKING, 0.0]
        row.append(int(waypoint.lane_change) if driving else 0)
        rows.append(row)
    data = np.array(rows, dtype=np.float64)
    centre, yaw = data[:, :3].copy(), np.radians(data[:, 3])
    yaw = np.arctan2(np.sin(yaw), np.cos(yaw))
    chord = centre[-1, :2] - centre[0, :2]
    middle = len(yaw) // 2
    if len(yaw) > 2:
        chord = centre[middle, :2] - centre[middle - 1, :2]
    forward = bool(chord[0] * math.cos(yaw[middle]) + chord[1] * math.sin(yaw[middle]) >= 0.0)
    if not forward:
        data, centre, yaw = data[::-1], centre[::-1].copy(), yaw[::-1].copy()
    normal = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1)
    width = np.maximum(data[:, 4], 0.0)
    steps = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    return Lane(
        index, road.number, section, lane_id, road.junction, kind, centre,
        centre + 0.5 * width[:, None] * normal, centre - 0.5 * width[:, None] * normal, yaw,
        width, np.concatenate([[0.0], np.cumsum(steps)]),
        data[:, 5].astype(np.uint8), data[:, 7].astype(np.uint8),
        np.maximum(data[:, 6], 0.0), np.maximum(data[:, 8], 0.0),
        data[:, 9].astype(np.uint8), forward)


def _link(carla_map: carla.Map, roads: list[Road], lanes: list[Lane]) -> list[Lane]:
    by_key = {(lane.road, lane.section, lane.lane): lane for lane in lanes}
    starts = {road.number: np.array([section.start for section in road.sections])
              for road in roads}
    spans = {road.number: road.sections for road in roads}
    linked = []
    for lane in lanes:
        if not lane.driving:
            linked.append(lane)
            continue
        section = spans[lane.road][lane.section]
        end = section.end - _EDGE if lane.forward else section.start + _EDGE
        waypoint = carla_map.get_waypoint_xodr(lane.road, lane.lane, end)
        found = set()
        for ahead in waypoint.next(4 * _EDGE) if waypoint is not None else ():
            number = int(np.searchsorted(starts[ahead.road_id], ahead.s, side='right')) - 1
            target = by_key.get((ahead.road_id, max(number, 0), ahead.lane_id))
            if target is not None and target.driving and target.index != lane.index:
                found.add(target.index)
        beside = {side: _beside(by_key, lane, side) for side in (-1, 1)}
        linked.append(dataclasses.replace(
            lane, successors=tuple(sorted(found)), left_lane=beside[-1], right_lane=beside[1]))
    return linked


def _beside(by_key: dict[tuple[int, int, int], Lane], lane: Lane, side: int) -> int:
    # Lanes are numbered outwards from the centre; to the right (side 1) of a lane that travels
    # along s are the lower ids, of one that travels against s the higher ones.
    other = by_key.get((lane.road, lane.section, lane.lane + (-side if lane.forward else side)))
    if other is None or not other.driving or other.forward != lane.forward:
        return -1
    return other.index


def markings(lanes: list[Lane]) -> list[Marking]:
    """
    Return the painted markings of the road, cut where the type changes.

    A marking between two lanes is returned once. Edges without paint are left out.
    """
    found: list[Marking] = []
    done: set[tuple[int, int, int]] = set()
    for lane in lanes:
        if lane.kind in _UNPAVED:
            continue
        outer = lane.lane
        inner = lane.lane - (1 if lane.lane > 0 else -1)
        # Outwards is to the right of a lane whose id's sign and direction agree with
        # right-hand traffic, else to the left.
        outer_is_right = (lane.lane < 0) == lane.forward
        for boundary, right in ((outer, outer_is_right), (inner, not outer_is_right)):
            key = (lane.road, lane.section, boundary)
            if key in done:
                continue
            done.add(key)
            points = lane.right if right else lane.left
            kinds = lane.right_marking if right else lane.left_marking
            widths = lane.right_mark_width if right else lane.left_mark_width
            if not lane.forward:
                points, kinds, widths = points[::-1], kinds[::-1], widths[::-1]
            found += _cut(points, kinds, widths)
    return found


def _cut(points: np.ndarray, kinds: np.ndarray, widths: np.ndarray) -> list[Marking]:
    edges = np.flatnonzero(np.diff(kinds.astype(np.int16)) != 0) + 1
    bounds = [0, *edges.tolist(), len(kinds)]
    pieces = []
    for a, b in zip(bounds, bounds[1:]):
        # A piece reaches the first sample of the next one, so that no gap opens between types.
        part = points[a:min(b + 1, len(points))]
        if kinds[a] != NO_MARKING and len(part) >= 2:
            pieces.append(Marking(int(kinds[a]), float(widths[a]), part.copy()))
    return pieces
