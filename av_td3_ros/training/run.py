# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run's folder: what it was started with, what it learned, and where it stands."""

from __future__ import annotations

import collections
import json
import logging
from pathlib import Path
import time
from typing import Any, Mapping

import yaml

from av_td3_ros import __version__
from av_td3_ros.driving.figures import episode_figures
from av_td3_ros.learning.checkpoint import CheckpointNotFound
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder
from av_td3_ros.learning.durable import write_bytes_durably
from av_td3_ros.learning.learner import check_device, Learner
from av_td3_ros.learning.policy_file import save_policy
from av_td3_ros.learning.telemetry.training_log import open_log, TrainingLog
from av_td3_ros.settings import as_dict, flatten
from av_td3_ros.training.configuration import full_config, OTHER_SECTIONS, RunSettings

logger = logging.getLogger(__name__)

_WINDOW = 20
_TIE = 1e-3
# What a run may go on with another of: checkpoints are any device's.
_MAY_CHANGE = ('version', *(f'training.{name}' for name in (
    'device', 'replay_on_device', 'cuda_graphs')))


class RunError(RuntimeError):
    """The folder cannot be used for this run; the message says why and what to do."""


class Run:
    """
    One training in one folder, resumed where it is already there.

    Beside ``checkpoints/`` the folder holds ``settings.yaml`` (settings, seed, version),
    ``episodes.jsonl`` and ``evaluations.jsonl`` (a JSON object a line), the policy that was
    evaluated best, ``best_policy.pth`` (its whole checkpoint stays among the others), and
    TensorBoard's event files in ``tensorboard/`` (``tensorboard`` None: where it is installed;
    True: it must be). Raises :class:`RunError` where the folder holds a run of other settings, or,
    without ``resume``, any.
    """

    def __init__(self, folder: Path, settings: RunSettings, *, resume: bool = True,
                 tensorboard: bool | None = None) -> None:
        self.folder, self.settings = folder, settings
        # Before anything is written: a folder without a run would stand in another one's way.
        check_device(settings.learner)
        self._check(resume)
        config = full_config(settings)
        self.learner = Learner(settings.learner, config, other_sections=OTHER_SECTIONS,
                               replay_directory=folder / 'replay')
        self.checkpoints = CheckpointFolder(folder / 'checkpoints')
        self.episode = 0
        self.recorded = 0
        """Transitions that were taken from bags."""
        self.shown = False
        """Whether all demonstrations are there, and the updates on them were made due."""
        self._before = 0.0
        self._began = time.monotonic()
        self._cpu_before, self._cpu_began = 0.0, time.process_time()
        self.evaluated_at = 0
        self._best = float('-inf')
        self._episodes: collections.deque[dict[str, Any]] = collections.deque(maxlen=_WINDOW)
        self._losses: dict[str, float] = {}
        self._rate = (time.monotonic(), 0, 0)
        self.newest: Path | None = None
        self._saved = 0
        self.log: TrainingLog | None = None
        self._restore()
        self.log = open_log(folder / 'tensorboard', self.learner, wanted=tensorboard,
                            seconds=lambda: self.seconds, cpu_seconds=lambda: self.cpu_seconds)
        self._rate = (time.monotonic(), self.learner.transitions, self.learner.agent.total_it)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.log is not None:
            self.log.close()
        self.learner.close()

    @property
    def seconds(self) -> float:
        """Wall time of training in all, resumed runs included, s."""
        return self._before + time.monotonic() - self._began

    @property
    def cpu_seconds(self) -> float:
        """Processor time of training in all, resumed runs included, s."""
        return self._cpu_before + time.process_time() - self._cpu_began

    def _check(self, resume: bool) -> None:
        path = self.folder / 'settings.yaml'
        self.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({'version': __version__, **as_dict(self.settings)}, sort_keys=False)
        if not path.exists():
            write_bytes_durably(path, text.encode())
            return
        if not resume:
            raise RunError(f'{self.folder} holds a run already; choose another --out')
        found = flatten(yaml.safe_load(path.read_text(encoding='utf-8')))
        wanted = flatten(yaml.safe_load(text))
        # A run of an earlier version knew fewer settings.
        defaults = flatten(as_dict(RunSettings()))
        other = [name for name in wanted if name not in _MAY_CHANGE
                 and found.get(name, defaults.get(name)) != wanted[name]]
        if other:
            raise RunError(f'{self.folder} holds a run with another {", ".join(other)}; choose '
                           'another --out, or the settings in its settings.yaml')

    def _restore(self) -> None:
        try:
            loaded = self.learner.load(self.checkpoints)
        except CheckpointNotFound:
            self._begin()
            return
        progress = loaded.extra
        self.episode = int(progress['episode'])
        self.recorded = int(progress.get('recorded', 0))
        # Earlier versions did not say so: they made all the updates due at once, and saved.
        self.shown = bool(progress.get('shown', self.learner.agent.total_it > 0
                                       or self.learner.owed >= 1.0))
        self._before = float(progress['seconds'])
        self._cpu_before = float(progress.get('cpu_seconds', 0.0))
        self._best = float(progress['best'])
        self.evaluated_at = int(progress.get('evaluated_at', self.learner.transitions))
        self._cut('episodes', self.learner.transitions)
        self._cut('evaluations', self.evaluated_at)
        logger.info('going on at %d transitions, %d updates', self.learner.transitions,
                    self.learner.agent.total_it)

    def _begin(self) -> None:
        """Save before anything was learned: a run killed early on goes back to just that."""
        if len(self.learner.replay):
            raise RunError(f'{self.folder} holds experience but no checkpoint; choose another '
                           '--out, or remove it')
        self.save()

    def _cut(self, name: str, last: int) -> None:
        """Drop the lines of a record that tell of more than the ``last`` transition."""
        path = self.folder / f'{name}.jsonl'
        if path.exists():
            lines = [line for line in path.read_text(encoding='utf-8').splitlines()
                     if _transitions(line) <= last]
            write_bytes_durably(path, ''.join(line + '\n' for line in lines).encode())

    @property
    def save_due(self) -> bool:
        """Whether a checkpoint must be made soon, to be gone back to exactly from later on."""
        # So many rows stay in a full replay memory after they gave way; an episode comes yet.
        return self.learner.transitions - self._saved >= self.learner.replay.layout.spare // 2

    def save(self, score: float | None = None) -> None:
        """Save everything durably; with its score one that may be kept as the best."""
        parts = self.learner.parts({
            'episode': self.episode, 'seconds': self.seconds, 'cpu_seconds': self.cpu_seconds,
            'best': self._best, 'evaluated_at': self.evaluated_at, 'recorded': self.recorded,
            'shown': self.shown})
        self.newest = self.checkpoints.save(self.learner.agent, evaluation=score, **parts).path
        self._saved = self.learner.transitions

    def finish(self) -> None:
        """Save everything, and the policy as it is now, to drive with it."""
        self.save()
        save_policy(self.learner.agent, self.folder / 'last_policy.pth',
                    {'transitions': self.learner.transitions})

    def note(self, report: Mapping[str, float]) -> None:
        """Take note of an update's losses."""
        for name, value in report.items():
            self._losses[name] = 0.99 * self._losses.get(name, value) + 0.01 * value

    def end_episode(self, record: Mapping[str, Any]) -> None:
        """Record a finished episode."""
        self.episode += 1
        self._episodes.append(dict(record))
        if self.log is not None:
            shown = self.learner.transitions <= self.learner.demonstrations
            self.log.episode(episode_figures(record, 'demonstration' if shown else 'episode'))
        self._write('episodes', {**record, **{k: round(v, 5) for k, v in self._losses.items()}})

    def evaluated(self, summary: Mapping[str, Any]) -> bool:
        """Record an evaluation; keep the best policy apart, and return whether this is it."""
        self._write('evaluations', summary)
        self.evaluated_at = self.learner.transitions
        # Of policies that arrive equally often, the one with the higher return.
        score = float(summary['success']) + float(summary['completion']) \
            + _TIE * float(summary['returned'])
        if self.log is not None:
            self.log.evaluated({**summary, 'score': score})
        if score <= self._best:
            return False
        self._best = score
        save_policy(self.learner.agent, self.folder / 'best_policy.pth', {
            'transitions': self.learner.transitions, 'evaluation': dict(summary)})
        self.save(score)
        return True

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        line = {'transitions': self.learner.transitions, 'updates': self.learner.agent.total_it,
                'seconds': round(self.seconds, 1), 'cpu_seconds': round(self.cpu_seconds, 1),
                **record}
        with open(self.folder / f'{name}.jsonl', 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')

    def progress_line(self, steps: int) -> str:
        """Return a line with how far the run is, how fast it goes, and how well."""
        then, transitions, updates = self._rate
        now, learner = time.monotonic(), self.learner
        span = max(now - then, 1e-6)
        self._rate = (now, learner.transitions, learner.agent.total_it)
        speed = (learner.transitions - transitions) / span
        made = (learner.agent.total_it - updates) / span
        # Updates on demonstrations come without transitions.
        ahead, rate = (learner.due, made) if learner.due > 1 else (
            steps - learner.transitions, speed)
        left = max(ahead, 0) / rate / 60.0 if rate > 0 else float('inf')
        recent = self._episodes

        def mean(key: str) -> float:
            return sum(float(e[key]) for e in recent) / max(len(recent), 1)

        return (f'{learner.transitions}/{steps or "?"} transitions, {speed:.0f}/s, '
                f'{made:.1f} updates/s, '
                f'{left:.0f} min left; episode {self.episode}: '
                f'return {mean("return"):.1f}, completion {100 * mean("completion"):.0f} %, '
                f'Q {self._losses.get("q1", 0.0):.2f}, '
                f'critic loss {self._losses.get("critic_loss", 0.0):.3f}')


def _transitions(line: str) -> float:
    """Return what a record's line says of the transitions so far; infinity for a torn line."""
    try:
        return float(json.loads(line)['transitions'])
    except (ValueError, KeyError, TypeError):
        return float('inf')
