# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``evaluate_bag``: judge one or two checkpoints by recorded drives, without ROS."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
from pathlib import Path
import platform
import shutil
import sys
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch

from av_td3_ros.evaluation.alignment import EXACT, NEAREST, RECEIVED
from av_td3_ros.evaluation.assessment import (assess, Assessment, DRIVEN, Options, RECORDED)
from av_td3_ros.evaluation.footage import stills, write_video
from av_td3_ros.evaluation.gate import Check, check, GateError, junit, read_gate
from av_td3_ros.evaluation.judgement import as_json, tidy
from av_td3_ros.evaluation.progress import Progress
from av_td3_ros.evaluation.report import make_report
from av_td3_ros.evaluation.storage import BagError
from av_td3_ros.evaluation.topics import KINDS
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.resources import ResourceError
from av_td3_ros.settings import SettingsError

RESULT, RUN, JUNIT = 'result.json', 'run.json', 'junit.xml'
REPORT, VIDEO = 'report.html', 'drive.mp4'


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(
        prog='evaluate_bag', description='Judge one or two checkpoints by recorded drives '
        '(rosbag2, sqlite3 or mcap). No ROS is needed.')
    parser.add_argument('bags', nargs='+', type=Path, metavar='BAG',
                        help='folder of a bag, or one file of it')
    parser.add_argument('--checkpoint', action='append', required=True, type=Path,
                        metavar='FILE', help='once or twice: the second is compared with')
    parser.add_argument('--out', required=True, type=Path, help='folder of the new report')
    parser.add_argument('--force', action='store_true', help='replace an earlier report')
    parser.add_argument('--role-name', default='', help='of the vehicle (found by its topics)')
    parser.add_argument('--topic', action='append', default=[], metavar='KIND=NAME',
                        help='a topic that is not found: ' + ', '.join(KINDS))
    parser.add_argument('--route', choices=(RECORDED, DRIVEN), default=RECORDED,
                        help='driven: take the way that the vehicle took for its route')
    parser.add_argument('--pairing', choices=(EXACT, NEAREST, RECEIVED), default='',
                        help='of pictures and odometry (found by their stamps)')
    parser.add_argument('--closed-loop', action='store_true',
                        help='the bags were driven by what is judged: score the drives too')
    parser.add_argument('--disturbed', type=int, default=300, metavar='N',
                        help='pictures of each bag on which the policies are disturbed (300; 0: '
                        'none)')
    parser.add_argument('--threads', type=int, choices=(1, 2), default=min(
        len(os.sched_getaffinity(0)), 2), help='2 (where there are two cores): read the bag in a '
        'second thread; the result is the same')
    parser.add_argument('--no-video', action='store_true', help='write no video')
    parser.add_argument('--gate', type=Path, metavar='FILE',
                        help='YAML of thresholds; exit with 1 where one does not hold')
    options = parser.parse_args(args)
    if len(options.checkpoint) > 2:
        parser.error('--checkpoint is given once or twice')
    if options.disturbed < 0:
        parser.error('--disturbed must not be negative')
    for pair in options.topic:
        if pair.partition('=')[0] not in KINDS or not pair.partition('=')[2]:
            parser.error(f'--topic {pair}: give KIND=NAME, KIND one of ' + ', '.join(KINDS))
    return options


class Folder:
    """
    A new folder that is there as a whole or not at all; a context manager.

    Files are written to ``path`` beside the target, which takes its place at the end. What was
    there before is replaced only with ``force``, and only where it is a report.
    """

    def __init__(self, target: Path, *, force: bool = False) -> None:
        self.target = target
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if not force:
                raise BagError(f'{target} exists already; give another --out, or --force')
            if not (target / RESULT).is_file():
                raise BagError(f'{target} is no report of evaluate_bag; it is not replaced')
        self.path = target.with_name(f'.{target.name}.{os.getpid()}.partial')

    def __enter__(self) -> 'Folder':
        self.path.mkdir(parents=True)
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        old = self.path.with_suffix('.old')
        if self.target.exists():
            self.target.rename(old)
        self.path.rename(self.target)
        shutil.rmtree(old, ignore_errors=True)


def describe_run(options: argparse.Namespace, assessment: Assessment) -> dict[str, Any]:
    """Return what varies from run to run: paths, versions, durations."""
    versions = {name: importlib.metadata.version(name) for name in ('numpy', 'torch', 'rosbags')}
    return {'bags': [str(path) for path in options.bags],
            'checkpoints': [str(path) for path in options.checkpoint],
            'python': platform.python_version(), 'versions': versions,
            'timing': assessment.timing}


def summary(result: dict[str, Any]) -> list[str]:
    """Return the result in a few lines."""
    pictures = result['pictures']
    lines = [f'{pictures["used"]} of {pictures["in_bags"]} pictures used']
    for number, bag in enumerate(result['bags'], start=1):
        lines += [f'bag {number}: {count} skipped: {reason}'
                  for reason, count in bag['images']['skipped'].items()]
        lines += [f'bag {number}: {loss}' for loss in bag['losses']]
    for label, found in result['open_loop'].items():
        error = found['action_error']
        lines.append(f'{label}: ' + ('no recorded driver to compare with' if error is None else
                     'open-loop error, ' + ', '.join(
                         f'{name} mean {error[name]["mean"]:.4f} p95 {error[name]["p95"]:.4f} '
                         f'worst {error[name]["worst"]:.4f}' for name in ('steer', 'drive'))))
    comparison = result['comparison']
    if comparison['different'] is None:
        lines.append(f'comparison: {comparison["reason"]}')
    else:
        lines.append(f'A compared with {comparison["with"]}: '
                     + ('different' if comparison['different'] else 'no difference shown'))
        lines += [f'  {name}: {q["mean"]:+.4f} [{q["interval"][0]:+.4f}, '
                  f'{q["interval"][1]:+.4f}]' + (' *' if q['different'] else '')
                  for name, q in comparison['quantities'].items()]
    if 'closed_loop' in result:
        lines += [f'driving score {version} (closed loop): '
                  + ('none' if score is None else f'{score:.3f}')
                  for version, score in result['closed_loop']['driving_score'].items()]
    return lines


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()
    return call


def write_pictures(folder: Path, options: argparse.Namespace, assessment: Assessment,
                   result: dict[str, Any], pulse: Callable[[], None]) -> None:
    """Write the report and the video."""
    wanted = {(moment['bag'], moment['image'])
              for moments in result['worst_moments'].values() for moment in moments}
    (folder / REPORT).write_text(make_report(
        result, assessment.recordings, stills(options.bags, assessment.selections, wanted),
        result.get('robustness')), encoding='utf-8')
    used = result['pictures']['used']
    if options.no_video or not used:
        return
    bar = Progress('video', used, 'pictures')
    write_video(folder / VIDEO, options.bags, assessment.selections, assessment.recordings,
                _both(bar.step, pulse))
    bar.close()


def evaluate(options: argparse.Namespace, say: Callable[[str], None] = print, *,
             heard: Mapping[int, Sequence[np.ndarray]] | None = None,
             pulse: Callable[[], None] = lambda: None) -> list[Check]:
    """
    Write the report; return the gate's checks, none without a gate.

    ``heard``: commands of a running node to be judged, as for :func:`.assessment.assess`.
    ``pulse`` is called every now and then, and may raise to break off; then nothing is left.
    Raises :class:`.BagError` where no picture could be used; the report is there and says why.
    """
    thresholds = None if options.gate is None else read_gate(options.gate)
    reading = Options(options.role_name, dict(pair.split('=', 1) for pair in options.topic),
                      options.route, options.pairing, options.closed_loop, options.disturbed,
                      options.threads)
    with Folder(options.out, force=options.force) as folder:
        bars: list[Progress] = []

        def progress(total: int) -> Callable[[], None]:
            for bar in bars[-1:]:
                bar.close()
            bars.append(Progress(f'bag {len(bars) + 1}/{len(options.bags)}', total, 'messages'))
            return _both(bars[-1].step, pulse)
        assessment = assess(options.bags, options.checkpoint, reading, progress, heard)
        for bar in bars[-1:]:
            bar.close()
        result = tidy(assessment.result)
        (folder.path / RESULT).write_text(as_json(result), encoding='utf-8')
        (folder.path / RUN).write_text(
            json.dumps(tidy(describe_run(options, assessment)), indent=1) + '\n',
            encoding='utf-8')
        write_pictures(folder.path, options, assessment, result, pulse)
        checks = [] if thresholds is None else check(result, thresholds)
        if thresholds is not None:
            (folder.path / JUNIT).write_text(junit(checks), encoding='utf-8')
    for line in summary(result):
        say(line)
    if not result['pictures']['used']:
        raise BagError(f'none of {result["pictures"]["in_bags"]} pictures could be used; '
                       f'{options.out / RESULT} says why')
    return checks


def main(args: Sequence[str] | None = None) -> int | str:
    """Run the command; return 0, 1 where the gate does not hold, or what went wrong."""
    options = parse_arguments(args)
    torch.set_num_threads(1)
    try:
        checks = evaluate(options)
    except (BagError, CheckpointError, GateError, OSError, ResourceError, SettingsError) as error:
        return ' '.join(str(error).split())
    except KeyboardInterrupt:
        return 'interrupted; no report was left'
    failures = [one for one in checks if one.reason]
    for number, one in enumerate(failures, start=1):
        print(f'gate {number}: {one.reason}')
    if checks and not failures:
        print(f'gate: all of {len(checks)} thresholds hold')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
