# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time the embedded town's camera and print one line of JSON.

Milliseconds of processor time a frame, on one thread, with 20 other cars close by, over poses
spread through a town; beside them the time that writing as many bytes takes, which no renderer
can go below. Usage: ``python benchmarks/camera.py [--town FILE] [--cars 20] [--frames 200]``.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from av_td3_ros.simulation.camera import Boxes, Camera, CameraSettings
from av_td3_ros.simulation.town import default_town, Town

SIZES = ((800, 600), (256, 192), (256, 144), (160, 120))


def traffic(town: Town, index: int, count: int) -> Boxes:
    """Return the ``count`` cars on the spawn points nearest to one of them."""
    places = np.array(town.spawn_points)
    distance = np.hypot(*(places[:, :2] - places[index, :2]).T)
    near = places[[i for i in np.argsort(distance, kind='stable') if distance[i] > 7.0][:count]]
    sizes = [np.full(len(near), value) for value in (4.5, 1.85, 1.5)]
    return Boxes(*near.T, *sizes, np.arange(len(near)))


def measure(town: Town, size: tuple[int, int], cars: int, frames: int) -> dict[str, float]:
    """Return figures in ms of frames of one size."""
    camera = Camera(town, CameraSettings(width=size[0], height=size[1]), seed=1)
    out = np.empty((size[1], size[0], 4), np.uint8)
    count = len(town.spawn_points)
    times = []
    for k in range(frames):
        index = (k * 37) % count
        others = traffic(town, index, cars)
        camera.render(town.spawn_points[index], others, out)
        best = []
        for _ in range(3):
            start = time.thread_time()
            camera.render(town.spawn_points[index], others, out)
            best.append(time.thread_time() - start)
        times.append(min(best))
    floor = []
    for value in range(50):
        start = time.thread_time()
        out.fill(value)
        floor.append(time.thread_time() - start)
    p50, p90, largest = np.quantile(times, [0.5, 0.9, 1.0]) * 1e3
    return {'p50': round(p50, 3), 'p90': round(p90, 3), 'max': round(largest, 3),
            'write_only': round(float(np.median(floor)) * 1e3, 3)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--town', default=None, help='OpenDRIVE file (default: the shipped town)')
    parser.add_argument('--cars', type=int, default=20)
    parser.add_argument('--frames', type=int, default=200)
    arguments = parser.parse_args()
    town = Town.load(arguments.town or default_town())
    camera = Camera(town)
    start = time.thread_time()
    for seed in range(20):
        camera.reseed(seed)
    result = {'town': town.name, 'cars': arguments.cars, 'frames': arguments.frames,
              'reseed_ms': round((time.thread_time() - start) * 50.0, 3)}
    result['ms'] = {f'{width}x{height}': measure(town, (width, height), arguments.cars,
                                                 arguments.frames) for width, height in SIZES}
    print(json.dumps(result))


if __name__ == '__main__':
    main()
