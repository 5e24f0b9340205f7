# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the benchmarks share: the machine in words, and sides that are measured in turn.

Two sides that are timed one after the other are compared with two states of the machine. Here each
round times all of them, every other round in the opposite order, and what is reported is the
median over the rounds of the ratio within a round. :class:`Apart` keeps sides from sharing what a
process has one of: its allocator, with the settings and the habits that it was given.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from multiprocessing.connection import Connection
import os
from pathlib import Path
import platform
import signal
import statistics
import sys
import time
from typing import Any, Callable, Mapping, Sequence

FLAGS = ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16')
NO_SB3 = 'not measured: stable-baselines3 cannot be imported (pip install stable-baselines3)'


def machine() -> dict[str, Any]:
    """Return the processor, its cores and instructions, the versions, threads, and load."""
    info = _processor()
    flags = info.get('flags', '').split()
    described = {
        'processor': info.get('model name', platform.processor() or platform.machine()),
        'family_model': [int(info.get(name, -1)) for name in ('cpu family', 'model')],
        'cores': len(os.sched_getaffinity(0)), 'flags': [name for name in FLAGS if name in flags],
        'load': [round(value, 1) for value in os.getloadavg()], 'nice': os.nice(0),
        'python': platform.python_version(), 'kernel': platform.release()}
    try:
        import torch
    except ImportError:
        return described
    return {**described, 'torch': torch.__version__, 'threads': torch.get_num_threads()}


def _processor() -> dict[str, str]:
    """Return what Linux says of the first processor."""
    try:
        first = Path('/proc/cpuinfo').read_text(encoding='utf-8').split('\n\n')[0]
    except OSError:
        return {}
    pairs = (line.partition(':') for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def seconds(call: Callable[[], Any] | Apart) -> float:
    """Return what a call takes; what it returns is let go of after that."""
    if isinstance(call, Apart):
        return call.seconds()
    begun = time.perf_counter()
    result = call()
    taken = time.perf_counter() - begun
    del result
    return taken


class Apart:
    """
    A side in a process of its own, as its users run it.

    There ``make(*arguments)``, a module's own function, returns the call to be timed, or None
    where there can be none; :attr:`there` tells. Beginning is slow, since the process imports
    everything anew. To be closed: ``with contextlib.closing(...)``.
    """

    def __init__(self, make: Callable[..., Callable[[], Any] | None], *arguments: Any) -> None:
        context = multiprocessing.get_context('spawn')
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments),
                                        daemon=True)
        self._process.start()
        theirs.close()
        self.there: bool = self._receive()

    def seconds(self) -> float:
        """Return what a call takes there."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(None)
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except (ConnectionResetError, EOFError):
            sys.exit('a side of the benchmark ended by itself; what it printed says why')

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5.0)
        self._process.terminate()


def _serve(pipe: Connection, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
    call = make(*arguments)
    pipe.send(call is not None)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(seconds(call))


def in_turn(sides: Mapping[str, Callable[[], Any] | Apart], rounds: int, *, warmup: int = 1
            ) -> dict[str, list[float]]:
    """
    Call every side once a round, in turn, and return the seconds of each call.

    The first ``warmup`` rounds are not counted; every other round goes the other way round.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warmup, rounds):
        for name in list(sides)[::1 if number % 2 else -1]:
            taken = seconds(sides[name])
            if number >= 0:
                times[name].append(taken)
    return times


def times_faster(times: Mapping[str, Sequence[float]], name: str, than: str) -> dict[str, float]:
    """Return the median over the rounds of how often ``name`` is done in the time of ``than``."""
    ratios = sorted(slow / fast for slow, fast in zip(times[than], times[name]))
    return {'median': round(statistics.median(ratios), 3), 'least': round(ratios[0], 3),
            'most': round(ratios[-1], 3)}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the 50th and 99th percentile and the largest, in milliseconds."""
    ordered = sorted(1e3 * value for value in seconds)
    return {'p50_ms': round(statistics.median(ordered), 3),
            'p99_ms': round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
            'max_ms': round(ordered[-1], 3)}


def stop_when_told() -> None:
    """Have SIGTERM end the program as Ctrl-C does, so that nodes that it started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def report(benchmark: str, figures: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps({'benchmark': benchmark, **figures}))
