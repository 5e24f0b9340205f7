#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Feeds damaged and hostile checkpoints to a load; prints one line of JSON, exits 1 on any failure.

Every mutation must be refused with a reason, within 1 s and twice the file's size in memory,
with nothing executed and the agent in memory the same to the bit.
"""

import argparse
import collections
import ctypes
import json
import os
from pathlib import Path
import random
import re
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test' / 'learning')]

from agents import fingerprint, image_agent, learn  # noqa: E402
from fuzz_support import CANARY, CHEAP, MUTATIONS  # noqa: E402
import torch  # noqa: E402

from av_td3_ros.learning.checkpoint import CheckpointError  # noqa: E402

FORBIDDEN = ('os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'pickle.find_class')


def resident(name):
    """Return VmRSS or VmHWM of this process in bytes."""
    found = re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    return int(found.group(1)) * 1024


def reset_peak():
    """Give freed memory back and set VmHWM to the present: the next reading is a peak since."""
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')


class Watch:
    """Notes forbidden audit events while a load runs."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self._see)

    def _see(self, event, arguments):
        if self.on and event in FORBIDDEN:
            self.seen.append(event)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--mutations', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='where to work; a temporary one otherwise')
    parser.add_argument('--seconds', type=float, default=1.0, help='longest a refusal may take')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    draw, watch = random.Random(arguments.seed), Watch()
    agent = image_agent()
    learn(agent, 2)
    counts, slowest, failures = collections.Counter(), 0.0, []
    most_memory, examples = 0.0, {}
    try:
        reset_peak()
        peaks = True
    except OSError:
        peaks = False
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        source, target = Path(work) / 'good.pth', Path(work) / 'bad.pth'
        agent.save_checkpoint(source)
        agent.load_checkpoint(source)
        learn(agent, 2)
        expected, start = fingerprint(agent), time.perf_counter()
        kinds = list(MUTATIONS)
        for number in range(arguments.mutations):
            # Each kind in turn first, then four byte mutations for each of the others.
            kind = kinds[number] if number < len(kinds) else draw.choice(
                CHEAP if draw.random() < 0.8 else kinds)
            MUTATIONS[kind](source, target, draw)
            size = max(target.stat().st_size, source.stat().st_size)
            if peaks:
                reset_peak()
            before = resident('VmRSS')
            watch.on, begun = True, time.perf_counter()
            reason, error = None, None
            try:
                agent.load_checkpoint(target)
            except CheckpointError as refusal:
                reason = str(refusal).replace(str(target), 'FILE')
            except BaseException as other:
                error = f'{type(other).__name__}: {other}'
            took, watch.on = time.perf_counter() - begun, False
            grown = (resident('VmHWM') - before) / size if peaks else 0.0
            counts[kind] += 1
            slowest, most_memory = max(slowest, took), max(most_memory, grown)
            examples.setdefault(kind, reason)
            wrong = [text for text, is_wrong in (
                (f'raised {error}', error), ('was loaded', reason is None and not error),
                ('gave no reason', reason is not None and len(reason) < 20),
                (f'took {took:.2f} s', took > arguments.seconds),
                (f'took {grown:.1f} times the file in memory', grown > 2.0),
                (f'ran {watch.seen}', watch.seen), ('ran code', os.path.exists(CANARY)),
                ('changed the agent', fingerprint(agent) != expected)) if is_wrong]
            if wrong:
                failures.append({'number': number, 'kind': kind, 'wrong': wrong})
                if len(failures) >= 20:
                    break
                watch.seen.clear()
        # The good file still loads: refusing everything would be no achievement.
        agent.load_checkpoint(source)
        loads = fingerprint(agent) != expected
    sys.stdout.write(json.dumps({
        'benchmark': 'checkpoint_fuzz', 'mutations': sum(counts.values()), 'kinds': dict(counts),
        'failures': failures, 'good_file_loads': loads, 'slowest_s': round(slowest, 3),
        'memory_over_file_size': round(most_memory, 2) if peaks else None,
        'examples': examples, 'seconds': round(time.perf_counter() - start, 1)}) + '\n')
    return 1 if failures or not loads else 0


if __name__ == '__main__':
    sys.exit(main())
