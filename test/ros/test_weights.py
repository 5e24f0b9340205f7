# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights and progress on the wire."""

import array

import pytest

from av_td3_ros.ros import weights


def test_there_and_back_without_a_copy():
    data = weights.encode(1 << 60, 12345, b'policy' * 100)
    found = weights.decode(data)
    assert (found.version, found.iteration) == (1 << 60, 12345)
    assert bytes(found.policy) == b'policy' * 100
    assert isinstance(data, array.array) and found.policy.obj is data


@pytest.mark.parametrize('data, said', [
    (b'', 'too short'), (b'AVW1' + bytes(20), 'too short'), (bytes(100), 'start with')])
def test_other_bytes_are_refused(data, said):
    with pytest.raises(weights.WeightsError, match=said):
        weights.decode(data)


def test_progress_there_and_back():
    progress = weights.Progress(1 << 61, 2, 3, 4, 5, 1)
    assert weights.decode_progress(weights.encode_progress(progress)) == progress
    for bad in ([], [1] * 5, [1] * 7):
        with pytest.raises(weights.WeightsError, match='6 numbers'):
            weights.decode_progress(bad)


def test_versions_rise_whatever_the_clock_does(monkeypatch):
    now = iter([5_000_000, 9_000_000, 9_000_000, 1_000_000, 20_000_000])
    monkeypatch.setattr(weights.time, 'time_ns', lambda: next(now))
    counter = weights.VersionCounter()
    assert [counter.advance() for _ in range(5)] == [5000, 9000, 9001, 9002, 20000]
    assert counter.value == 20000


def test_versions_go_on_from_what_a_vehicle_tells(monkeypatch):
    monkeypatch.setattr(weights.time, 'time_ns', lambda: 5_000_000)
    counter = weights.VersionCounter()
    assert counter.advance() == 5000
    assert not counter.heed(0) and not counter.heed(5000) and counter.value == 5000
    assert counter.heed(90_000) and counter.advance() == 90_001
    assert not counter.heed(90_001)
    # What no clock can have shown would leave no room above it.
    for absurd in (1 << 56, (1 << 62) - 1, (1 << 64) - 1):
        assert not counter.heed(absurd)
    assert counter.advance() == 90_002


def test_an_answer_names_the_version_of_the_loaded_weights():
    message = weights.tell_version('loaded /a/latest at iteration 10 (weights 5)', 17 << 50)
    assert message.startswith('loaded /a/latest at iteration 10')
    assert weights.version_in(message) == 17 << 50
    assert weights.version_in(weights.tell_version('loaded x at iteration 3', 99)) == 99
    assert weights.version_in('loaded by somebody else') == 0
