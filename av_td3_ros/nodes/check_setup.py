# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Looks at a running graph of CARLA's bridge and our nodes, and says what is wrong with it.

One line a finding: how bad, where, what, and how to mend it. Nothing is published or changed.
The status is 0 where no error was found, 1 where one was, 2 where it could not look.
"""

from __future__ import annotations

import argparse
import sys
from typing import Sequence

from av_td3_ros.ros.graph_probe import GraphProbe
from av_td3_ros.setup_check.facts import ERROR
from av_td3_ros.setup_check.report import as_json, as_text, judge


def main(args: Sequence[str] | None = None) -> int:
    """Check the setup; see the module's docstring for the status."""
    parser = argparse.ArgumentParser(prog='check_setup', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--role-name', default='ego_vehicle',
                        help='role name of the vehicle (default: %(default)s)')
    parser.add_argument('--camera', default='rgb_front',
                        help="the camera's id (default: %(default)s)")
    parser.add_argument('--seconds', type=_positive, default=3.0,
                        help='wall time to listen for (default: %(default)s)')
    parser.add_argument('--discovery', type=_positive, default=3.0,
                        help='wall time at most to find the bridge (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='print a JSON object instead')
    options = parser.parse_args(args)
    try:
        with GraphProbe() as probe:
            facts = probe.look(options.role_name, options.camera, options.seconds,
                               options.discovery)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # rclpy raises several unrelated types where it cannot start
        print('check_setup: ROS cannot be started: ' + ' '.join(str(error).split()),
              file=sys.stderr)
        return 2
    findings = judge(facts)
    print((as_json if options.json else as_text)(facts, findings))
    return 1 if any(finding.level == ERROR for finding in findings) else 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 3600.0:
        raise argparse.ArgumentTypeError(f'{text} is not between 0 and 3600 s')
    return value


if __name__ == '__main__':
    sys.exit(main())
