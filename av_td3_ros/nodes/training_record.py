# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the training node writes for TensorBoard, from the vehicles' experience."""

from __future__ import annotations

from pathlib import Path

from av_td3_ros.driving.driver import Kind
from av_td3_ros.driving.figures import episode_figures, EpisodeTally
from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.telemetry.training_log import TrainingLog
from av_td3_ros.ros.experience import Experience

_VERSIONS = 1000


class TrainingRecord:
    """
    The log of a learner that is served by vehicles; for the learner's thread.

    Raises :class:`~av_td3_ros.learning.telemetry.event_file.EventFileError` where TensorBoard is
    missing, and OSError where ``folder`` cannot be written.
    """

    def __init__(self, folder: Path, learner: Learner) -> None:
        self._learner = learner
        self._log = TrainingLog(folder, learner)
        self._tallies: dict[int, EpisodeTally] = {}
        self._updates_of: dict[int, int] = {}

    def published(self, version: int) -> None:
        """Take note that the weights went out as ``version``."""
        self._updates_of[version] = self._learner.agent.total_it
        if len(self._updates_of) > _VERSIONS:
            del self._updates_of[next(iter(self._updates_of))]

    def took(self, stream: int, item: Experience, speed_scale: float | None) -> None:
        """
        Take note of an experience that the learner has stored.

        ``speed_scale``: what the vehicle divides its speed in m/s by, None where it is not known.
        """
        step = item.transition
        if step.kind is Kind.BEGIN:
            self._tallies[stream] = EpisodeTally(step.stamp)
            return
        tally = self._tallies.get(stream)
        if tally is None or step.kind is Kind.ABANDON:
            self.forget(stream)
            return
        updates = self._updates_of.get(item.weights)
        if updates is not None:
            self._log.acted(self._learner.agent.total_it - updates)
        speed = None if speed_scale is None else float(step.vector[0]) * speed_scale
        tally.add(step.reward, step.terms, speed)
        if step.ending is not None:
            self.forget(stream)
            self._log.episode(episode_figures(tally.record(step.ending, step.stamp)))

    def forget(self, stream: int) -> None:
        """Drop what is known of a stream's episode: some of it was lost."""
        self._tallies.pop(stream, None)

    def close(self) -> None:
        """Write what is left."""
        self._log.close()
