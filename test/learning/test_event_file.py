# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Event files, read back by TensorBoard itself."""

import os
import sys

from events_support import read
import pytest

from av_td3_ros.learning.telemetry.event_file import EventFile, EventFileError


def test_scalars_are_read_back(tmp_path):
    file = EventFile(tmp_path / 'new' / 'folder')
    file.write(10, {'a/b': 1.5, 'c': -2})
    file.write(20, {'a/b': 2.5, 'c': float('nan')})
    file.close()
    file.close()
    found = read(tmp_path / 'new' / 'folder')
    assert found['a/b'] == [(10, 1.5), (20, 2.5)]
    assert found['c'][0] == (10, -2.0) and found['c'][1][1] != found['c'][1][1]


def test_a_resumed_run_has_no_step_twice(tmp_path):
    first = EventFile(tmp_path, 1)
    for step in (10, 20, 30):
        first.write(step, {'a': step})
    first.flush()       # killed at 30, went back to a checkpoint at 20
    second = EventFile(tmp_path, 21)
    for step in (30, 40):
        second.write(step, {'a': -step})
    second.flush()
    assert read(tmp_path)['a'] == [(10, 10.0), (20, 20.0), (30, -30.0), (40, -40.0)]
    second.rewind(11)   # a checkpoint loaded by service
    second.write(20, {'a': 7.0})
    second.close()
    assert read(tmp_path)['a'] == [(10, 10.0), (20, 7.0)]


def test_files_are_read_in_the_order_in_which_they_were_made(tmp_path, monkeypatch):
    """Also within a second, and where the clock went back in between."""
    for number, (now, process) in enumerate([(2e9 + 0.9, 99), (2e9 + 0.9, 5), (1e9, 7)]):
        monkeypatch.setattr('av_td3_ros.learning.telemetry.event_file.time.time', lambda: now)
        monkeypatch.setattr(os, 'getpid', lambda: process)
        names = {path.name for path in tmp_path.iterdir()}
        file = EventFile(tmp_path, 1)
        file.write(5, {'a': number})
        file.close()
        assert all(file.path.name > name for name in names)
    assert read(tmp_path)['a'] == [(5, 2.0)]


def test_a_record_torn_by_a_kill_costs_no_more_than_itself(tmp_path):
    first = EventFile(tmp_path, 1)
    for step in (10, 20):
        first.write(step, {'a': step})
    first.flush()
    os.truncate(first.path, first.path.stat().st_size - 5)
    second = EventFile(tmp_path, 11)
    second.write(20, {'a': 21.0})
    second.close()
    assert read(tmp_path)['a'] == [(10, 10.0), (20, 21.0)]


def test_without_tensorboard_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorboard.compat.proto', None)
    with pytest.raises(EventFileError, match='pip install tensorboard'):
        EventFile(tmp_path)
