# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Routes over lanes: the shortest way along lane centres, with lane changes where legal."""

from __future__ import annotations

import dataclasses
import math

import networkx
import numpy as np

from av_td3_ros.simulation.lanes import Lane
from av_td3_ros.simulation.opendrive import TownError

CHANGE_LENGTH = 25.0      # m in which a lane change is made
_CHANGE_COST = 15.0       # m that a route may be longer to spare a lane change
_SPACING = 1.0            # m between route points
_REACH = 12.0             # m from a pose to the lane that it is projected onto
_TURN_COST = 6.0          # m of distance that a radian of heading error is worth


@dataclasses.dataclass(frozen=True)
class Place:
    """A point of a lane: the lane's index and the distance along its centre in metres."""

    lane: int
    distance: float


class RouteGraph:
    """
    The driving lanes as a directed graph, in pieces of about :data:`CHANGE_LENGTH` metres.

    A node is a piece ``(lane, number)``. An edge leads to the piece that follows in the lane,
    to the following lanes, or, where a change is legal all along, to the piece that follows
    the neighbouring one: the route crosses over within the piece.
    """

    def __init__(self, lanes: list[Lane]) -> None:
        self.lanes = lanes
        self._bounds = {lane.index: _pieces(lane) for lane in lanes if lane.driving}
        self._ends = {index: lanes[index].distance[[b for _, b in bounds]]
                      for index, bounds in self._bounds.items()}
        self.graph = networkx.DiGraph()
        for index in self._bounds:
            self._add_lane(lanes[index])
        driving = [lanes[index] for index in self._bounds]
        self._points = np.concatenate([lane.centre[:, :2] for lane in driving])
        self._yaws = np.concatenate([lane.yaw for lane in driving])
        self._owner = np.concatenate([np.full(len(lane.yaw), lane.index) for lane in driving])
        self._sample = np.concatenate([np.arange(len(lane.yaw)) for lane in driving])

    def _add_lane(self, lane: Lane) -> None:
        for number, (a, b) in enumerate(self._bounds[lane.index]):
            length = float(lane.distance[b] - lane.distance[a])
            node = (lane.index, number)
            self.graph.add_node(node)
            for target in self._after(lane.index, number):
                self.graph.add_edge(node, target, weight=length, change=-1)
            if length < 0.6 * CHANGE_LENGTH or lane.junction >= 0:
                continue
            for other, bit in ((lane.left_lane, 2), (lane.right_lane, 1)):
                if other < 0 or not np.all(lane.change[a:b + 1] & bit):
                    continue
                for target in self._after(other, number):
                    if not self.graph.has_edge(node, target):
                        self.graph.add_edge(node, target, weight=length + _CHANGE_COST,
                                            change=other)

    def _after(self, lane: int, number: int) -> list[tuple[int, int]]:
        if number + 1 < len(self._bounds[lane]):
            return [(lane, number + 1)]
        return [(successor, 0) for successor in self.lanes[lane].successors]

    def largest_component(self) -> set[tuple[int, int]]:
        """Return the pieces of the largest part of the town whose pieces all reach each other."""
        # Equal sizes are told apart by the nodes themselves, so that the choice is repeatable.
        return max(networkx.strongly_connected_components(self.graph),
                   key=lambda part: (sum(self._length(node) for node in part), min(part)))

    def _length(self, node: tuple[int, int]) -> float:
        a, b = self._bounds[node[0]][node[1]]
        distance = self.lanes[node[0]].distance
        return float(distance[b] - distance[a])

    def piece(self, place: Place) -> tuple[int, int]:
        """Return the node that holds a place."""
        return place.lane, int(np.searchsorted(self._ends[place.lane][:-1], place.distance))

    def project(self, x: float, y: float, yaw: float) -> Place:
        """Return the nearest place whose lane leads where a pose looks; raise TownError."""
        offset = np.hypot(self._points[:, 0] - x, self._points[:, 1] - y)
        turn = np.abs(np.angle(np.exp(1j * (self._yaws - yaw))))
        cost = offset + _TURN_COST * turn
        cost[offset > max(_REACH, offset.min() + 0.5)] = np.inf
        best = int(np.argmin(cost))
        lane, k = self.lanes[int(self._owner[best])], int(self._sample[best])
        tangent = np.array([math.cos(lane.yaw[k]), math.sin(lane.yaw[k])])
        along = float(lane.distance[k] + (np.array([x, y]) - lane.centre[k, :2]) @ tangent)
        return Place(lane.index, min(max(along, 0.0), lane.length))

    def poses(self, lane: int, distances: np.ndarray) -> np.ndarray:
        """Return x, y, z in metres and yaw in radians, (N, 4), along a lane's centre."""
        item = self.lanes[lane]
        pose = np.stack([np.interp(distances, item.distance, values) for values in
                         (*item.centre.T, np.unwrap(item.yaw))], axis=1)
        pose[:, 3] = np.arctan2(np.sin(pose[:, 3]), np.cos(pose[:, 3]))
        return pose

    def pose(self, place: Place) -> tuple[float, float, float, float]:
        """Return x, y, z in metres and the yaw in radians of a place on its lane's centre."""
        x, y, z, yaw = self.poses(place.lane, np.array([place.distance]))[0].tolist()
        return x, y, z, yaw

    def reachable(self, start: Place) -> dict[tuple[int, int], float]:
        """Return the cost in metres from a place to the start of every piece ahead of it."""
        first = self.piece(start)
        costs: dict[tuple[int, int], float] = {}
        for target in self._plain_successors(first):
            begun = self._end(first) - start.distance
            for node, cost in networkx.single_source_dijkstra_path_length(
                    self.graph, target).items():
                if begun + cost < costs.get(node, math.inf):
                    costs[node] = begun + cost
        return costs

    def _end(self, node: tuple[int, int]) -> float:
        return float(self.lanes[node[0]].distance[self._bounds[node[0]][node[1]][1]])

    def begin(self, node: tuple[int, int]) -> float:
        """Return where a piece begins, in metres along its lane."""
        return float(self.lanes[node[0]].distance[self._bounds[node[0]][node[1]][0]])

    def _plain_successors(self, node: tuple[int, int]) -> list[tuple[int, int]]:
        return self._after(*node)

    def find(self, start: Place, goal: Place) -> np.ndarray:
        """Return the (N, 2) route in metres from a place to another; raise TownError."""
        first, last = self.piece(start), self.piece(goal)
        if first == last and goal.distance > start.distance:
            lane = self.lanes[start.lane]
            return _resample(_cut(lane.centre[:, :2], lane.distance, start.distance,
                                  goal.distance))
        best: tuple[float, list[tuple[int, int]]] | None = None
        for target in self._plain_successors(first):
            try:
                cost, path = networkx.single_source_dijkstra(self.graph, target, last)
            except networkx.NetworkXNoPath:
                continue
            if best is None or cost < best[0]:
                best = (cost, path)
        if best is None:
            raise TownError('no road leads from the start to the goal')
        return self._points_along(start, goal, first, best[1])

    def _points_along(self, start: Place, goal: Place, first: tuple[int, int],
                      path: list[tuple[int, int]]) -> np.ndarray:
        lane = self.lanes[start.lane]
        parts = [_cut(lane.centre[:, :2], lane.distance, start.distance, self._end(first))]
        for node, following in zip(path, path[1:]):
            parts.append(self._cross(node, self.graph.edges[node, following]['change']))
        lane = self.lanes[goal.lane]
        parts.append(_cut(lane.centre[:, :2], lane.distance, self.begin(path[-1]),
                          goal.distance))
        return _resample(np.concatenate(parts))

    def _cross(self, node: tuple[int, int], other: int) -> np.ndarray:
        a, b = self._bounds[node[0]][node[1]]
        points = self.lanes[node[0]].centre[a:b + 1, :2]
        if other < 0:
            return points
        # Lanes of one section are sampled at the same stations, so that their samples pair up.
        t = np.linspace(0.0, 1.0, b - a + 1)[:, None]
        weight = t * t * t * (10.0 + t * (6.0 * t - 15.0))
        return (1.0 - weight) * points + weight * self.lanes[other].centre[a:b + 1, :2]

    def places_outside_junctions(self, spacing: float = 2.0) -> list[Place]:
        """Return places on all lanes outside junctions, ``spacing`` metres apart."""
        return [Place(index, float(distance)) for index in self._bounds
                if self.lanes[index].junction < 0
                for distance in np.arange(1.0, self.lanes[index].length - 1.0, spacing)]


def _pieces(lane: Lane) -> list[tuple[int, int]]:
    samples = len(lane.distance)
    count = max(1, min(int(lane.length / CHANGE_LENGTH), samples - 1))
    edges = np.linspace(0, samples - 1, count + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in zip(edges, edges[1:])]


def _cut(points: np.ndarray, distance: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = (distance > low) & (distance < high)
    ends = [[np.interp(d, distance, points[:, 0]), np.interp(d, distance, points[:, 1])]
            for d in (low, high)]
    return np.concatenate([[ends[0]], points[inside], [ends[1]]])


def _resample(points: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    distance = np.concatenate([[0.0], np.cumsum(steps)])
    keep = np.concatenate([[True], steps > 1e-9])
    count = max(1, round(distance[-1] / _SPACING))
    at = np.linspace(0.0, distance[-1], count + 1)
    return np.stack([np.interp(at, distance[keep], points[keep, axis]) for axis in (0, 1)],
                    axis=1)
