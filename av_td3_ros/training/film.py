# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A film of evaluated routes: what the camera saw, what the policy saw of it, and what it did."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Mapping

import numpy as np

from av_td3_ros.driving.action import control_from_action
from av_td3_ros.driving.frames import Control
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.reward import RewardTerms
from av_td3_ros.driving.route import Route
from av_td3_ros.simulation.env import TICK, TownEnv
from av_td3_ros.visualization.annotated import annotate
from av_td3_ros.visualization.overlay import points_ahead, Scene, View
from av_td3_ros.visualization.video import Video


class Film:
    """
    Writes MPEG-4 in MP4, one frame a decision, in simulated time.

    Raises :class:`.VideoError` where it cannot be opened and, at the end of the context that it is
    the manager of, where it has not all its frames. The file is ended also where an error ends the
    evaluation.
    """

    def __init__(self, path: Path, env: TownEnv) -> None:
        env.render_mode = 'rgb_array'
        self._env = env
        self._height = env.camera.settings.height // 2 * 2
        self._width = (env.camera.settings.width + self._height // 4) // 2 * 2
        self._rate = 1.0 / (TICK * env.settings.action.repeat)
        self._video = Video(path, self._rate, (self._width, self._height))
        inner, mount = env.camera.intrinsics, env.camera.settings
        self._view = View(*inner, mount.x, mount.y, mount.z)
        self._route: Route | None = None
        self._heights = np.zeros(0)
        self._control = Control()

    def __enter__(self) -> Film:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self._video.close()
        else:
            self._video.release()

    def add(self, route: int, observation: Observation, action: np.ndarray | None,
            info: Mapping[str, Any]) -> None:
        """
        Draw the moment of a decision: observation, the action (2,) that follows, step's ``info``.

        The last moment of an episode has no action any more; it is held for a second.
        """
        env = self._env
        state, followed, picture = env.world.state, env.task.route, env.render()
        assert picture is not None and followed is not None
        if followed is not self._route:
            self._route = followed
            self._heights = np.array([env.town.height(x, y) for x, y in followed.points.tolist()])
        if action is not None:
            self._control = control_from_action(action, env.settings.action)
        terms = RewardTerms(**info.get('terms', {})).weighted(env.settings.reward)
        scene = Scene(
            state.pose, points_ahead(followed.points, self._heights,
                                     followed.locate(state.pose).distance),
            self._control, state.speed, info['completion'], terms, f'route {route + 1}',
            info['ending'] or f'{len(env.world.others.x)} other cars')
        frame = annotate(picture, 'rgb8', self._view, scene, observation['image'], None)
        for _ in range(1 if action is not None else round(self._rate)):
            self._video.write(frame[:self._height, :self._width])
