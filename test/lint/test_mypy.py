# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Type annotations hold, as far as pyproject.toml asks."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('mypy')

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.linter
@pytest.mark.timeout(300)
def test_mypy(tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'mypy', '--config-file', str(ROOT / 'pyproject.toml'),
         '--cache-dir', str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, 'MYPY_FORCE_COLOR': '0'})
    assert result.returncode == 0, result.stdout + result.stderr
