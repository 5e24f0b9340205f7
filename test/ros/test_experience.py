# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Experience on the wire: nothing is changed, lost or doubled unnoticed."""

import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from av_td3_ros.driving.driver import Kind, Transition
from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.reward import RewardTerms, TERMS
from av_td3_ros.ros.experience import (decode, encode, Experience, ExperienceError, HEADER,
                                       MESSAGE_SIZE, StreamLedger)


def item(stream=9, sequence=0, kind=Kind.STEP, ending=None, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        'kind': kind, 'episode': 4, 'stamp': 123_456_789_012,
        'frame': rng.integers(0, 256, (84, 84), dtype=np.uint8),
        'vector': rng.standard_normal(23).astype(np.float32),
        'action': rng.uniform(-1.0, 1.0, 2).astype(np.float32), 'reward': 0.75,
        'terms': RewardTerms(*(0.5 + number for number in range(len(TERMS)))), 'ending': ending}
    return Experience(stream, sequence, 1 << 50, Transition(**{**values, **changes}))


@pytest.mark.parametrize('kind', Kind)
@pytest.mark.parametrize('ending', [None, *Ending])
def test_there_and_back(kind, ending):
    sent = item(kind=kind, ending=ending, stream=(1 << 62) - 1, sequence=1 << 40)
    data = encode(sent)
    assert len(data) == MESSAGE_SIZE
    for carried in (data, bytes(data)):
        got = decode(carried)
        for field in ('stream', 'sequence', 'weights'):
            assert getattr(got, field) == getattr(sent, field)
        for name, value in sent.transition._asdict().items():
            found = getattr(got.transition, name)
            if isinstance(value, np.ndarray):
                assert found.dtype == value.dtype and np.array_equal(found, value)
            else:
                assert found == value, name


def test_what_is_decoded_does_not_share_the_messages_memory():
    data = encode(item())
    got = decode(data)
    frame, vector = got.transition.frame.copy(), got.transition.vector.copy()
    for index in range(len(data)):
        data[index] = 0
    assert np.array_equal(got.transition.frame, frame)
    assert np.array_equal(got.transition.vector, vector)


def test_frames_and_vectors_of_other_layouts_are_sent_right():
    frame = np.asfortranarray(np.arange(84 * 84).reshape(84, 84) % 251).astype(np.uint8)
    got = decode(encode(item(frame=frame, vector=np.arange(46.0)[::2])))
    assert np.array_equal(got.transition.frame, frame)
    assert np.array_equal(got.transition.vector, np.arange(0.0, 46.0, 2.0))


@pytest.mark.parametrize('bad, said', [
    (b'', '0'), (b'x' * (MESSAGE_SIZE - 1), str(MESSAGE_SIZE)),
    (b'x' * MESSAGE_SIZE, 'starts with')])
def test_other_bytes_are_refused(bad, said):
    with pytest.raises(ExperienceError, match=said):
        decode(bad)


@pytest.mark.parametrize('at, value', [(4, 3), (4, 255), (5, 6), (5, 200)])
def test_unknown_kinds_and_endings_are_refused(at, value):
    data = encode(item())
    data[at] = value
    with pytest.raises(ExperienceError, match='not known'):
        decode(data)


@pytest.mark.parametrize('changes', [
    {'reward': math.nan}, {'reward': math.inf}, {'action': np.array([0.0, math.nan])},
    {'terms': RewardTerms(comfort=math.inf)}, {'vector': np.full(23, math.nan, np.float32)}])
def test_values_that_are_not_finite_are_refused(changes):
    with pytest.raises(ExperienceError, match='not finite'):
        decode(encode(item(**changes)))


@settings(max_examples=200)
@given(st.binary(min_size=HEADER.size, max_size=HEADER.size))
def test_no_header_makes_it_crash(header):
    try:
        decode(b'AVX1' + header[4:] + bytes(MESSAGE_SIZE - HEADER.size))
    except ExperienceError:
        pass


# The ledger

def receive(ledger, *messages):
    return [ledger.receive(message) for message in messages]


def test_a_whole_stream_is_accepted():
    ledger = StreamLedger()
    receipts = receive(ledger, item(sequence=0, kind=Kind.BEGIN), item(sequence=1),
                       item(sequence=2, ending=Ending.TIME), item(sequence=3, kind=Kind.BEGIN),
                       item(sequence=4, kind=Kind.ABANDON))
    assert receipts == [(True, 0)] * 5
    assert (ledger.received, ledger.lost, ledger.doubled, ledger.headless) == (5, 0, 0, 0)


def test_a_trainer_that_starts_later_begins_with_an_episode():
    ledger = StreamLedger()
    assert receive(ledger, item(sequence=500), item(sequence=501, ending=Ending.TIME),
                   item(sequence=502, kind=Kind.BEGIN), item(sequence=503)) == [
        (False, 0), (False, 0), (True, 0), (True, 0)]
    assert ledger.lost == 0 and ledger.headless == 2


def test_a_gap_ends_the_episode():
    ledger = StreamLedger()
    receive(ledger, item(sequence=0, kind=Kind.BEGIN), item(sequence=1))
    assert receive(ledger, item(sequence=4), item(sequence=5),
                   item(sequence=6, kind=Kind.BEGIN)) == [(False, 2), (False, 0), (True, 0)]
    assert ledger.lost == 2


def test_a_lost_beginning_leaves_the_episode_out():
    ledger = StreamLedger()
    receive(ledger, item(sequence=0, kind=Kind.BEGIN), item(sequence=1, ending=Ending.TIME))
    assert receive(ledger, item(sequence=3), item(sequence=4, kind=Kind.ABANDON)) == [
        (False, 1), (False, 0)]


def test_a_step_after_the_end_has_no_episode():
    ledger = StreamLedger()
    assert receive(ledger, item(sequence=0, kind=Kind.BEGIN),
                   item(sequence=1, ending=Ending.COLLISION), item(sequence=2)) == [
        (True, 0), (True, 0), (False, 0)]


def test_what_comes_again_is_left_out():
    ledger = StreamLedger()
    receive(ledger, item(sequence=0, kind=Kind.BEGIN), item(sequence=1))
    assert receive(ledger, item(sequence=1), item(sequence=0, kind=Kind.BEGIN),
                   item(sequence=2)) == [(False, 0), (False, 0), (True, 0)]
    assert ledger.doubled == 2 and ledger.received == 3


def test_streams_do_not_mix():
    ledger = StreamLedger()
    assert receive(ledger, item(1, 0, Kind.BEGIN), item(2, 7, Kind.BEGIN), item(1, 1),
                   item(2, 8), item(2, 9), item(1, 2)) == [(True, 0)] * 6
    assert (ledger.index(1), ledger.index(2), ledger.index(1)) == (0, 1, 0)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from('kkkkkld')), max_size=60),
       st.randoms(use_true_random=False))
def test_every_message_is_accounted_for(events, random):
    """Kept, lost and doubled messages of three streams: the counts are what happened."""
    ledger, sequence = StreamLedger(), {0: 0, 1: 0, 2: 0}
    gap, lost, doubled, accepted, last = dict.fromkeys(range(3), 0), 0, 0, [], {}
    for stream in sequence:
        ledger.receive(item(stream, 0, Kind.BEGIN))
        sequence[stream] = 1
    for stream, what in events:
        if what == 'd':
            if stream in last:
                doubled += 1
                assert ledger.receive(last[stream]) == (False, 0)
            continue
        number = sequence[stream]
        sequence[stream] += 1
        if what == 'l':
            gap[stream] += 1
            continue
        message = item(stream, number, random.choice([Kind.STEP, Kind.BEGIN]))
        receipt = ledger.receive(message)
        assert receipt.lost == gap[stream]
        lost += gap[stream]
        if gap[stream] and message.transition.kind is Kind.STEP:
            assert not receipt.accept
        gap[stream] = 0
        last[stream] = message
        accepted.append(receipt.accept)
    assert (ledger.lost, ledger.doubled) == (lost, doubled)
    assert ledger.received == 3 + len(accepted)
    assert ledger.headless == accepted.count(False)
