# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
``compare_runs``: learning curves and figures of runs of ``train``, with their seeds' spread.

Runs whose settings differ by the seed alone are taken together.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Sequence

from av_td3_ros.training.comparison import plots, table
from av_td3_ros.training.comparison.runs import (check_tags, CLOCKS, ComparisonError,
                                                 doubled_seeds, group_runs, read_run, Run)

TAGS = ('evaluation/completion', 'evaluation/success', 'evaluation/return', 'episode/return')


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(
        prog='compare_runs', description='Learning curves and figures of runs of train, with '
        "their seeds' spread; runs that differ by the seed alone are taken together.")
    parser.add_argument('runs', type=Path, nargs='+', metavar='DIR', help='folder of a run')
    parser.add_argument('--out', type=Path, default=Path('comparison'), metavar='FOLDER',
                        help='where curves.png, figures.csv and figures.json go (%(default)s)')
    parser.add_argument('--tag', action='append', metavar='TAG',
                        help=f'what to compare; may be repeated ({", ".join(TAGS)})')
    parser.add_argument('--label', action='append', default=[], metavar='TEXT',
                        help='name of a group, in the order of their first runs; once for each '
                        '(the settings that differ)')
    parser.add_argument('--band', choices=sorted(plots.BANDS), default='range',
                        help='least to greatest of the seeds, or the 95 %% interval of their mean '
                        '(%(default)s)')
    parser.add_argument('--time', choices=sorted(CLOCKS), default='wall',
                        help="the clock of the second curves; the processor's does not count "
                        'waiting for other programs (%(default)s)')
    parser.add_argument('--bins', type=int, default=60,
                        help='a curve with more points is averaged over so many spans '
                        '(%(default)s)')
    parser.add_argument('--plot', action=argparse.BooleanOptionalAction, default=True,
                        help='whether to draw curves.png')
    options = parser.parse_args(args)
    if options.bins < 1:
        parser.error('--bins must be at least 1')
    return options


def choose_tags(runs: Sequence[Run], wanted: Sequence[str] | None) -> list[str]:
    """Return the wanted tags, or those of :data:`TAGS` that every run has."""
    if wanted:
        tags = list(dict.fromkeys(wanted))
        check_tags(runs, tags)
        return tags
    tags = [tag for tag in TAGS if all(tag in run.series for run in runs)]
    if not tags:
        raise ComparisonError(f'the runs have none of {", ".join(TAGS)} in common yet; choose '
                              'what to compare with --tag')
    return tags


def main(args: Sequence[str] | None = None) -> int | str:
    """Run the command; return 0, or a sentence that says what went wrong."""
    options = parse_arguments(args)
    try:
        folders = list(dict.fromkeys(options.runs))
        runs = [read_run(folder) for folder in folders]
        tags = choose_tags(runs, options.tag)
        check_tags(runs, [CLOCKS[options.time]])
        groups = group_runs(runs, options.label)
        for sentence in doubled_seeds(groups):
            print(sentence, file=sys.stderr)
        found = table.rows(groups, tags)
        print(table.text(found))
        table.write(found, groups, options.out)
        if options.plot:
            plots.plot(groups, tags, options.out / 'curves.png', band=options.band,
                       bins=options.bins, clock=options.time)
            print(f'curves: {options.out / "curves.png"}')
    except (ComparisonError, OSError) as error:
        return str(error)
    return 0


if __name__ == '__main__':
    sys.exit(main())
