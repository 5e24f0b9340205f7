#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Crash consistency of checkpoints, long form; prints one line of JSON, exits 1 on any failure.

1. ``kills``: a process saves without a pause and is killed at a random moment, again and again.
2. ``killed_at_each_call``: a save is killed at each of its system calls in turn.
3. ``strace``: the kernel's own calls fail or kill, where strace is there.
4. ``full_disk``: a small tmpfs fills up, where mounting one is allowed.

After each: the restart finds no temporary file, loads an old or a new checkpoint wholly, and
never one older than the last that was acknowledged.
"""

import argparse
import json
import os
from pathlib import Path
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test' / 'learning')]

from agents import flat_agent, learn  # noqa: E402
from crash_support import (  # noqa: E402
    Killing, load_stamped, RETENTION, save_stamped, small_folder)
import torch  # noqa: E402

from av_td3_ros.learning.checkpoint import CheckpointError  # noqa: E402
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder  # noqa: E402


def in_child(work):
    """Run ``work(report)`` in a forked process; return its id and the pipe of its reports."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        work(lambda number: os.write(writing, b'%d\n' % number))
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f'child: {type(error).__name__}: {error}\n')
        os._exit(1)


def reports(pipe):
    """Return the last whole number that a child reported, 0 if none, and how many."""
    data = b''
    while piece := os.read(pipe, 65536):
        data += piece
    os.close(pipe)
    lines = data[:data.rfind(b'\n') + 1].split()
    return (int(lines[-1]) if lines else 0), len(lines)


def kill_loop(folder, rounds, seed):
    """Kill a process that saves continuously, ``rounds`` times, at random moments."""
    draw = random.Random(seed)
    acknowledged, total, cut_short = 0, 0, 0

    def save_on(report):
        agent = flat_agent()
        place = CheckpointFolder(folder, RETENTION)
        if place.newest_first():
            place.load(agent, extra=lambda state: None)
        while True:
            learn(agent, 1)
            save_stamped(place, agent)
            report(agent.total_it)

    for _ in range(rounds):
        child, pipe = in_child(save_on)
        # From the moment of the first save on, or (one in five) from anywhere in the start.
        if draw.random() < 0.8:
            select.select([pipe], [], [], 10.0)
        time.sleep(draw.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last, count = reports(pipe)
        total += count
        acknowledged = max(acknowledged, last)
        if any(name.endswith('.tmp') for name in os.listdir(folder) if folder.exists()):
            cut_short += 1
        if acknowledged or any(folder.glob('*.pth')):
            found = load_stamped(folder)
            assert found >= acknowledged, f'{acknowledged} was acknowledged, {found} is there'
            acknowledged = found
    return {'rounds': rounds, 'acknowledged': total, 'killed_while_writing': cut_short,
            'iteration': acknowledged}


def kill_at_each_call(folder):
    """Kill a save at its first call, at its second, and so on until one goes through."""
    outcomes = {1: 0, 2: 0}
    for number in range(1, 1000):
        place = folder / str(number)
        agent = flat_agent()
        learn(agent, 1)
        save_stamped(small_folder(place), agent)
        learn(agent, 1)
        child, pipe = in_child(lambda report: (
            save_stamped(small_folder(place, Killing(number)), agent), report(2)))
        _, status = os.waitpid(child, 0)
        found, (last, _) = load_stamped(place), reports(pipe)
        assert found >= last
        outcomes[found] += 1
        shutil.rmtree(place)
        if not os.WIFSIGNALED(status):
            return {'rounds': number, 'old': outcomes[1], 'new': outcomes[2]}
    raise AssertionError('the save never ended')


def strace_rounds(folder, most):
    """Have the kernel's own write, fsync, rename and symlink fail or kill, by strace."""
    if shutil.which('strace') is None:
        return 'skipped: no strace'
    result = {'rounds': 0, 'old': 0, 'new': 0, 'acknowledged': 0}
    for call in ('fsync', 'rename', 'write', 'symlink'):
        for action in ('error=EIO', 'error=ENOSPC', 'signal=KILL'):
            for number in range(1, most + 1):
                place = folder / f'{call}{number}{action[-3:]}'
                injected, status, acknowledged = strace_round(place, call, action, number)
                if not injected:
                    break
                found = load_stamped(place)
                assert found == 2 or not acknowledged, (call, action, number)
                assert acknowledged or os.WIFSIGNALED(status) == (action == 'signal=KILL')
                result['rounds'] += 1
                result['acknowledged'] += acknowledged
                result['old' if found == 1 else 'new'] += 1
                shutil.rmtree(place)
    return result


def strace_round(place, call, action, number):
    """Save under strace; return whether it injected, how the process ended, and its answer."""
    agent = flat_agent()
    learn(agent, 1)
    save_stamped(small_folder(place), agent)
    learn(agent, 1)
    go, start = os.pipe()

    def save(report):
        os.read(go, 1)
        try:
            save_stamped(CheckpointFolder(place, RETENTION), agent)
        except CheckpointError as error:
            if action != 'signal=KILL' and action[6:] not in str(error):
                raise
            return
        report(2)

    child, pipe = in_child(save)
    log = place.with_suffix('.log')
    tracer = subprocess.Popen(
        ['strace', '-qq', '-o', log, '-e', f'trace={call}', '-e',
         f'inject={call}:{action}:when={number}', '-p', str(child)])
    deadline = time.monotonic() + 20.0
    while not re.search(r'TracerPid:\s*[1-9]', Path(f'/proc/{child}/status').read_text()):
        if time.monotonic() > deadline or tracer.poll() is not None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise RuntimeError('strace cannot attach here')
        time.sleep(0.01)
    os.write(start, b'.')
    _, status = os.waitpid(child, 0)
    tracer.wait(20.0)
    os.close(go)
    os.close(start)
    injected = bool(re.search(r'INJECTED|killed by SIGKILL', log.read_text()))
    return injected, status, reports(pipe)[0] == 2


def full_disk(folder):
    """Save into a tmpfs that is nearly full until it is, and after room is made."""
    place = folder / 'small'
    place.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', place],
                             capture_output=True, text=True)
    if mounted.returncode:
        return f'skipped: {mounted.stderr.strip()}'
    try:
        agent = flat_agent()
        learn(agent, 1)
        save_stamped(small_folder(place), agent)
        size = next(place.glob('*.pth')).stat().st_size
        ballast = place / 'ballast'
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_bsize
        refused = 0
        for room in range(0, size + 4096, 4096):
            ballast.write_bytes(bytes(max(0, free - room)))
            learn(agent, 1)
            try:
                save_stamped(small_folder(place), agent)
                assert load_stamped(place) == agent.total_it
            except CheckpointError as error:
                assert 'ENOSPC' in str(error), error
                refused += 1
                load_stamped(place)
        ballast.unlink()
        save_stamped(small_folder(place), agent)
        assert load_stamped(place) == agent.total_it
        return {'refused': refused, 'file_bytes': size}
    finally:
        subprocess.run(['umount', place], check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=300, help='rounds of random kills')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='where to work; a temporary one otherwise')
    parser.add_argument('--no-strace', action='store_true', help='leave the rounds by strace out')
    parser.add_argument('--strace-most', type=int, default=12, help='calls of a kind to fail')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        work, start = Path(work), time.perf_counter()
        (work / 'kills').mkdir()
        (work / 'calls').mkdir()
        (work / 'strace').mkdir()
        result = {'benchmark': 'checkpoint_crash',
                  'kills': kill_loop(work / 'kills', arguments.kills, arguments.seed),
                  'killed_at_each_call': kill_at_each_call(work / 'calls'),
                  'full_disk': full_disk(work),
                  'strace': 'left out'}
        if not arguments.no_strace:
            try:
                result['strace'] = strace_rounds(work / 'strace', arguments.strace_most)
            except RuntimeError as error:
                result['strace'] = f'skipped: {error}'
        result['seconds'] = round(time.perf_counter() - start, 1)
    sys.stdout.write(json.dumps(result) + '\n')


if __name__ == '__main__':
    main()
