# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded town as a gymnasium environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from av_td3_ros.driving.action import ACTION_SIZE, control_from_action
from av_td3_ros.driving.frames import (Control, quaternion_from_yaw, VehicleState,
                                       yaw_from_quaternion)
from av_td3_ros.driving.image import SIZE, STACK
from av_td3_ros.driving.observation import Observation, VECTOR_SIZE
from av_td3_ros.driving.reward import TERMS
from av_td3_ros.driving.route import Route
from av_td3_ros.driving.task import DrivingTask, TaskSettings, Tick
from av_td3_ros.simulation.camera import Camera, CameraSettings
from av_td3_ros.simulation.town import default_town, Town, town_path
from av_td3_ros.simulation.traffic import TrafficSettings
from av_td3_ros.simulation.world import Collision, World

TICK = 0.05


class TownEnv(gymnasium.Env):
    """
    Drive a route through a town with the observation, action, reward and episodes of the nodes.

    Observation: ``image`` (4, 84, 84) uint8, oldest frame first, and ``vector`` (23,) float32 as
    in :mod:`av_td3_ros.driving.observation`. Action: (2,) float32 in [-1, 1], [steer, throttle or
    brake], positive steer to the right. A step lasts ``settings.action.repeat`` ticks of 0.05 s.

    town: path of an OpenDRIVE map, name of a town that comes with the package (town_a if None), or
    a :class:`Town` to share.
    vehicles: number of other cars. image_size: the camera's (width, height) in pixels before
    the reduction to 84x84. seed: of the first episode where ``reset`` is given none; the same
    seed gives the same episode. camera: mounting and field of view; its size gives way to
    ``image_size``. traffic: how the other cars drive. blank_camera: give a black image, to find
    out what the camera is worth.

    ``reset`` takes ``options``: ``start`` and ``goal`` (:class:`Pose`) for a fixed route,
    ``lengths`` (shortest, longest, m) of a drawn one, ``vehicles`` for another number of other
    cars from here on. ``info`` holds the reward's terms in SI units, the ending, and the route's
    completion in [0, 1].
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': round(1.0 / TICK)}

    def __init__(self, town: str | Path | Town | None = None, *, vehicles: int = 0,
                 image_size: tuple[int, int] = (256, 192), seed: int = 0,
                 settings: TaskSettings | None = None, camera: CameraSettings | None = None,
                 traffic: TrafficSettings | None = None, blank_camera: bool = False,
                 render_mode: str | None = None) -> None:
        self.settings = settings or TaskSettings()
        self.town = town if isinstance(town, Town) else Town.load(
            town_path(town) if town else default_town())
        if vehicles < 0:
            raise ValueError(f'vehicles is {vehicles}, but must not be negative')
        width, height = image_size
        look = camera or CameraSettings()
        self.camera = Camera(
            self.town, dataclasses.replace(look, width=width, height=height), seed=seed)
        self.world = World(self.town, seed=seed, vehicles=vehicles, dt=TICK, traffic=traffic)
        self.task = DrivingTask(self.settings, on_road=self.town.on_road)
        self.blank_camera = blank_camera
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Dict({
            'image': gymnasium.spaces.Box(0, 255, (STACK, SIZE, SIZE), np.uint8),
            'vector': gymnasium.spaces.Box(-np.inf, np.inf, (VECTOR_SIZE,), np.float32)})
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        # As large as what the policy sees: there is nothing to reduce.
        self._black = np.zeros((SIZE, SIZE), dtype=np.uint8)
        self._buffer = np.empty((height, width, 4), dtype=np.uint8)
        self._first_seed: int | None = seed
        self._ended = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode on a route drawn from the seed, or on the one in ``options``."""
        seed = self._first_seed if seed is None else seed
        self._first_seed = None
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**31))
        options = options or {}
        if unknown := set(options) - {'start', 'goal', 'lengths', 'vehicles'}:
            raise ValueError(f'options has {", ".join(sorted(unknown))}, which means nothing here')
        if ('start' in options) != ('goal' in options):
            raise ValueError("options must hold both 'start' and 'goal', or neither")
        if 'start' in options:
            start, goal = options['start'], options['goal']
            points = self.town.route(start, goal)
        else:
            limits = self.settings.episode
            start, goal, points = self.town.sample_route(self.np_random, *options.get(
                'lengths', (limits.min_route_length, limits.max_route_length)))
        self.start, self.goal = start, goal
        self.camera.reseed(episode_seed)
        self.world.reset(seed=episode_seed, start=start, vehicles=options.get('vehicles'))
        self._ended = False
        observation = self.task.begin(self._tick(True), Route(points))
        return observation, self._info(None)

    def step(self, action: np.ndarray
             ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Keep the action until the next decision, or until the episode ends."""
        return self.drive(control_from_action(action, self.settings.action))

    def drive(self, control: Control
              ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step with a vehicle command, for drivers that are not the policy."""
        if self._ended:
            raise RuntimeError('the episode has ended; call reset() first')
        result = None
        while result is None:
            events = self.world.step(control)
            collided = any(isinstance(event, Collision) for event in events)
            result = self.task.advance(self._tick(self.task.needs_image, collided))
        self._ended = result.ending is not None
        info = self._info(result.ending)
        info['terms'] = {name: getattr(result.terms, name) for name in TERMS}
        return (result.observation, result.reward, result.terminated, result.truncated, info)

    def render(self) -> np.ndarray | None:
        """Return the camera's picture, (height, width, 3) RGB uint8."""
        if self.render_mode != 'rgb_array':
            return None
        if self.blank_camera:
            return np.zeros((*self._buffer.shape[:2], 3), dtype=np.uint8)
        return self._picture()[:, :, 2::-1].copy()

    def _tick(self, with_image: bool, collided: bool = False) -> Tick:
        if self.blank_camera:
            return Tick(self._state, self._black, 'mono8', collided)
        return Tick(self._state, self._picture() if with_image else None, 'bgra8', collided)

    @property
    def _state(self) -> VehicleState:
        """Return the state as odometry would carry it: a heading goes as a quaternion."""
        state = self.world.state
        yaw = yaw_from_quaternion(*quaternion_from_yaw(state.pose.yaw))
        return dataclasses.replace(state, pose=state.pose._replace(yaw=yaw))

    def _picture(self) -> np.ndarray:
        return self.camera.render(self.world.state.pose, self.world.others, out=self._buffer)

    def _info(self, ending: Any) -> dict[str, Any]:
        route, position = self.task.route, self.task.position
        assert route is not None and position is not None
        arrived = ending is not None and ending.value == 'arrival'
        return {'ending': None if ending is None else ending.value,
                'completion': 1.0 if arrived else min(position.distance / route.length, 1.0),
                'lateral': position.lateral, 'speed': self.world.state.speed,
                'route_length': route.length, 'off_road': self.world.off_road,
                'time': self.world.time_ns * 1e-9}
