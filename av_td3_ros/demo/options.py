# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of the demonstration."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
import re
from typing import Sequence

from av_td3_ros.resources import share_directory

DEFAULT_CHECKPOINT = Path('models', 'policy.pth')


@dataclasses.dataclass(frozen=True)
class Options:
    """What the demonstration is to do; ``routes`` None draws them, ``size`` is of the camera."""

    output: Path
    town: str
    checkpoint: Path
    vehicles: int
    seed: int
    size: tuple[int, int]
    routes: Path | None
    video: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Return the options of a command line; ends the process for a wrong one, as argparse does."""
    parser = argparse.ArgumentParser(
        prog='demo.sh', description='A car drives and learns in the embedded town, over real ROS '
        '2 topics; its training is saved, killed and loaded, and the car drives on.')
    parser.add_argument('--output', type=Path, default=Path('demo_output'), metavar='DIR',
                        help='folder of the video, the summary, the logs and the checkpoints '
                        '(default: %(default)s)')
    parser.add_argument('--town', default='town_b', metavar='TOWN',
                        help='a town that comes with the package, or an OpenDRIVE file '
                        '(default: %(default)s)')
    parser.add_argument('--checkpoint', type=Path, metavar='FILE',
                        help='policy to drive with (default: the one that comes with the '
                        'package)')
    parser.add_argument('--vehicles', type=int, default=0, metavar='N',
                        help='other vehicles in the town (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=6, metavar='N',
                        help='seed of routes, traffic and look (default: %(default)s)')
    parser.add_argument('--size', type=_size, default=(800, 600), metavar='WxH',
                        help="size of the camera's picture (default: 800x600)")
    parser.add_argument('--routes', type=Path, metavar='FILE',
                        help='drive the first two routes of this file (as routes_file of the '
                        'policy node) instead of drawing them')
    parser.add_argument('--no-video', dest='video', action='store_false',
                        help='write no video')
    given = parser.parse_args(arguments)
    if given.vehicles < 0 or given.seed < 0:
        parser.error('--vehicles and --seed must not be negative')
    checkpoint = given.checkpoint or share_directory() / DEFAULT_CHECKPOINT
    return Options(given.output.absolute(), given.town, checkpoint, given.vehicles, given.seed,
                   given.size, given.routes, given.video)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is no size such as 800x600')
    width, height = int(match[1]), int(match[2])
    if not (84 <= width <= 4096 and 84 <= height <= 4096):
        raise argparse.ArgumentTypeError('each side must be between 84 and 4096 pixels')
    return width, height
