# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one pass through a bag gathers: a row for each picture, and what happened beside them."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import Any, Mapping, Sequence

import numpy as np

from av_td3_ros.driving.frames import Pose, to_body, VehicleState
from av_td3_ros.driving.route import Route, RoutePosition

NOT_HEARD = 'no command of the policy node for it was heard'
UNANSWERED = 'its stamp repeats another, or time was set back before its odometry came'
_FIELDS = ('x', 'y', 'yaw', 'speed', 'lateral', 'heading', 'distance', 'curvature')
_ROW = np.dtype([('time', np.int64), ('stamp', np.int64), ('reason', np.int16),
                 ('route', np.int32), *((name, np.float64) for name in _FIELDS)])
_USED = 0
_GROW = 4096
_SPAN = 2.0         # m to each side, over which the route's curvature is measured
_LENGTH, _WIDTH = 4.7, 1.9      # m, of a car whose size is not recorded
_WAIT = 500_000_000             # ns, within which a picture's command follows
_CLOSING = 0.1                  # m/s; slower than this nobody is met
_PEDESTRIAN = 4                 # derived_object_msgs/Object CLASSIFICATION_PEDESTRIAN


class Recording:
    """
    Rows and events of one bag.

    ``frames`` has a row for each picture in the order of receipt; ``actions`` (pictures, policies,
    2) and ``driver`` (pictures, 2) are (steer, throttle or brake) as commanded, NaN where there is
    none. :meth:`finish` brings them to their size.
    """

    def __init__(self, policies: int) -> None:
        self.frames = np.zeros(0, _ROW)
        self.actions = np.full((0, policies, 2), np.nan)
        self.count = 0
        self.reasons = ['used', UNANSWERED]
        self.notes: list[str] = []
        self.routes: list[Route] = []
        self.collisions: list[tuple[int, int, float]] = []
        self.lane_invasions: list[tuple[int, list[int]]] = []
        self.pedestrians: set[int] = set()
        self.vehicles: set[int] = set()
        self.driver_source = ''
        self._states: list[tuple[float, ...]] = []
        self._stamps: list[int] = []
        self._commands: list[tuple[int, int, float, float]] = []
        self._status: list[tuple[int, int, float, float]] = []
        self._meetings: list[tuple[int, float]] = []
        self._ego: VehicleState | None = None
        self._policies = policies

    # Pictures

    def image(self, time: int) -> int:
        """Count a picture; return its number."""
        if self.count == len(self.frames):
            more = np.zeros(_GROW, _ROW)
            self.frames = np.concatenate([self.frames, more])
            self.actions = np.concatenate([
                self.actions, np.full((_GROW, self._policies, 2), np.nan)])
        self.frames[self.count]['time'] = time
        self.frames[self.count]['reason'] = self.reasons.index(UNANSWERED)
        self.count += 1
        return self.count - 1

    def stamp(self, number: int, stamp: int) -> None:
        """Note a picture's stamp, ns."""
        self.frames[number]['stamp'] = stamp

    def skip(self, number: int, reason: str) -> None:
        """Note why a picture is not used."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.frames[number]['reason'] = self.reasons.index(reason)

    def use(self, number: int, state: VehicleState, route: Route, position: RoutePosition) -> None:
        """Note that a picture was used, and where the vehicle was."""
        # A bridge may publish the same route again.
        if not self.routes or self.routes[-1] is not route and not np.array_equal(
                self.routes[-1].points, route.points):
            self.routes.append(route)
        row = self.frames[number]
        row['reason'], row['route'] = _USED, len(self.routes) - 1
        row['x'], row['y'], row['yaw'] = state.pose.x, state.pose.y, state.pose.yaw
        row['speed'] = state.speed
        row['lateral'], row['heading'] = position.lateral, position.heading_error
        row['distance'] = position.distance
        behind, ahead = (route.direction(position.distance + by) for by in (-_SPAN, _SPAN))
        row['curvature'] = ((ahead - behind + np.pi) % (2.0 * np.pi) - np.pi) / (2.0 * _SPAN)

    def action(self, number: int, policy: int, action: np.ndarray) -> None:
        """Note what a policy commands for a picture."""
        self.actions[number, policy] = action

    def heard(self, commands: Mapping[int, Sequence[np.ndarray]], by: str = 'stamp'
              ) -> float | None:
        """
        Put commands that were heard of a running node in place of the first policy's own.

        commands: by the stamp of the picture that they answer, or the ``time`` of its receipt, ns,
        in the order in which they came. A picture that none came for is skipped. Returns the
        largest difference from the policy's own commands, None where there is nothing to compare.
        """
        left = {stamp: list(own) for stamp, own in commands.items()}
        unanswered = self.reasons.index(UNANSWERED)
        most = None
        for number in range(self.count):
            reason, stamp = self.frames[number]['reason'], int(self.frames[number][by])
            if reason == unanswered:
                continue
            answers = left.get(stamp)
            command = answers.pop(0) if answers else None
            if reason != _USED:
                continue
            if command is None:
                self.skip(number, NOT_HEARD)
                continue
            apart = float(np.abs(command - self.actions[number, 0]).max())
            most = apart if most is None else max(most, apart)
            self.actions[number, 0] = command
        return most

    # What the recorded vehicle did

    def odometry(self, state: VehicleState) -> None:
        """Note the vehicle's state."""
        self._ego = state
        self._stamps.append(state.stamp)
        self._states.append((state.pose.x, state.pose.y, state.pose.yaw, state.velocity[0],
                             state.velocity[1], state.yaw_rate))

    def command(self, stamp: int, time: int, action: np.ndarray | None) -> None:
        """Note a command to the vehicle; None for one that is no action, as reverse is."""
        self._commands.append((stamp, time, *_numbers(action)))

    def status(self, stamp: int, time: int, action: np.ndarray | None) -> None:
        """Note the command that was applied up to ``stamp``; None as for :meth:`command`."""
        self._status.append((stamp, time, *_numbers(action)))

    def collision(self, time: int, other: int, impulse: float) -> None:
        """Note a collision, impulse in N s."""
        self.collisions.append((time, other, impulse))

    def lane_invasion(self, time: int, markings: list[int]) -> None:
        """Note which markings were crossed."""
        self.lane_invasions.append((time, markings))

    def objects(self, time: int, objects: Sequence[Any]) -> None:
        """Take other vehicles (derived_object_msgs/Object, velocities in map axes)."""
        if self._ego is None:
            return
        nearest = np.inf
        for thing in objects:
            (self.pedestrians if thing.classification == _PEDESTRIAN
             else self.vehicles).add(int(thing.id))
            place, speed = thing.pose.position, thing.twist.linear
            size = [float(side) for side in thing.shape.dimensions[:2]]
            length, width = size if len(size) == 2 and min(size) > 0.0 else (_LENGTH, _WIDTH)
            nearest = min(nearest, self._time_to_collision(
                place.x, place.y, speed.x, speed.y, length, width))
        self._meetings.append((time, nearest))

    def other(self, time: int, topic: int, state: VehicleState) -> None:
        """Take the odometry of another vehicle."""
        if self._ego is None:
            return
        cos, sin = np.cos(state.pose.yaw), np.sin(state.pose.yaw)
        (forward, left) = state.velocity
        self._meetings.append((time, self._time_to_collision(
            state.pose.x, state.pose.y, cos * forward - sin * left, sin * forward + cos * left,
            _LENGTH, _WIDTH)))

    def _time_to_collision(self, x: float, y: float, vx: float, vy: float, length: float,
                           width: float) -> float:
        """Return the gap ahead over the speed at which it closes (Hayward 1972), s."""
        ego = self._ego
        assert ego is not None
        place = to_body(ego.pose, np.array([[x, y]]))[0]
        if place[0] <= 0.0 or abs(place[1]) > 0.5 * (width + _WIDTH) \
                or abs(place[0]) < 0.5 and abs(place[1]) < 0.5:
            return np.inf
        heading = to_body(Pose(0.0, 0.0, 0.0, ego.pose.yaw), np.array([[vx, vy]]))[0]
        closing = ego.velocity[0] - heading[0]
        if closing < _CLOSING:
            return np.inf
        return max(place[0] - 0.5 * (length + _LENGTH), 0.0) / closing

    # The end

    def finish(self) -> None:
        """Bring everything to its size, and find the recorded driver's action for each picture."""
        self.frames = self.frames[:self.count]
        self.actions = self.actions[:self.count]
        self.states = np.array(self._states, np.float64).reshape(-1, 6)
        self.stamps = np.array(self._stamps, np.int64)
        self.time_to_collision = np.array([ttc for _, ttc in self._meetings])
        self.driver = self._find_driver()

    @property
    def used(self) -> np.ndarray:
        """Which pictures were used, (pictures,) bool."""
        return self.frames['reason'] == _USED

    @property
    def account(self) -> dict[str, int]:
        """How many pictures were used, and how many were skipped for each reason."""
        counts = Counter(self.frames['reason'].tolist())
        return {self.reasons[number]: counts[number] for number in sorted(
            counts, key=lambda number: (number != _USED, self.reasons[number]))}

    def _find_driver(self) -> np.ndarray:
        driver = np.full((self.count, 2), np.nan)
        if not self.count:
            return driver
        stamps, received = self.frames['stamp'].tolist(), self.frames['time'].tolist()
        answers: dict[int, list[tuple[int, float, float]]] = {}
        for stamp, time, steer, drive in self._commands:
            if stamp:
                answers.setdefault(stamp, []).append((time, steer, drive))
        answered = [number for number, stamp in enumerate(stamps) if stamp in answers]
        if 2 * len(answered) >= self.count:
            self.driver_source = 'commands with the stamps of the pictures'
            for number in answered:
                # Where time was set back, a stamp comes again.
                driver[number] = min(answers[stamps[number]],
                                     key=lambda own: abs(own[0] - received[number]))[1:]
        elif self._status:
            self.driver_source = 'the command in the status after each picture'
            times = [status[1] for status in self._status]
            for number, (stamp, time) in enumerate(zip(stamps, received)):
                after = bisect.bisect_left(times, time)
                while after < len(times) and self._status[after][0] <= stamp \
                        and times[after] - time <= _WAIT:
                    after += 1
                if after < len(times) and times[after] - time <= _WAIT:
                    driver[number] = self._status[after][2:]
        elif self._commands:
            self.driver_source = 'the command received last before the next picture'
            times = [command[1] for command in self._commands]
            for number, time in enumerate(received):
                until = received[number + 1] if number + 1 < self.count else time + _WAIT
                last = bisect.bisect_left(times, until) - 1
                if last >= 0 and time - times[last] <= _WAIT:
                    driver[number] = self._commands[last][2:]
        return driver


def _numbers(action: np.ndarray | None) -> tuple[float, float]:
    """Return an action's numbers, NaN for none: nobody else's command takes its place."""
    return (np.nan, np.nan) if action is None else (float(action[0]), float(action[1]))
