#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measures how cost grows, and draws it: updates over batch and encoder, latency, replay memory.

``batch``: updates per second, sampling included, over the batch, and ``encoder``: with each
encoder at batch 64. ``image``: image to command over the picture's size, and ``vehicles``: over
the number of vehicles, each a camera at 20 Hz and a policy node in a ROS domain of their own.
``replay``: resident memory and the time of sampling 256 over the number of transitions.

Prints one line of JSON; progress goes to standard error. ``--plots DIR`` writes a PNG of each
group; ``--draw FILE...`` draws what was printed before, without measuring: of several runs, each
latency from the one in which other programs disturbed it least, the one with the lowest median.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
import json
from pathlib import Path
import statistics
import subprocess
import sys

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT)]

import measuring  # noqa: E402

PARTS = ('batch', 'encoder', 'image', 'vehicles', 'replay')
SIZES = ('160x120', '320x240', '640x480', '800x600', '1280x720', '1920x1080')
ENCODERS = ('nature', 'nature_layernorm', 'resnet18')
PRECISIONS = ('float32', 'bfloat16')


def say(part, key, figures):
    """Say on standard error how far the measurement is, and return the figures."""
    print(f'{part} {key}: {figures}', file=sys.stderr, flush=True)
    return figures


def update_rates(batch, encoder, options):
    """Return updates per second in both precisions."""
    import torch
    import updates
    torch.set_num_threads(options.threads)
    memory = updates.filled(2000, (84, 84), updates.VECTOR, updates.ACTION)
    many = 2 if batch >= 256 or encoder == 'resnet18' else 8
    sides = {precision: updates.ours(precision, batch, many, memory, encoder=encoder,
                                     state_dim=updates.FEATURES + updates.VECTOR,
                                     action_dim=updates.ACTION) for precision in PRECISIONS}
    times = measuring.in_turn(sides, options.rounds)
    return {name: round(many / statistics.median(values), 2) for name, values in times.items()}


def latencies(size, domain, images):
    """Return the seconds from image to command for pictures of a size."""
    import latency
    width, height = size.split('x')
    options = latency.parse_arguments(['--width', width, '--height', height,
                                       '--images', str(images)])
    found = latency.measure('ours', options, Path(), domain)
    if 'failed' in found:
        print(found['failed'], file=sys.stderr)
    return found


def over_image(size, options):
    """Return the percentiles of the latency for one size."""
    found = latencies(size, None, options.images)
    return {**(measuring.percentiles(found['latencies']) if found['latencies'] else {}),
            'lost': found['lost'], 'failed': int('failed' in found)}


def over_vehicles(count, options):
    """Return the percentiles over so many vehicles at once."""
    from av_td3_ros.demo.environment import free_domain
    domains = [free_domain() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(lambda domain: latencies('800x600', domain, options.images),
                              domains))
    every = [value for one in found for value in one['latencies']]
    return {**(measuring.percentiles(every) if every else {}),
            'lost': sum(one['lost'] for one in found),
            'failed': sum('failed' in one for one in found)}


def resident():
    """Return this process's resident memory, MB."""
    for line in Path('/proc/self/status').read_text(encoding='utf-8').splitlines():
        if line.startswith('VmRSS'):
            return int(line.split()[1]) / 1024
    return 0.0


def weigh(rows, threads):
    """Print what a replay memory of so many transitions takes; in a process of its own."""
    import replay
    import torch
    torch.set_num_threads(threads)
    small = replay.ReplayMemory(300)
    replay.grow(small, 300)
    small.sample(256)
    before = resident()
    memory = replay.ReplayMemory(rows)
    replay.grow(memory, rows)
    taken = resident() - before
    for _ in range(20):
        memory.sample(256)
    times = [measuring.seconds(lambda: memory.sample(256)) for _ in range(300)]
    print(json.dumps({'resident_mb': round(taken, 1), 'sample_256': measuring.percentiles(times),
                      'bytes_per_transition': replay.bytes_of(memory)}))


def over_rows(rows, options):
    """Return what a replay memory takes, as a child process finds."""
    done = subprocess.run(
        [sys.executable, __file__, '--weigh', str(rows), '--threads', str(options.threads)],
        stdout=subprocess.PIPE, check=True, timeout=300)
    return json.loads(done.stdout)


def measure(options):
    """Return the figures of every part that was asked for."""
    calls = {
        'batch': (options.batches, lambda batch: update_rates(batch, 'nature', options)),
        'encoder': (options.encoders, lambda name: update_rates(64, name, options)),
        'image': (options.sizes, lambda size: over_image(size, options)),
        'vehicles': (options.vehicles, lambda count: over_vehicles(count, options)),
        'replay': (options.rows, lambda rows: over_rows(rows, options))}
    return {part: {str(key): say(part, key, calls[part][1](key)) for key in calls[part][0]}
            for part in options.parts}


# Drawing

def read(paths):
    """Return the figures of one run or, of several, the last ones and the best latencies."""
    found = {}
    for path in paths:
        for part, figures in json.loads(path.read_text(encoding='utf-8')).items():
            if part not in ('image', 'vehicles'):
                found[part] = figures
                continue
            kept = found.setdefault(part, {})
            for key, one in figures.items():
                best = kept.get(key, {}).get('p50_ms', 1e9)
                if not one.get('failed') and 'p50_ms' in one and one['p50_ms'] < best:
                    kept[key] = one
    return found


def draw(found, folder):
    """Write the pictures of what was measured, and return their paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    groups = {'growth_updates': {'batch': draw_batch, 'encoder': draw_encoder},
              'growth_latency': {'image': draw_image, 'vehicles': draw_vehicles},
              'growth_replay': {'replay': draw_memory, 'replay ': draw_sampling}}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, panels in groups.items():
        there = [(panel, found[part.strip()]) for part, panel in panels.items()
                 if part.strip() in found]
        if not there:
            continue
        figure = Figure(figsize=(4.8 * len(there), 3.6))
        FigureCanvasAgg(figure)
        for ax, (panel, figures) in zip(figure.subplots(1, len(there), squeeze=False)[0], there):
            panel(ax, figures)
            ax.grid(True, alpha=0.3, which='both')
            if ax.get_legend_handles_labels()[0]:
                ax.legend(frameon=False, fontsize='small')
        figure.tight_layout()
        written.append(folder / f'{name}.png')
        figure.savefig(written[-1], dpi=100)
    return written


def ticks(ax, values, labels=None):
    """Mark a logarithmic axis at the values that were measured, and nowhere else."""
    ax.set_xticks(values, labels or [f'{value:g}' for value in values], fontsize='small')
    ax.set_xticks([], minor=True)


def draw_batch(ax, found):
    """Draw what the learner takes in over the batch."""
    batches = [int(batch) for batch in found]
    for precision in PRECISIONS:
        rates = [one[precision] for one in found.values()]
        ax.plot(batches, [batch * rate for batch, rate in zip(batches, rates)], marker='o',
                label=precision)
        for batch, rate in zip(batches, rates):
            ax.annotate(f'{rate:.3g}/s', (batch, batch * rate), xytext=(0, 5), fontsize='x-small',
                        textcoords='offset points', ha='center')
    ax.set_xscale('log', base=2)
    ticks(ax, batches)
    ax.margins(y=0.12)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel('batch')
    ax.set_ylabel('samples/s (updates/s beside the dots)')


def draw_encoder(ax, found):
    """Draw updates per second with each encoder."""
    for number, precision in enumerate(PRECISIONS):
        bars = ax.bar([place + 0.4 * number for place in range(len(found))],
                      [one[precision] for one in found.values()], 0.38, label=precision)
        ax.bar_label(bars, fmt='%.3g', fontsize='x-small')
    ax.set_xticks([place + 0.2 for place in range(len(found))],
                  [name.replace('_', '\n') for name in found], fontsize='small')
    ax.set_ylabel('updates/s at batch 64')


def draw_image(ax, found):
    """Draw the latency over the picture's size."""
    sizes = {name: 4e-6 * int(name.split('x')[0]) * int(name.split('x')[1]) for name in found}
    draw_percentiles(ax, list(sizes.values()), found)
    ax.set_xlabel('picture, MB of bgra8')
    for name, one in found.items():
        if 'p50_ms' in one and sizes[name] > 1.5:
            ax.annotate(name, (sizes[name], one['p50_ms']), xytext=(6, -11), fontsize='x-small',
                        textcoords='offset points', ha='right')


def draw_vehicles(ax, found):
    """Draw the latency over the number of vehicles."""
    draw_percentiles(ax, [int(count) for count in found], found)
    ax.set_xticks([int(count) for count in found])
    ax.set_xlabel('vehicles with 800x600 at 20 Hz each')


def draw_percentiles(ax, places, found):
    """Draw the median and the 99th percentile."""
    for name in ('p50', 'p99'):
        points = [(place, one[f'{name}_ms']) for place, one in zip(places, found.values())
                  if f'{name}_ms' in one]
        ax.plot(*zip(*points), marker='o', label=name)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel('image to command, ms')


def draw_memory(ax, found):
    """Draw the resident memory of the replay memory."""
    rows = [int(count) for count in found]
    ax.plot(rows, [one['resident_mb'] for one in found.values()], marker='o', label='resident')
    ax.plot(rows, [count * one['bytes_per_transition'] / 2**20
                   for count, one in zip(rows, found.values())], linestyle='--',
            label='its arrays')
    ax.set_xscale('log')
    ax.set_yscale('log')
    ax.set_xlabel('transitions')
    ax.set_ylabel('MB')


def draw_sampling(ax, found):
    """Draw the median time of sampling; the rest is the machine's."""
    ax.plot([int(count) for count in found],
            [one['sample_256']['p50_ms'] for one in found.values()], marker='o')
    ax.set_xscale('log')
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel('transitions')
    ax.set_ylabel('sampling 256, median ms')


def parse_arguments(arguments=None):
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--batches', type=int, nargs='+',
                        default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument('--encoders', nargs='+', default=list(ENCODERS))
    parser.add_argument('--sizes', nargs='+', default=list(SIZES))
    parser.add_argument('--vehicles', type=int, nargs='+', default=[1, 2, 3, 4, 5, 6])
    parser.add_argument('--rows', type=int, nargs='+',
                        default=[300, 1000, 3000, 10_000, 30_000, 100_000])
    parser.add_argument('--rounds', type=int, default=7, help='of updates')
    parser.add_argument('--images', type=int, default=150, help='of each latency')
    parser.add_argument('--threads', type=int, default=2, help='of torch')
    parser.add_argument('--plots', type=Path, help='the folder to draw into')
    parser.add_argument('--draw', type=Path, nargs='+', help='draw what these files hold')
    parser.add_argument('--weigh', type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure or read, draw, and print one line of JSON."""
    measuring.stop_when_told()
    options = parse_arguments(arguments)
    if options.weigh:
        weigh(options.weigh, options.threads)
        return
    if options.draw:
        found = read(options.draw)
    else:
        found = {'machine': measuring.machine(), 'threads': options.threads, **measure(options)}
    if options.plots:
        for path in draw(found, options.plots):
            print(path, file=sys.stderr)
    if not options.draw:
        measuring.report('growth', found)


if __name__ == '__main__':
    main()
