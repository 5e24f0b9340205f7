# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded drives as demonstrations: what ``train`` learns of bags before anything is driven."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.figures import EpisodeTally
from av_td3_ros.driving.task import DrivingTask
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.experience import Experience
from av_td3_ros.evaluation.storage import BagError
from av_td3_ros.evaluation.topics import select
from av_td3_ros.learning.durable import write_bytes_durably
from av_td3_ros.simulation.town import Town, town_path
from av_td3_ros.training.configuration import RunSettings
from av_td3_ros.training.run import Run, RunError

logger = logging.getLogger(__name__)

REPORT = 'bags.json'
_STREAM = 0
_SHAPE = 0.02       # by which the sides' ratio of two cameras may differ


def bag_paths(settings: RunSettings) -> list[Path]:
    """Return the bags to learn from."""
    return [Path(part.strip()) for part in settings.demonstrations.bags.split(',')
            if part.strip()]


def check_bags(settings: RunSettings) -> None:
    """
    Look whether bags have what is needed, before a run is begun with them.

    Raises :class:`.RunError` with a sentence that says what is wrong with which, and
    :class:`.TownError` for a ``bags_town`` that there is not.
    """
    if bag_paths(settings):
        _road(settings)
    for path in bag_paths(settings):
        with _opened(path, settings, DrivingTask(settings.task), lambda t: None) as experience:
            size = experience.first_size()
            if size is not None:
                _check_size(path, settings, *size)


def learn_from_bags(run: Run, settings: RunSettings, pulse: Callable[[], None]) -> None:
    """
    Take every transition of the bags as a demonstration, in order; nothing is updated.

    ``pulse`` is called for every message, and may raise to break off. What was used and what was
    not, and why, is logged and in the run's ``bags.json``. Raises :class:`.RunError` for a bag
    that nothing can be learned from.
    """
    on_road = _road(settings)
    if not settings.algorithm.imitation:
        logger.warning('algorithm.imitation is 0: bags are learned from and not imitated')
    try:
        reports = [_Reader(run, settings, pulse).read(path, on_road)
                   for path in bag_paths(settings)]
    except RunError as error:
        raise RunError(f'{error}; with other settings it is another run, in another --out'
                       ) from None
    run.recorded = sum(report['transitions'] for report in reports)
    capacity = settings.algorithm.buffer_size
    if run.recorded > capacity:
        logger.warning('the bags have %d transitions, of which the replay memory keeps the last '
                       '%d (algorithm.buffer_size)', run.recorded, capacity)
    write_bytes_durably(run.folder / REPORT, (json.dumps(reports, indent=1) + '\n').encode())


def _road(settings: RunSettings) -> Callable[[float, float], bool] | None:
    town = settings.demonstrations.bags_town
    return Town.load(town_path(town)).on_road if town else None


class _Reader:
    """Reads one bag after the other into a run."""

    def __init__(self, run: Run, settings: RunSettings, pulse: Callable[[], None]) -> None:
        self._run, self._settings, self._pulse = run, settings, pulse
        self._experience: Experience
        self._tally = EpisodeTally(0)
        self._stamp, self._steps, self._transitions = 0, 0, 0
        self._endings: dict[str, int] = {}

    def read(self, path: Path, on_road: Callable[[float, float], bool] | None) -> dict[str, Any]:
        """Learn from one bag; return what was used of it."""
        task = DrivingTask(self._settings.task, on_road)
        with _opened(path, self._settings, task, self._take) as experience:
            self._experience = experience
            experience.look = lambda *size: _check_size(path, self._settings, *size)
            experience.progress = self._pulse
            recording = experience.run()
            report = {
                'bag': str(path), 'transitions': self._transitions, 'episodes': self._endings,
                'cut': dict(experience.driver.cuts), 'pictures': recording.count,
                'account': recording.account, 'commands': experience.source,
                'clipped': experience.clipped, 'period': round(experience.period, 6),
                'pairing': experience.pairing, 'losses': experience.bag.losses,
                'notes': recording.notes}
        for line in _told(report):
            logger.info('%s', line)
        if not self._transitions:
            raise RunError(f'nothing can be learned from {path}: of {recording.count} pictures '
                           + '; '.join(f'{count} {reason}' for reason, count
                                       in recording.account.items())
                           + '; take it out of demonstrations.bags')
        return report

    def _take(self, transition: Transition) -> None:
        learner, driver = self._run.learner, self._experience.driver
        if transition.kind is Kind.BEGIN:
            learner.begin(_STREAM, transition.frame, transition.vector)
            self._tally, self._steps = EpisodeTally(transition.stamp), 0
        elif transition.kind is Kind.ABANDON:
            learner.abandon(_STREAM)
            task = driver.task
            if self._steps and task.route is not None and task.position is not None:
                self._end('cut', min(task.position.distance / task.route.length, 1.0))
        else:
            learner.demonstrate(
                _STREAM, transition.action, transition.reward, transition.terminated,
                transition.truncated, transition.frame, transition.vector)
            self._steps += 1
            self._transitions += 1
            self._stamp = transition.stamp
            self._tally.add(transition.reward, transition.terms,
                            None if driver.state is None else driver.state.speed)
            if transition.ending is not None and driver.result is not None:
                self._end(transition.ending.value, driver.result.completion)

    def _end(self, ending: str, completion: float) -> None:
        self._endings[ending] = self._endings.get(ending, 0) + 1
        self._run.end_episode({**self._tally.record(ending, self._stamp),
                               'completion': completion, 'stream': _STREAM})


@contextlib.contextmanager
def _opened(path: Path, settings: RunSettings, task: DrivingTask,
            take: Callable[[Transition], None]) -> Iterator[Experience]:
    try:
        with Bag(path) as bag:
            counts = np.bincount(bag.index['topic'], minlength=len(bag.topics))
            selection = select(bag.topics, counts.tolist(),
                               role=settings.demonstrations.bags_role)
            yield Experience(bag, selection, task, take)
    except BagError as error:
        raise RunError('demonstrations.bags: ' + str(error).replace(
            '--role-name', 'demonstrations.bags_role')) from None


def _check_size(path: Path, settings: RunSettings, width: int, height: int) -> None:
    """Raise RunError where a picture reduced to 84x84 looks unlike one of the run's camera."""
    camera = settings.simulation
    own = camera.image_width / camera.image_height
    if abs(width / height / own - 1.0) > _SHAPE:
        raise RunError(
            f'demonstrations.bags: {path} has pictures of {width}x{height}, but the camera of '
            f'this run is {camera.image_width}x{camera.image_height}, and the same things look '
            'wider or narrower with it; set simulation.image_width and simulation.image_height '
            'to the same shape')


def _told(report: dict[str, Any]) -> Iterator[str]:
    """Yield what was used of a bag, in sentences."""
    def counted(counts: dict[str, int]) -> str:
        return ', '.join(f'{count} {name}' for name, count in counts.items()) or 'none'
    yield (f'{report["bag"]}: {report["transitions"]} transitions in episodes that ended by: '
           f'{counted(report["episodes"])}; a picture every {report["period"]:g} s; '
           f'{report["commands"]}')
    yield f'  of {report["pictures"]} pictures: {counted(report["account"])}'
    if report['cut']:
        yield f'  episodes were cut by: {counted(report["cut"])}'
    if report['clipped']:
        yield (f'  {report["clipped"]} commands are beyond action.max_steer, max_throttle or '
               'max_brake and were taken for those')
    yield from (f'  {line}' for line in (*report['losses'], *report['notes']))
