# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and odometry in every order: each picture is answered once, never with another tick."""

from hypothesis import given, settings, strategies as st

from av_td3_ros.driving.pairing import REMEMBERED, StampPairer


def answers(pairer, events):
    """Feed ('i' or 's', stamp) events; return (stamp, state) of the answers in their order."""
    found = []
    for kind, stamp in events:
        result = pairer.add_image(stamp, f'i{stamp}') if kind == 'i' \
            else pairer.add_state(stamp, f's{stamp}')
        for answer in result:
            assert answer.image == f'i{answer.stamp}'
            found.append((answer.stamp, answer.state))
    return found


def test_either_may_come_first():
    assert answers(StampPairer(), [('i', 1), ('s', 1), ('s', 2), ('i', 2)]) == [
        (1, 's1'), (2, 's2')]


def test_a_picture_whose_odometry_is_missing_is_answered_alone_before_the_next():
    assert answers(StampPairer(), [('i', 1), ('i', 2), ('s', 2)]) == [(1, None), (2, 's2')]


def test_late_odometry_is_not_used():
    pairer = StampPairer()
    assert answers(pairer, [('i', 1)]) == []
    assert [(a.stamp, a.state) for a in pairer.give_up(1)] == [(1, None)]
    assert answers(pairer, [('s', 1), ('i', 2), ('s', 2)]) == [(2, 's2')]
    assert pairer.unpaired == 1


def test_a_late_picture_is_answered_alone():
    pairer = StampPairer()
    assert answers(pairer, [('s', 5), ('i', 5), ('s', 4), ('i', 4)]) == [(5, 's5'), (4, None)]
    assert pairer.late == 1


def test_a_repeated_picture_is_not_answered_again():
    pairer = StampPairer()
    assert answers(pairer, [('i', 1), ('i', 1), ('s', 1), ('i', 1), ('s', 1)]) == [(1, 's1')]
    assert pairer.repeated == 2


def test_a_picture_older_than_the_newest_is_not_answered_again_either():
    pairer = StampPairer()
    events = [(kind, n) for n in (1, 2, 3) for kind in 'is'] + [('i', 1), ('i', 2), ('i', 3)]
    assert answers(pairer, events) == [(1, 's1'), (2, 's2'), (3, 's3')]
    assert (pairer.repeated, pairer.late) == (3, 0)
    # One that came too late is answered once as well, and what is remembered does not grow.
    assert answers(pairer, [('i', 5), ('s', 5), ('i', 4), ('i', 4)]) == [(5, 's5'), (4, None)]
    answers(pairer, [(kind, n) for n in range(10, 1000) for kind in 'is'])
    assert len(pairer._answered) == REMEMBERED
    pairer.clear()
    assert answers(pairer, [('i', 5), ('s', 5)]) == [(5, 's5')]


def test_odometry_runs_ahead():
    events = [('s', n) for n in range(1, 6)] + [('i', n) for n in range(1, 6)]
    assert answers(StampPairer(), events) == [(n, f's{n}') for n in range(1, 6)]


def test_neither_store_grows():
    pairer = StampPairer(keep=8)
    found = answers(pairer, [('i', n) for n in range(1000)])
    assert [stamp for stamp, _ in found] == list(range(992)) and pairer.waiting == 999
    other = StampPairer(keep=8)
    assert answers(other, [('s', n) for n in range(1000)]) == []
    assert len(other._states) == 8 and other.waiting is None


def test_time_that_was_set_back_is_told_from_a_late_message():
    pairer = StampPairer()
    assert not pairer.went_back(0)
    answers(pairer, [('s', 2_000_000_000), ('i', 2_000_000_000)])
    assert not pairer.went_back(1_600_000_000) and pairer.went_back(1_400_000_000)
    pairer.clear()
    assert not pairer.went_back(0) and pairer.waiting is None
    assert answers(pairer, [('i', 5), ('s', 5)]) == [(5, 's5')]


@settings(max_examples=300)
@given(st.integers(1, 14).flatmap(lambda count: st.tuples(
    st.just(count), st.sets(st.integers(0, count - 1)), st.sets(st.integers(0, count - 1)),
    st.permutations([(kind, n) for kind in 'is' for n in range(count)]),
    st.sets(st.integers(0, 2 * count - 1)))))
def test_whatever_comes_each_picture_is_answered_once_and_ticks_never_mix(case):
    count, lost_images, lost_states, order, gives_up = case
    pairer, found, sent = StampPairer(), [], []
    for number, (kind, stamp) in enumerate(order):
        if stamp in (lost_images if kind == 'i' else lost_states):
            continue
        found += answers(pairer, [(kind, stamp)])
        if kind == 'i':
            sent.append(stamp)
        if number in gives_up and pairer.waiting is not None:
            found += [(a.stamp, a.state) for a in pairer.give_up(pairer.waiting)]
    if pairer.waiting is not None:
        found += [(a.stamp, a.state) for a in pairer.give_up(pairer.waiting)]
    assert sorted(stamp for stamp, _ in found) == sorted(sent)
    assert all(state in (None, f's{stamp}') for stamp, state in found)
    # What is joined is joined in the order of time.
    joined = [stamp for stamp, state in found if state is not None]
    assert joined == sorted(joined)
