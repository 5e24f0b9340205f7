# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders of runs with made-up curves, as train leaves them."""

import numpy as np
import yaml

from av_td3_ros.learning.telemetry.event_file import EventFile

EVERY = 1000


def settings_of(seed, **changes):
    """Return settings of a run; ``changes`` are sections to be added to."""
    settings = {'version': '0.1.0', 'algorithm': {'seed': seed, 'n_step': 3, 'discount': 0.98},
                'networks': {'actor': {'hidden_layers': [256, 256]}}}
    for section, values in changes.items():
        settings[section] = {**settings.get(section, {}), **values}
    return settings


def put_settings(folder, settings):
    """Write a run's settings.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'settings.yaml').write_text(yaml.safe_dump(settings, sort_keys=False))


def put_evaluations(file, steps, completion, rate=50.0):
    """Write evaluations after so many transitions; ``completion(step)`` is the figure."""
    for step in steps:
        done = completion(step)
        file.write(step, {
            'evaluation/completion': done, 'evaluation/success': done / 2,
            'evaluation/score': 1.5 * done, 'progress/seconds': step / rate,
            'progress/cpu_seconds': 0.5 * step / rate,
            'progress/updates': step // 2})


def make_run(folder, seed=0, until=10_000, level=1.0, rate=50.0, **changes):
    """Write a run whose completion goes towards ``level``, and whose returns are noisy."""
    put_settings(folder, settings_of(seed, **changes))
    rng = np.random.default_rng(seed)
    file = EventFile(folder / 'tensorboard', 1)
    slowness = 2000.0 + 1500.0 * rng.random()
    for step in range(100, until + 1, 100):
        file.write(step, {'episode/return': 40.0 * level * (1 - np.exp(-step / slowness))
                          - 10.0 + 5.0 * float(rng.standard_normal())})
        if step % EVERY == 0:
            put_evaluations(file, [step], lambda at: level * (1 - np.exp(-at / slowness)), rate)
    file.close()
    return folder
