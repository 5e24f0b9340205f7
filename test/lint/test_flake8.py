# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The code keeps ament's style."""

from pathlib import Path

import pytest

ament_flake8 = pytest.importorskip('ament_flake8.main')

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ('av_td3_ros', 'benchmarks', 'launch', 'scripts', 'setup.py', 'test')


@pytest.mark.linter
def test_flake8():
    status, errors = ament_flake8.main_with_errors(argv=[
        '--config', str(Path(__file__).with_name('flake8.ini')),
        *(str(ROOT / name) for name in CHECKED if (ROOT / name).exists())])
    assert status == 0, f'{len(errors)} style errors:\n' + '\n'.join(errors)
