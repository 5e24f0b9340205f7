# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The record of a training, in TensorBoard's event files; ``docs/learning.md`` lists the tags.

Every step in the files is a number of transitions. When something is written depends on that
number alone, so that a resumed run goes on with the same steps as an unbroken one.
"""

from __future__ import annotations

import collections
import contextlib
import logging
from pathlib import Path
import time
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.replay import Batch
from av_td3_ros.learning.telemetry.event_file import available, EventFile, EventFileError, MISSING
from av_td3_ros.learning.telemetry.probe import network_health, policy_values, q_values
from av_td3_ros.learning.telemetry.returns import observed_returns, overestimation, spread

logger = logging.getLogger(__name__)

_GRADIENT = '_grad_norm'


class _Episode:
    """Rows in the replay memory, and rewards, of an episode under way."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.rewards: list[float] = []


class TrainingLog:
    """
    Watches a learner and writes what it sees to a new event file in ``folder``.

    It is told of every transition and update by the learner (:attr:`.Learner.observer`), and by
    its owner of finished episodes, evaluations and the age of weights. Every ``every`` transitions
    it writes the means since the last time; every ``examine_every`` the state of the networks, on
    the batch of an update, with an observation of it and histograms of actions, rewards and
    estimates; and after each episode how the critic's estimates compare with the
    returns in it, on at most ``samples`` of its steps. ``seconds()`` is the time of training in
    all, ``cpu_seconds()`` the processor's, s.

    Learning goes on as if nobody watched: no random number of it is drawn here, and where the disk
    refuses, a warning is given and nothing more is written. All calls come from one thread.
    :attr:`spent` is the time taken by all of this, s, by :attr:`clock`. Raises
    :class:`.EventFileError` where TensorBoard is missing.
    """

    clock: Callable[[], float] = staticmethod(time.perf_counter)

    def __init__(self, folder: Path, learner: Learner, *,
                 seconds: Callable[[], float] | None = None,
                 cpu_seconds: Callable[[], float] | None = None, every: int = 200,
                 examine_every: int = 2000, samples: int = 64) -> None:
        begun = time.monotonic()
        self._learner = learner
        self._seconds = seconds or (lambda: time.monotonic() - begun)
        self._cpu_seconds = cpu_seconds or time.process_time
        self._every, self._examine_every, self._samples = every, examine_every, samples
        self._file: EventFile | None = EventFile(folder, learner.transitions + 1)
        self.spent = 0.0
        self._open: dict[int, _Episode] = {}
        self._sums: dict[str, float] = collections.defaultdict(float)
        self._counts: dict[str, int] = collections.defaultdict(int)
        # Between two examinations; more than are wanted for a histogram are not kept.
        self._rewards: collections.deque[float] = collections.deque(maxlen=10000)
        self._start_over()
        learner.observer = self

    def _start_over(self) -> None:
        learner = self._learner
        self._open.clear()
        self._sums.clear()
        self._counts.clear()
        self._rewards.clear()
        self._told = -1
        self._written = learner.transitions // self._every
        self._examined = learner.transitions // self._examine_every
        self._mark = (time.monotonic(), learner.transitions, learner.agent.total_it, self.spent)

    # Told by the learner

    def begun(self, stream: int) -> None:
        """Take note that an episode of a stream began."""
        self._open[stream] = _Episode()

    def added(self, stream: int, reward: float, terminated: bool, truncated: bool) -> None:
        """Take note of the transition just stored."""
        with self._timed():
            self._rewards.append(float(reward))
            episode = self._open.get(stream)
            if episode is not None:
                episode.rows.append(self._learner.replay.head - 1)
                episode.rewards.append(float(reward))
                if terminated or truncated:
                    del self._open[stream]
                    self._compare(episode, bool(terminated))
            if self._learner.transitions // self._every != self._written:
                self._write_means()

    def abandoned(self, stream: int) -> None:
        """Forget a stream's episode: what followed was not observed."""
        self._open.pop(stream, None)

    def updated(self, report: Mapping[str, float], batch: Batch) -> None:
        """Take note of an update's losses, estimates and gradient norms, and of its batch."""
        learner = self._learner
        with self._timed():
            if batch.rows is not None:
                self._add('age/transitions', learner.replay.head - 1 - float(batch.rows.mean()))
            if learner.transitions // self._examine_every != self._examined:
                self._examined = learner.transitions // self._examine_every
                self._write(network_health(learner.agent, batch.observation, batch.action))
                self._show(batch)
            for name, value in report.items():
                self._add(f'gradients/{name[:-len(_GRADIENT)]}' if name.endswith(_GRADIENT)
                          else f'learning/{name}', value)

    def restored(self) -> None:
        """Take note that the learner went back to a checkpoint."""
        with self._timed():
            self._start_over()
            self._do(lambda file: file.rewind(self._learner.transitions + 1))

    def saving(self) -> None:
        """Hand everything to the system: what led to a checkpoint must not be missing later."""
        with self._timed():
            self._do(EventFile.flush)

    # Told by the owner

    def episode(self, figures: Mapping[str, float]) -> None:
        """Write a finished episode's figures, by tag."""
        with self._timed():
            self._write(figures)

    def evaluated(self, summary: Mapping[str, Any]) -> None:
        """Write an evaluation: numbers by name, and of ``endings`` each one's share."""
        with self._timed():
            figures = {f'evaluation/{name.replace("returned", "return")}': float(value)
                       for name, value in summary.items()
                       if isinstance(value, (int, float, np.number))}
            endings = summary.get('endings') or {}
            for name, count in endings.items():
                figures[f'evaluation/endings/{name}'] = count / max(sum(endings.values()), 1)
            self._write({**figures, **self._progress()})
            self._do(EventFile.flush)

    def acted(self, updates_behind: float) -> None:
        """Take note of how many updates old the weights were that a transition came from."""
        self._add('age/weights', updates_behind)

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._timed():
            if self._sums and self._learner.transitions != self._mark[1]:
                self._write_means()
            self._do(EventFile.close)
            self._file = None
            self._learner.observer = None

    # What is written

    def _add(self, tag: str, value: float) -> None:
        self._sums[tag] += value
        self._counts[tag] += 1

    def _progress(self) -> dict[str, float]:
        """Return how far the run is, unless that has been written of this very step."""
        if self._told == self._learner.transitions:
            return {}
        self._told = self._learner.transitions
        return {'progress/seconds': self._seconds(),
                'progress/cpu_seconds': self._cpu_seconds(),
                'progress/updates': self._learner.agent.total_it}

    def _write_means(self) -> None:
        learner = self._learner
        then, transitions, updates, spent = self._mark
        now = time.monotonic()
        span = max(now - then, 1e-6)
        values = {tag: total / self._counts[tag] for tag, total in self._sums.items()}
        values.update(self._progress())
        values.update({
            'rates/transitions': (learner.transitions - transitions) / span,
            'rates/updates': (learner.agent.total_it - updates) / span,
            'rates/logging': (self.spent - spent) / span,
            'replay/size': len(learner.replay)})
        self._write(values)
        self._sums.clear()
        self._counts.clear()
        self._written = learner.transitions // self._every
        self._mark = (now, learner.transitions, learner.agent.total_it, self.spent)

    def _compare(self, episode: _Episode, terminated: bool) -> None:
        """Compare the critic's estimates with the returns of an episode that is over."""
        agent, replay = self._learner.agent, self._learner.replay
        if not agent.total_it:
            return
        try:
            beyond = 0.0
            if not terminated:
                last = replay.batch(np.array(episode.rows[-1:]))
                beyond = float(policy_values(agent, last.next_observation)[0])
            chosen = spread(len(episode.rows), self._samples)
            batch = replay.batch(np.array(episode.rows)[chosen])
        except ValueError:
            # A replay memory shorter than an episode has given up its beginning already.
            return
        returns = observed_returns(episode.rewards, agent.discount, beyond)[chosen]
        q1, q2 = q_values(agent, batch.observation, batch.action)
        self._write({f'values/{name}': value
                     for name, value in overestimation(q1, q2, returns).items()})

    def _show(self, batch: Batch) -> None:
        """Write an observation of the batch, and how its actions and what was earned spread."""
        agent, step = self._learner.agent, self._learner.transitions
        actions = batch.action.detach().cpu().numpy()
        estimates, _ = q_values(agent, batch.observation, batch.action)
        histograms = {f'actions/{number}': actions[:, number]
                      for number in range(actions.shape[1])}
        histograms.update(rewards=np.array(self._rewards), estimates=estimates)
        self._rewards.clear()
        self._do(lambda file: file.write_histograms(step, {
            tag: values for tag, values in histograms.items() if np.isfinite(values).all()}))
        if agent.actor_cnn is not None:
            frames = batch.observation['image'][0].cpu().numpy()
            self._do(lambda file: file.write_image(step, 'observation/stack', np.hstack(frames)))

    def _write(self, values: Mapping[str, float]) -> None:
        self._do(lambda file: file.write(self._learner.transitions, values))

    def _do(self, work: Callable[[EventFile], None]) -> None:
        if self._file is None:
            return
        try:
            work(self._file)
        except OSError as error:
            logger.warning('TensorBoard is given nothing more: %s', error)
            self._file = None

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begun = self.clock()
        try:
            yield
        finally:
            self.spent += self.clock() - begun


def open_log(folder: Path, learner: Learner, *, wanted: bool | None = None,
             seconds: Callable[[], float] | None = None,
             cpu_seconds: Callable[[], float] | None = None) -> TrainingLog | None:
    """
    Return a log of the learner, or None where it is not ``wanted``.

    ``wanted`` None asks for one where TensorBoard is installed, and says so where it is not; True
    raises :class:`.EventFileError` there.
    """
    if wanted is None and not available():
        logger.info('no %s', MISSING)
    if wanted is False or (wanted is None and not available()):
        return None
    try:
        return TrainingLog(folder, learner, seconds=seconds, cpu_seconds=cpu_seconds)
    except OSError as error:
        raise EventFileError(f'cannot write event files: {error}') from None
