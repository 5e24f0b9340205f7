# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
``train``: learn to drive in the embedded town without ROS.

The agent, observation, reward and episodes are those of the nodes, and so are the configuration
files and the checkpoints: a policy trained here goes on in the nodes, and the other way round.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
import signal
import sys
import time
from typing import Any, Callable, Sequence

import numpy as np
import yaml

from av_td3_ros.driving.observation import Observation
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.replay import ReplayError
from av_td3_ros.learning.td3 import LearningStopped
from av_td3_ros.learning.telemetry.event_file import EventFileError
from av_td3_ros.resources import shipped
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.town import Town, town_path, TownError
from av_td3_ros.training.bags import check_bags, learn_from_bags
from av_td3_ros.training.configuration import read_run_settings, RunSettings
from av_td3_ros.training.evaluate import evaluate, fixed_routes
from av_td3_ros.training.expert import Expert
from av_td3_ros.training.run import Run, RunError
from av_td3_ros.training.worlds import Driver, make_environment, World, Worlds

logger = logging.getLogger(__name__)


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(prog='train', description=__doc__.split('\n\n')[0].strip())
    parser.add_argument('--out', type=Path, default=Path('runs/train'),
                        help='folder of the run: checkpoints, curve, settings (%(default)s)')
    parser.add_argument('--params-file', type=Path, help='ROS 2 parameter file (the one that '
                        'comes with the package: config/training.yaml)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='a setting, such as algorithm.batch_size=128; may be repeated')
    parser.add_argument('--town', action='append', metavar='TOWN',
                        help='where to train (town_a): a town that comes with the package, or an '
                        'OpenDRIVE file; may be repeated, to train in several')
    parser.add_argument('--eval-town', default='town_b', metavar='TOWN',
                        help='where to evaluate (%(default)s)')
    parser.add_argument('--steps', type=int, default=30_000, help='transitions (%(default)s)')
    parser.add_argument('--minutes', type=float, default=float('inf'),
                        help='stop after this much wall time of training in all')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--no-resume', dest='resume', action='store_false',
                        help='refuse to go on with a run that is there')
    parser.add_argument('--tensorboard', action=argparse.BooleanOptionalAction, help='whether to '
                        "write TensorBoard's event files (yes, where it is installed)")
    options = parser.parse_args(args)
    if options.steps < 0 or not options.minutes > 0.0:
        parser.error('--steps must not be negative, --minutes must be above 0')
    return options


def overrides(pairs: Sequence[str], seed: int) -> dict[str, Any]:
    """Return ``NAME=VALUE`` pairs as a mapping; the values are YAML."""
    found: dict[str, Any] = {'algorithm.seed': seed}
    for pair in pairs:
        name, equals, value = pair.partition('=')
        if not equals:
            raise SettingsError(f'--set takes NAME=VALUE, not {pair!r}')
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingsError(f'--set {pair}: {value!r} is no YAML value') from None
        if isinstance(found[name], str):
            # YAML 1.1 reads 3e-4 as text.
            try:
                found[name] = float(found[name])
            except ValueError:
                pass
    return found


def main(args: Sequence[str] | None = None) -> int | str:
    """Run the command; return 0, or a sentence that says what went wrong."""
    logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stderr)
    options = parse_arguments(args)
    try:
        settings = read_run_settings(
            options.params_file or shipped('config', 'training.yaml'),
            overrides(options.set, options.seed))
        towns = [Town.load(town_path(town)) for town in options.town or ['town_a']]
        eval_town = Town.load(town_path(options.eval_town))
        if not (options.out / 'settings.yaml').exists():
            check_bags(settings)
        with Run(options.out, settings, resume=options.resume,
                 tensorboard=options.tensorboard) as run:
            return Trainer(run, settings, towns, eval_town).train(
                options.steps, options.minutes * 60.0)
    except (SettingsError, TownError, RunError, CheckpointError, ReplayError, LearningStopped,
            EventFileError, OSError) as error:
        return str(error)


class Interrupted(Exception):
    """Bags were not read to their end: what was learned so far is to be forgotten."""


class Trainer:
    """Learns in some worlds, evaluates in another; stops cleanly on SIGINT and SIGTERM."""

    def __init__(self, run: Run, settings: RunSettings, towns: Sequence[Town],
                 eval_town: Town) -> None:
        self.run, self.settings = run, settings
        limits = settings.episode
        self.worlds = Worlds(towns, settings)
        self.eval_env = make_environment(eval_town, settings, settings.algorithm.seed)
        self.routes = fixed_routes(eval_town, settings.evaluation.routes,
                                   settings.evaluation.seed, limits.min_route_length,
                                   limits.max_route_length)
        self._stop = False
        self._shown = 0.0

    def train(self, steps: int, seconds: float) -> int:
        """Train until ``steps`` transitions or ``seconds`` of training; return 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        learner = self.run.learner
        try:
            self._demonstrate()
        except Interrupted:
            logger.info('stopped while bags were read; the same command reads them anew')
            return 0
        self._evaluate_if_due()
        saved = time.monotonic()
        while learner.transitions < steps and self.run.seconds < seconds and not self._stop:
            self._round(steps, self._drive, learner.add)
            self._evaluate_if_due()
            if self.run.save_due \
                    or time.monotonic() - saved > self.settings.evaluation.checkpoint_seconds:
                self.run.save()
                saved = time.monotonic()
        if not self._stop and self.run.evaluated_at < learner.transitions:
            self._evaluate()
        self.run.finish()
        logger.info('saved %s', self.run.newest)
        return 0

    def _on_signal(self, *_: Any) -> None:
        self._stop = True

    # Driving

    def _demonstrate(self) -> None:
        """Read bags and let the classical driver drive, as asked for; learn from them first."""
        wanted, learner, run = self.settings.demonstrations, self.run.learner, self.run
        if wanted.bags and not run.recorded and not learner.transitions:
            learn_from_bags(run, self.settings, self._reading)
        transitions = run.recorded + wanted.transitions
        if learner.transitions >= transitions > learner.demonstrations:
            raise RunError(f'{run.folder} was begun without demonstrations')
        experts = {world.stream: Expert(world.env, wanted.lapses)
                   for world in self.worlds.worlds}

        def drive(world: World, observation: Observation) -> np.ndarray:
            return world.exploration.disturb(experts[world.stream].act(observation), wanted.noise)

        def take(stream: int, *step: Any) -> None:
            learner.demonstrate(stream, *step, exemplary=experts[stream].exemplary)

        while learner.demonstrations < transitions and not self._stop:
            self._round(transitions, drive, take)
        if learner.demonstrations and not run.shown and not self._stop:
            learner.owe(wanted.updates)
            run.shown = True
            run.save()
        self._catch_up(transitions)

    def _reading(self) -> None:
        if self._stop:
            raise Interrupted
        self._show(0)

    def _drive(self, world: World, observation: Observation) -> np.ndarray:
        learner = self.run.learner
        if not learner.learning:
            return world.exploration.random_action()
        return world.exploration.perturb(learner.agent.act(observation),
                                         learner.transitions - learner.demonstrations)

    def _round(self, steps: int, drive: Driver, take: Callable[..., None]) -> None:
        """Drive an episode in every world, a decision of each in turn; learn on the way."""
        learner = self.run.learner
        active = self.worlds.begin(self.run.episode, learner.transitions)
        for world in active:
            learner.begin(world.stream, world.frame, world.vector)
        while active:
            for world in list(active):
                step = world.step(drive)
                # An interrupted round is cut off here, and the resumed run has it anew.
                if self._stop:
                    learner.abandon_all()
                    return
                take(world.stream, *step[:6])
                self._catch_up(steps)
                if step.ended:
                    active.remove(world)
                    self.run.end_episode(world.record(step.info))

    def _catch_up(self, steps: int) -> None:
        """Make the updates that are due; those on demonstrations take long enough to save."""
        saved, driving = time.monotonic(), bool(self.run.learner.replay.open_episodes)
        while self.run.learner.due and not self._stop:
            self.run.note(self.run.learner.update())
            self._show(steps)
            if not driving \
                    and time.monotonic() - saved > self.settings.evaluation.checkpoint_seconds:
                self.run.save()
                saved = time.monotonic()
        self._show(steps)

    # Telling

    def _evaluate_if_due(self) -> None:
        every, run = self.settings.evaluation.every, self.run
        if every and run.learner.transitions // every > run.evaluated_at // every \
                and not self._stop:
            self._evaluate()

    def _evaluate(self) -> None:
        found = evaluate(self.eval_env, self.run.learner.agent.act, self.routes,
                         self.settings.evaluation.seed)
        summary = found.summary()
        best = self.run.evaluated(summary)
        logger.info('evaluation at %d: completion %.1f %% +- %.1f, success %.0f %%, %s%s',
                    self.run.learner.transitions, 100 * summary['completion'],
                    100 * summary['completion_interval'], 100 * summary['success'],
                    json.dumps(summary['endings']), ' (best so far)' if best else '')

    def _show(self, steps: int) -> None:
        if time.monotonic() - self._shown < 5.0:
            return
        self._shown = time.monotonic()
        logger.info('%s', self.run.progress_line(steps))


if __name__ == '__main__':
    sys.exit(main())
