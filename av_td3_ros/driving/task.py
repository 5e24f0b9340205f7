# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The driving task: from ticks of a vehicle to observations, rewards and the end of an episode.

The policy node feeds it from topics, the environment from the embedded town, the bag evaluation
from a file; what the agent sees and earns is therefore the same in all three.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

from av_td3_ros.driving.action import ActionSettings
from av_td3_ros.driving.episode import Ending, EpisodeMonitor, EpisodeSettings
from av_td3_ros.driving.frames import Pose, to_map, VehicleState
from av_td3_ros.driving.image import FrameStack, to_frame
from av_td3_ros.driving.observation import Observation, ObservationSettings, vector_state
from av_td3_ros.driving.reward import RewardMeter, RewardSettings, RewardTerms
from av_td3_ros.driving.route import Route, RoutePosition
from av_td3_ros.settings import as_dict, build, declarations, flatten, section


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """Everything that defines the task; an agent trained under one must drive under the same."""

    observation: ObservationSettings = section(ObservationSettings)
    action: ActionSettings = section(ActionSettings)
    reward: RewardSettings = section(RewardSettings)
    episode: EpisodeSettings = section(EpisodeSettings)


def trained_task(config: Mapping[str, Any], otherwise: TaskSettings) -> TaskSettings:
    """
    Return the task to drive a policy in: with the observation and action that it was trained on.

    ``config`` is a checkpoint's configuration; what it does not say, and what does not change how
    a policy drives (reward, episode), is as in ``otherwise``. Raises SettingsError for values
    that are out of range.
    """
    known = {d.name for d in declarations(TaskSettings)
             if d.name.split('.')[0] in ('observation', 'action')}
    given = {name: value for name, value in flatten(config).items() if name in known}
    return build(TaskSettings, {**flatten(as_dict(otherwise)), **given},
                 where="the checkpoint's configuration")


class Tick(NamedTuple):
    """
    One tick of the simulation as a vehicle sees it.

    image: (H, W, C) uint8 in ``encoding``, of the same stamp as the state; None where
    :attr:`DrivingTask.needs_image` was false. collided: whether a collision was reported since the
    last tick.
    """

    state: VehicleState
    image: np.ndarray | None
    encoding: str = 'bgra8'
    collided: bool = False


class Step(NamedTuple):
    """What a decision led to: the next observation and what the step earned."""

    observation: Observation
    terms: RewardTerms
    reward: float
    ending: Ending | None

    @property
    def terminated(self) -> bool:
        """Whether nothing follows."""
        return self.ending is not None and self.ending.terminated

    @property
    def truncated(self) -> bool:
        """Whether the episode was cut off although the drive could go on."""
        return self.ending is not None and not self.ending.terminated


class DrivingTask:
    """
    One vehicle's task, an episode at a time.

    ``on_road(x, y)`` tells whether a place in the map frame, m, is drivable: a wheel that is not
    there, or keeps too little room, costs reward, the vehicle's centre ends the episode. Without
    it only the distance from the route counts as leaving the road.
    """

    def __init__(self, settings: TaskSettings,
                 on_road: Callable[[float, float], bool] | None = None) -> None:
        self.settings = settings
        self.on_road = on_road
        limits = settings.episode
        self._wheels = (0.5 * np.array([limits.wheelbase, limits.track]) + limits.edge_margin) * [
            [1, 1], [1, -1], [-1, 1], [-1, -1]]
        self._stack = FrameStack()
        self._meter = RewardMeter(settings.reward)
        self._monitor = EpisodeMonitor(settings.episode)
        self.route: Route | None = None
        self.position: RoutePosition | None = None
        self._ticks = 0
        self._collided = False

    @property
    def needs_image(self) -> bool:
        """Whether the next tick brings a decision, which needs the picture."""
        return self._ticks + 1 >= self.settings.action.repeat

    @property
    def frame(self) -> np.ndarray:
        """Return the newest frame that the policy saw, (84, 84) uint8."""
        return self._frame

    def begin(self, tick: Tick, route: Route) -> Observation:
        """Start an episode on ``route`` at ``tick``, which has an image; return what is seen."""
        frame = to_frame(tick.image, tick.encoding)
        self.route = route
        self.position = route.locate(tick.state.pose)
        self._stack.clear()
        self._meter.begin(tick.state, self.position)
        self._monitor.begin(tick.state)
        self._ticks, self._collided = 0, False
        self._stamp, self._edge = tick.state.stamp, 0.0
        return self._observe(tick.state, frame)

    def change_route(self, route: Route, state: VehicleState) -> None:
        """Go on with another route without ending the episode."""
        self.route = route
        self.position = route.locate(state.pose)
        self._meter.begin(state, self.position)

    def advance(self, tick: Tick) -> Step | None:
        """
        Take the next tick; return the step where a decision is due or the episode ended.

        None means: keep the action. A step whose ending is set closes the episode. Raises
        ImageError for a picture that cannot be used, leaving the task as it was.
        """
        if self.route is None or self.position is None:
            raise RuntimeError('begin() comes before advance()')
        state = tick.state
        position = self.route.locate(state.pose, near=self.position.distance)
        collided = self._collided or tick.collided
        on_road = self.on_road is None or self.on_road(state.pose.x, state.pose.y)
        ending = self._monitor.ending(state, self.route, position, collided=collided,
                                      on_road=on_road)
        self._edge += self._wheels_off(state.pose) * (state.stamp - self._stamp) * 1e-9
        self._stamp = state.stamp
        due = self.needs_image or ending is not None
        # An episode that ends between two decisions keeps the last frame: whether that tick came
        # with a picture must not change what is learned.
        frame = to_frame(tick.image, tick.encoding) if self.needs_image else self._frame
        self.position, self._collided = position, collided
        if not due:
            self._ticks += 1
            return None
        self._ticks, self._collided = 0, False
        edge, self._edge = self._edge, 0.0
        terms = self._meter.measure(
            state, position, edge=edge, collision=ending is Ending.COLLISION,
            off_road=ending is Ending.OFF_ROAD, arrival=ending is Ending.ARRIVAL)
        return Step(self._observe(state, frame), terms,
                    terms.reward(self.settings.reward), ending)

    def _wheels_off(self, pose: Pose) -> int:
        """Return how many wheels are over the edge or too near to it, 0 where it is not known."""
        on_road = self.on_road
        return 0 if on_road is None else sum(
            not on_road(x, y) for x, y in to_map(pose, self._wheels).tolist())

    def _observe(self, state: VehicleState, frame: np.ndarray) -> Observation:
        self._frame = frame
        return Observation(image=self._stack.push(frame), vector=vector_state(
            state, self.route, self.position, self.settings.observation))
