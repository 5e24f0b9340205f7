#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command gate held to its rules over a million drawn sequences; prints one line of JSON.

Each sequence has its own limits and ten commands, with values that are no numbers, not finite,
out of range or of no sense, stops in between, and stamps that stand, run back or jump.
"""

import argparse
import json
from pathlib import Path
import sys
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test' / 'driving')]

from gate_support import check_sequence  # noqa: E402


def run(count, first=0):
    """Check so many sequences; return the figures."""
    begun, commands = time.process_time(), 0
    for seed in range(first, first + count):
        try:
            commands += check_sequence(seed)
        except AssertionError as error:
            raise AssertionError(f'sequence {seed}: {error}') from error
    return {'sequences': count, 'commands': commands, 'violations': 0,
            'cpu_s': round(time.process_time() - begun, 1)}


def main():
    """Check, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sequences', type=int, default=1_000_000)
    parser.add_argument('--first', type=int, default=0, help='seed of the first')
    options = parser.parse_args()
    print(json.dumps(run(options.sequences, options.first)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
