# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""compiled: numba with a cache where a disk allows one."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import numba
import pytest
from town_support import ROOT

from av_td3_ros import jit

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from av_td3_ros.simulation.contact import boxes_overlap
import numpy as np
assert boxes_overlap(0, 0, 0, 4, 2, 1, 1, 0.5, 4, 2, np.zeros(3))
"""


def test_without_any_place_for_a_cache(monkeypatch):
    real, asked = numba.njit, []

    def nowhere(*arguments, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'x.py'")
        return real(*arguments, **options)
    monkeypatch.setattr(numba, 'njit', nowhere)
    assert jit.compiled('int64(int64)')(lambda x: x + 1)(3) == 4
    assert asked[:2] == [True, False]


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError('something else')
    monkeypatch.setattr(numba, 'njit', broken)
    with pytest.raises(RuntimeError, match='something else'):
        jit.compiled('int64(int64)')(lambda x: x)


@pytest.mark.timeout(300)
def test_cache_goes_where_numba_is_told(tmp_path):
    # The package copied elsewhere, with a cache folder set: nothing is written beside it.
    copy = tmp_path / 'installed'
    shutil.copytree(ROOT / 'av_td3_ros', copy / 'av_td3_ros',
                    ignore=shutil.ignore_patterns('__pycache__'))
    cache = tmp_path / 'cache'
    subprocess.run([sys.executable, '-B', '-c', _PROGRAM, str(copy)], check=True, timeout=280,
                   cwd=tmp_path, env={**os.environ, 'NUMBA_CACHE_DIR': str(cache)})
    assert list(Path(cache).rglob('*.nbi'))
    assert not list(copy.rglob('*.nb*'))
