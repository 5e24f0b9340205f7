# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The reward: nine terms, each measured in SI units, each with a weight.

The weights bring the terms to one scale: a second of good driving is worth about as much as the
penalties that a second of poor driving can earn, so that clipped double Q-learning does not find
standing still the safest choice. Ending an episode early costs the progress that it would
have brought; the penalties for a collision or for leaving the road only add to that.
"""

from __future__ import annotations

import dataclasses
import math

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.route import RoutePosition
from av_td3_ros.settings import setting


@dataclasses.dataclass(frozen=True)
class RewardSettings:
    """Weight of each term, per unit of the term."""

    progress: float = setting(0.3, 'given per m of progress along the route', ge=0.0, le=100.0)
    speed: float = setting(
        0.1, 'taken per m driven less than at the speed limit', ge=0.0, le=100.0)
    speeding: float = setting(
        0.5, 'taken per m driven more than at the speed limit', ge=0.0, le=100.0)
    lane_keeping: float = setting(
        0.6, 'taken per m s of lateral deviation (1 m off for 1 s)', ge=0.0, le=100.0)
    edge: float = setting(
        2.0, "taken per s and wheel over the road's edge or too near to it", ge=0.0, le=100.0)
    comfort: float = setting(
        0.005, 'taken per m/s^2 by which the acceleration changes', ge=0.0, le=100.0)
    collision: float = setting(5.0, 'taken for a collision', ge=0.0, le=1000.0)
    off_road: float = setting(3.0, 'taken for leaving the road', ge=0.0, le=1000.0)
    arrival: float = setting(2.0, 'given for arriving', ge=0.0, le=1000.0)
    speed_limit: float = setting(8.0, 'the speed limit, m/s', ge=0.1, le=70.0)


@dataclasses.dataclass(frozen=True)
class RewardTerms:
    """
    What one step measured, in SI units and before any weight.

    progress: m along the route, backwards negative, at most what the speed limit allows, so that
    speeding earns nothing. speed: what is missing to the speed limit in m/s, times s: what
    standing still costs. speeding: what is beyond it, likewise. lane_keeping: lateral deviation in
    m times s. edge: wheels off the drivable surface, or nearer to its edge than they should be,
    times s. comfort: m/s^2, by how much the acceleration in the plane changed (jerk times time).
    collision, off_road, arrival: 1 where it happened.
    """

    progress: float = 0.0
    speed: float = 0.0
    speeding: float = 0.0
    lane_keeping: float = 0.0
    edge: float = 0.0
    comfort: float = 0.0
    collision: float = 0.0
    off_road: float = 0.0
    arrival: float = 0.0

    def weighted(self, settings: RewardSettings) -> dict[str, float]:
        """Return each term's share of the reward, with its sign."""
        return {
            'progress': self.progress * settings.progress,
            'speed': -self.speed * settings.speed,
            'speeding': -self.speeding * settings.speeding,
            'lane_keeping': -self.lane_keeping * settings.lane_keeping,
            'edge': -self.edge * settings.edge,
            'comfort': -self.comfort * settings.comfort,
            'collision': -self.collision * settings.collision,
            'off_road': -self.off_road * settings.off_road,
            'arrival': self.arrival * settings.arrival,
        }

    def reward(self, settings: RewardSettings) -> float:
        """Return the reward: the sum of the weighted terms."""
        return sum(self.weighted(settings).values())


TERMS = tuple(field.name for field in dataclasses.fields(RewardTerms))


class RewardMeter:
    """Measures the motion terms from one decision to the next; makes a term of each event."""

    def __init__(self, settings: RewardSettings) -> None:
        self._settings = settings
        self._acceleration = (0.0, 0.0)
        self._state: VehicleState | None = None
        self._position: RoutePosition | None = None

    def begin(self, state: VehicleState, position: RoutePosition) -> None:
        """Start an episode at rest: the acceleration before it counts as zero."""
        self._state, self._position, self._acceleration = state, position, (0.0, 0.0)

    def measure(self, state: VehicleState, position: RoutePosition, *, edge: float = 0.0,
                collision: bool = False, off_road: bool = False, arrival: bool = False
                ) -> RewardTerms:
        """
        Return the terms of the step from the last call to this state.

        The acceleration is that of the vehicle's frame: forward from the change of speed, left
        from speed times yaw rate, m/s^2.
        """
        before, place = self._state, self._position
        if before is None or place is None:
            raise RuntimeError('begin() comes before measure()')
        dt = (state.stamp - before.stamp) * 1e-9
        acceleration = ((state.velocity[0] - before.velocity[0]) / dt if dt > 0.0 else 0.0,
                        state.velocity[0] * state.yaw_rate)
        change = math.hypot(acceleration[0] - self._acceleration[0],
                            acceleration[1] - self._acceleration[1])
        self._state, self._position, self._acceleration = state, position, acceleration
        limit = self._settings.speed_limit
        return RewardTerms(
            progress=min(position.distance - place.distance, limit * dt),
            speed=max(limit - state.speed, 0.0) * dt,
            speeding=max(state.speed - limit, 0.0) * dt,
            lane_keeping=abs(position.lateral) * dt,
            edge=edge,
            comfort=change,
            collision=float(collision), off_road=float(off_road), arrival=float(arrival))
