# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the demonstration: ``python -m av_td3_ros.demo`` (scripts/demo.sh)."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Sequence

from av_td3_ros.demo.options import parse
from av_td3_ros.demo.report import LiveLine, table, write_summary

_VIDEO_SECONDS = 60.0


class _Ended(BaseException):
    """A signal asks for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _end(number: int, frame: Any) -> None:
    """Unwind the main thread once; what cleans up is quick, and must not be cut short."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise _Ended(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return 0 only if the car did everything."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    demo = None
    line = LiveLine()
    try:
        options = parse(arguments)
        line.say('The car drives and learns; Ctrl-C ends everything')
        # These take seconds to load, and signals count from the start.
        from av_td3_ros.demo.demo import Demo
        from av_td3_ros.demo.graph import DemoFailed
        from av_td3_ros.demo.processes import ChildDied
        from av_td3_ros.visualization.video import VideoError
        demo = Demo(options, line)
        reason = ''
        try:
            demo.run()
        except (DemoFailed, ChildDied, VideoError, TimeoutError, OSError, ValueError) as error:
            reason = str(error)
        try:
            demo.close_video(_VIDEO_SECONDS)
        except VideoError as error:
            reason = reason or str(error)
    except _Ended as ended:
        line.say(f'Ended by {signal.Signals(ended.number).name}; every node is gone')
        if demo is not None and demo.output.is_dir():
            demo.abort_video()
        return 128 + ended.number
    summary = demo.finish(reason)
    if demo.output.is_dir():
        write_summary(demo.output / 'summary.json', summary)
    if summary['phases']:
        line.say('\n' + table(summary))
    if reason:
        print(f'The demonstration failed: {reason}', file=sys.stderr)
        return 1
    line.say(f'The car completed its routes. The figures are in {demo.output}/summary.json')
    return 0


if __name__ == '__main__':
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed. Threads of the middleware and of the encoder may still be in native
    # code, and the interpreter's own end under them would abort the process.
    os._exit(status)
