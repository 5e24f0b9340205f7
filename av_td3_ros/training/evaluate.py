# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
``evaluate_policy``: drive fixed routes of a town with a checkpoint, without exploration noise.

The routes depend on the town, their number, seed and lengths only, so that two checkpoints are
judged on the same ones. ``expert`` in place of a checkpoint is the classical driver.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
from pathlib import Path
import sys
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from av_td3_ros.driving.frames import Pose
from av_td3_ros.driving.observation import Observation
from av_td3_ros.driving.task import TaskSettings, trained_task
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy
from av_td3_ros.learning.policy_file import policy_config
from av_td3_ros.resources import shipped
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.env import TownEnv
from av_td3_ros.simulation.town import Town, town_path, TownError
from av_td3_ros.simulation.traffic import TrafficSettings
from av_td3_ros.training.configuration import full_config, read_run_settings
from av_td3_ros.training.expert import Expert
from av_td3_ros.training.film import Film
from av_td3_ros.visualization.video import VideoError

Watch = Callable[[int, Observation, 'np.ndarray | None', Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class EpisodeScore:
    """One evaluated route; completion in [0, 1], distances in m, speed in m/s, duration in s."""

    route: int
    ending: str
    completion: float
    distance: float
    duration: float
    mean_speed: float
    mean_lateral: float
    returned: float
    left_road: bool

    @property
    def success(self) -> bool:
        """Arrived without a collision and without ever leaving the road."""
        return self.ending == 'arrival' and not self.left_road


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of several routes."""

    episodes: tuple[EpisodeScore, ...]

    def summary(self) -> dict[str, Any]:
        """
        Return means with the half width of their 95 % interval (normal approximation).

        ``distance`` is what was driven in all, m; an episode ends with its first collision.
        """
        def mean(values: Sequence[float]) -> tuple[float, float]:
            array = np.asarray(values, dtype=np.float64)
            spread = array.std(ddof=1) / math.sqrt(len(array)) if len(array) > 1 else 0.0
            return round(float(array.mean()), 4), round(1.96 * float(spread), 4)
        found = self.episodes
        endings: dict[str, int] = {}
        for episode in found:
            endings[episode.ending] = endings.get(episode.ending, 0) + 1
        result: dict[str, Any] = {'episodes': len(found), 'endings': endings}
        driven = sum(episode.distance for episode in found)
        hits = endings.get('collision', 0)
        result['distance'] = round(driven, 1)
        result['collisions_per_km'] = round(1e3 * hits / driven, 4) if driven else None
        for name in ('completion', 'success', 'returned', 'mean_speed', 'mean_lateral'):
            result[name], result[f'{name}_interval'] = mean(
                [float(getattr(episode, name)) for episode in found])
        return result


def fixed_routes(town: Town, count: int, seed: int, shortest: float, longest: float
                 ) -> list[tuple[Pose, Pose]]:
    """Return starts and goals that are the same for the same town, seed and lengths in m."""
    rng = np.random.default_rng(seed)
    return [town.sample_route(rng, shortest, longest)[:2] for _ in range(count)]


def evaluate(env: TownEnv, act: Callable[[Observation], np.ndarray],
             routes: Sequence[tuple[Pose, Pose]], seed: int = 0,
             progress: Callable[[int], None] = lambda done: None,
             watch: Watch = lambda *moment: None) -> Evaluation:
    """
    Drive every route once with ``act``; route i has the episode seed ``seed`` + i.

    ``watch`` is called at every decision with the route's number, the observation, the action and
    step's ``info``, and at the end of an episode once more, with None for the action.
    """
    scores = []
    for number, (start, goal) in enumerate(routes):
        observation, info = env.reset(seed=seed + number,
                                      options={'start': start, 'goal': goal})
        begun, returned, speeds, laterals, left = info['time'], 0.0, [], [], False
        ended = False
        while not ended:
            action = act(observation)
            watch(number, observation, action, info)
            observation, reward, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            returned += reward
            speeds.append(info['speed'])
            laterals.append(abs(info['lateral']))
            left = left or info['off_road']
        watch(number, observation, None, info)
        scores.append(EpisodeScore(
            number, info['ending'], info['completion'],
            info['completion'] * info['route_length'], info['time'] - begun,
            float(np.mean(speeds)), float(np.mean(laterals)), returned, bool(left)))
        progress(number + 1)
    return Evaluation(tuple(scores))


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(
        prog='evaluate_policy', description='Drive fixed routes of a town with a checkpoint.')
    parser.add_argument('checkpoint', type=Path,
                        help="checkpoint or policy file, or 'expert' for the classical driver")
    parser.add_argument('--town', default='town_b', metavar='TOWN',
                        help='a town that comes with the package, or an OpenDRIVE file '
                        '(%(default)s, which is never trained on)')
    parser.add_argument('--routes', type=int, default=20)
    parser.add_argument('--seed', type=int, default=1000)
    parser.add_argument('--vehicles', type=int, default=0, help='other cars')
    parser.add_argument('--traffic-speed', type=float, default=9.0,
                        help='speed that the other cars like, m/s (%(default)s)')
    parser.add_argument('--lengths', type=float, nargs=2, default=(100.0, 400.0),
                        metavar=('MIN', 'MAX'), help='lengths of the routes, m')
    parser.add_argument('--size', type=int, nargs=2, default=(800, 600),
                        metavar=('WIDTH', 'HEIGHT'), help="the camera's image")
    parser.add_argument('--blank-camera', action='store_true', help='show a black image')
    parser.add_argument('--video', type=Path, metavar='FILE',
                        help='film the routes: camera, actions, rewards, what the policy sees')
    parser.add_argument('--json', action='store_true', help='print JSON')
    options = parser.parse_args(args)
    if options.routes < 1:
        parser.error('--routes must be at least 1')
    if not 0.5 <= options.traffic_speed <= 40.0:
        parser.error('--traffic-speed must be between 0.5 and 40')
    if options.seed < 0 or options.vehicles < 0:
        parser.error('--seed and --vehicles must not be negative')
    if not 0.0 < options.lengths[0] <= options.lengths[1] < math.inf:
        parser.error('--lengths takes two lengths above 0, the shorter one first')
    return options


def main(args: Sequence[str] | None = None) -> int | str:
    """Run the command; return 0, or a sentence that says what went wrong."""
    options = parse_arguments(args)
    found, complaint = None, ''
    try:
        expert = str(options.checkpoint) == 'expert'
        config = policy_config(options.checkpoint) if not expert \
            else full_config(read_run_settings(shipped('config', 'training.yaml'), {}))
        town = Town.load(town_path(options.town))
        env = TownEnv(town, vehicles=options.vehicles, image_size=tuple(options.size),
                      settings=trained_task(config, TaskSettings()),
                      traffic=TrafficSettings(speed=options.traffic_speed),
                      blank_camera=options.blank_camera or (expert and not options.video))
        if expert:
            act: Callable[[Observation], np.ndarray] = Expert(env).act
        else:
            policy = Policy()
            policy.load_checkpoint(options.checkpoint)
            act = policy.act
        routes = fixed_routes(town, options.routes, options.seed, *options.lengths)
        with Film(options.video, env) if options.video else contextlib.nullcontext() as film:
            found = evaluate(env, act, routes, options.seed, lambda done: print(
                f'{done}/{options.routes} routes', end='\r', file=sys.stderr, flush=True),
                film.add if film else lambda *moment: None)
    except (CheckpointError, SettingsError, TownError) as error:
        return str(error)
    except VideoError as error:
        complaint = str(error)
        if found is None:
            return complaint
    summary = found.summary()
    if options.json:
        print(json.dumps({**summary, 'routes': [dataclasses.asdict(e) for e in found.episodes]}))
        return complaint or 0
    print(f'{"route":>5}  {"ending":10} {"completion":>10} {"m":>6} {"s":>6} {"m/s":>5} '
          f'{"lateral m":>9}')
    for e in found.episodes:
        print(f'{e.route:5}  {e.ending:10} {100 * e.completion:8.1f} % {e.distance:6.0f} '
              f'{e.duration:6.1f} {e.mean_speed:5.2f} {e.mean_lateral:9.2f}')
    for name in ('completion', 'success', 'mean_speed', 'mean_lateral', 'returned'):
        print(f'{name}: {summary[name]:.3f} +- {summary[f"{name}_interval"]:.3f}')
    hits = summary['endings'].get('collision', 0)
    print(f'collisions: {hits} in {summary["distance"] / 1e3:.1f} km')
    return complaint or 0


if __name__ == '__main__':
    sys.exit(main())
