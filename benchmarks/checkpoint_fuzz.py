#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Feeds damaged and hostile checkpoints to a load; prints one line of JSON, exits 1 on any failure.

Every mutation must be refused with a reason, within 1 s and twice the file's size in memory,
with nothing executed and the agent in memory the same to the bit. The agent is a small one, or
with ``--architecture`` one of full size. The most that a refusal took is given for each kind:
seconds by the clock, seconds of the processor, and memory over the file's size.
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
    parser.add_argument('--architecture', choices=['nature', 'nature_layernorm', 'resnet18'],
                        help='an agent of full size with these encoders')
    parser.add_argument('--folder', type=Path, help='where to work; a temporary one otherwise')
    parser.add_argument('--seconds', type=float, default=1.0, help='longest a refusal may take')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    draw, watch = random.Random(arguments.seed), Watch()
    agent = image_agent() if arguments.architecture is None else image_agent(
        arguments.architecture, features=512, config={})
    learn(agent, 2)
    counts, failures, examples = collections.Counter(), [], {}
    most = collections.defaultdict(lambda: (0.0, 0.0, 0.0))
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
        file_bytes = source.stat().st_size
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
            watch.on, begun, used = True, time.perf_counter(), time.process_time()
            reason, error = None, None
            try:
                agent.load_checkpoint(target)
            except CheckpointError as refusal:
                reason = str(refusal).replace(str(target), 'FILE')
            except BaseException as other:
                error = f'{type(other).__name__}: {other}'
            took, watch.on = time.perf_counter() - begun, False
            used = time.process_time() - used
            grown = (resident('VmHWM') - before) / size if peaks else 0.0
            counts[kind] += 1
            most[kind] = tuple(map(max, most[kind], (took, used, grown)))
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
        'benchmark': 'checkpoint_fuzz', 'file_bytes': file_bytes,
        'mutations': sum(counts.values()), 'kinds': dict(counts),
        'failures': failures, 'good_file_loads': loads,
        'slowest_s': round(max(took for took, _, _ in most.values()), 3),
        'slowest_cpu_s': round(max(used for _, used, _ in most.values()), 3),
        'memory_over_file_size':
            round(max(grown for _, _, grown in most.values()), 2) if peaks else None,
        'most': {kind: [round(value, 3) for value in values] for kind, values in most.items()},
        'examples': examples, 'seconds': round(time.perf_counter() - start, 1)}) + '\n')
    return 1 if failures or not loads else 0


if __name__ == '__main__':
    sys.exit(main())
