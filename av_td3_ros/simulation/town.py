# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A town: the road network of an OpenDRIVE map, in ROS's frame (x forward, y left, z up)."""

from __future__ import annotations

import math
from pathlib import Path

import carla
import numpy as np

from av_td3_ros.driving.frames import Pose
from av_td3_ros.simulation import lanes as lane_data
from av_td3_ros.simulation import surface
from av_td3_ros.simulation.links import check_links
from av_td3_ros.simulation.maps import default_town, town_path
from av_td3_ros.simulation.opendrive import parse, read_roads, TownError
from av_td3_ros.simulation.routes import Place, RouteGraph

__all__ = ['Town', 'TownError', 'default_town', 'town_path']

_SPAWN_SPACING = 8.0      # m between any two spawn points
_SPAWN_MARGIN = 4.0       # m from a lane's ends, so that no car stands in a junction's mouth
_DRAWS = 40               # starts tried for a route of a wanted length


class Town:
    """
    The roads of one OpenDRIVE map.

    ``lanes`` holds every lane of every type as arrays (see :class:`lanes.Lane`), ``markings``
    every painted line at a driving lane's edge. ``drivable`` is a grid of the drivable surface,
    ``islands`` the outlines (N, 2) of the gaps between a junction's lanes that it includes.
    All coordinates are metres and radians in the map frame of ROS: CARLA's y and yaw, negated.
    """

    def __init__(self, name: str, opendrive: str) -> None:
        """Build the town; prefer :meth:`load` and :meth:`from_opendrive`."""
        root = parse(opendrive)
        roads = read_roads(root)
        check_links(root, roads)
        try:
            self.map = carla.Map(name, opendrive)
            self.lanes = lane_data.sample_lanes(self.map, roads)
        except RuntimeError as error:
            raise TownError(f"CARLA's parser refuses the map: {error}") from None
        driving = [lane for lane in self.lanes if lane.driving]
        if not driving or not all(np.isfinite(lane.centre).all() and np.isfinite(lane.width).all()
                                  for lane in driving):
            raise TownError("CARLA's parser finds no usable driving lane in the map")
        self.name = name
        self.opendrive = opendrive
        self.markings = lane_data.markings(self.lanes)
        self.drivable, self.islands = surface.drivable(self.lanes)
        self._heights = surface.heights(self.lanes)
        self.graph = RouteGraph(self.lanes)
        self.connected = self.graph.largest_component()
        self.spawn_places = self._spawn_places()
        if not self.spawn_places:
            raise TownError('the map has no place where a car could start')
        self.spawn_points = [Pose(*self.graph.pose(place)) for place in self.spawn_places]
        self._goals = [place for place in self.graph.places_outside_junctions()
                       if self.graph.piece(place) in self.connected]
        nodes = [self.graph.piece(place) for place in self._goals]
        self._nodes = sorted(self.connected)
        number = {node: i for i, node in enumerate(self._nodes)}
        self._goal_nodes = np.array([number[node] for node in nodes])
        self._goal_offsets = np.array([place.distance - self.graph.begin(node)
                                       for place, node in zip(self._goals, nodes)])

    @classmethod
    def load(cls, path: str | Path) -> Town:
        """Load an OpenDRIVE file (.xodr); raise :class:`TownError` with the file's name."""
        path = Path(path)
        try:
            text = path.read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as error:
            raise TownError(f'cannot read the town {path}: {error}') from None
        try:
            return cls(path.stem, text)
        except TownError as error:
            raise TownError(f'{path}: {error}') from None

    @classmethod
    def from_opendrive(cls, text: str, name: str = 'map') -> Town:
        """Make a town of an OpenDRIVE text; raise :class:`TownError`."""
        return cls(name, text)

    def _spawn_places(self) -> list[Place]:
        places: list[Place] = []
        # Points taken so far by cells of the spacing: only those around can be too near.
        taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
        for lane in self.lanes:
            if not lane.driving or lane.junction >= 0:
                continue
            distances = np.arange(_SPAWN_MARGIN, lane.length - _SPAWN_MARGIN, 2.0)
            points = self.graph.poses(lane.index, distances)[:, :2].tolist()
            for distance, (x, y) in zip(distances.tolist(), points):
                place = Place(lane.index, distance)
                if self.graph.piece(place) not in self.connected:
                    continue
                column, row = int(x // _SPAWN_SPACING), int(y // _SPAWN_SPACING)
                around = [point for i in (-1, 0, 1) for j in (-1, 0, 1)
                          for point in taken.get((column + i, row + j), ())]
                if all(math.hypot(x - a, y - b) >= _SPAWN_SPACING for a, b in around):
                    taken.setdefault((column, row), []).append((x, y))
                    places.append(place)
        return places

    def project(self, pose: Pose) -> Place:
        """Return the place on the driving lane that a pose most likely means."""
        return self.graph.project(pose.x, pose.y, pose.yaw)

    def pose(self, place: Place) -> Pose:
        """Return the pose of a place on its lane's centre."""
        return Pose(*self.graph.pose(place))

    def route(self, start: Pose, goal: Pose) -> np.ndarray:
        """
        Return the shortest legal route as (N, 2) float64 metres in the map frame.

        Its points are lane centres about 1 m apart, from the start's projection onto a driving
        lane to the goal's. Lanes are changed only where the markings allow it, smoothly over
        some 25 m. Raises :class:`TownError` where no road leads from one to the other.
        """
        return self.graph.find(self.project(start), self.project(goal))

    def sample_route(self, rng: np.random.Generator, min_length: float,
                     max_length: float) -> tuple[Pose, Pose, np.ndarray]:
        """
        Draw a start (a spawn point), a goal and the route between them.

        The route's length lies between ``min_length`` and ``max_length`` metres. Raises
        :class:`TownError` where the town has no such route.
        """
        for _ in range(_DRAWS):
            start = self.spawn_places[int(rng.integers(len(self.spawn_places)))]
            costs = self.graph.reachable(start)
            ahead = np.array([costs.get(node, np.inf) for node in self._nodes])
            distance = ahead[self._goal_nodes] + self._goal_offsets
            # The costs count lane changes as extra metres, so that a route may come out shorter
            # than its cost: draw among the likely ones, then measure.
            likely = np.flatnonzero((distance >= min_length) & (distance <= max_length + 1.0))
            for choice in rng.permutation(likely)[:_DRAWS].tolist():
                place = self._goals[choice]
                route = self.graph.find(start, place)
                length = float(np.linalg.norm(np.diff(route, axis=0), axis=1).sum())
                if min_length <= length <= max_length:
                    return self.pose(start), self.pose(place), route
        raise TownError(f'the town {self.name} has no route of {min_length:g} to '
                        f'{max_length:g} m')

    def on_road(self, x: float, y: float) -> bool:
        """Return whether a point lies on the drivable surface, junctions included."""
        return bool(self.drivable.at(x, y, 0))

    def height(self, x: float, y: float) -> float:
        """Return the height in metres of the road at, or nearest to, a point."""
        if isinstance(self._heights, float):
            return self._heights
        rows, columns = self._heights.values.shape
        cell = self._heights.cell
        return float(self._heights.at(
            min(max(x, self._heights.x), self._heights.x + (columns - 0.5) * cell),
            min(max(y, self._heights.y), self._heights.y + (rows - 0.5) * cell), 0.0))
