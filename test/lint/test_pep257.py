# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Docstrings keep PEP 257, as ament checks it."""

import logging
from pathlib import Path

import pytest

ament_pep257 = pytest.importorskip('ament_pep257.main')

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ('av_td3_ros', 'benchmarks', 'launch', 'scripts', 'setup.py')


@pytest.mark.linter
def test_pep257(capsys, caplog):
    caplog.set_level(logging.WARNING, logger='pydocstyle.utils')
    status = ament_pep257.main(argv=[str(ROOT / name) for name in CHECKED])
    output = capsys.readouterr()
    found = [line for line in (output.out + output.err).splitlines()
             if not line.startswith('checking')]
    assert status == 0, '\n'.join(found)
