# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A second thread that reads ahead changes no result, and is gone when it is not needed."""

import threading

from bag_support import make_bag, make_policy, picture, TICK
import numpy as np
import pytest

from av_td3_ros.driving.image import to_frame
from av_td3_ros.evaluation.ahead import ahead
from av_td3_ros.evaluation.assessment import assess, Options
from av_td3_ros.evaluation.judgement import as_json, tidy


def running():
    return [thread for thread in threading.enumerate() if thread.name == 'ahead']


def test_all_comes_in_order():
    assert list(ahead(range(1000), 3)) == list(range(1000))
    assert list(ahead([])) == [] and not running()


def test_what_is_raised_is_raised_after_the_values_before():
    def values():
        yield 1
        yield 2
        raise KeyError('three')
    found = []
    with pytest.raises(KeyError, match='three'):
        for value in ahead(values()):
            found.append(value)
    assert found == [1, 2] and not running()


def test_no_more_is_made_than_asked_for_and_leaving_early_ends_the_thread():
    made = []

    def values():
        for number in range(10**6):
            made.append(number)
            yield number
    source = ahead(values(), 4)
    assert next(source) == 0
    source.close()
    # Those in the queue, one in hand, and those taken out for it to end.
    assert not running() and len(made) < 50


def test_a_frame_reduced_again_is_the_same():
    for shape in ((600, 800), (48, 64)):
        frame = to_frame(np.random.default_rng(1).integers(0, 256, (*shape, 4), dtype=np.uint8))
        np.testing.assert_array_equal(to_frame(frame, 'mono8'), frame)


def trouble(bag, number):
    """Write pictures that cannot be used, and one that repeats."""
    if number == 10:
        bag.image(number * TICK + 1, picture(1)[..., :2], 'yuv422')
    if number == 12:
        bag.image(number * TICK, picture(2))


@pytest.mark.parametrize('kind', [
    {}, {'storage': 'sqlite3', 'compression': 'message'}, {'jpeg': 80, 'compression': 'storage'}])
def test_the_result_is_the_same(tmp_path, kind):
    bag = make_bag(tmp_path / 'bag', 30, after=None if 'jpeg' in kind else trouble, **kind)
    policies = [make_policy(tmp_path / f'{seed}.pth', seed) for seed in (1, 2)]
    one, two = (tidy(assess([bag], policies, Options(threads=threads)).result)
                for threads in (1, 2))
    assert as_json(one) == as_json(two) and one['pictures']['used'] == 30 and not running()
    assert len(one['bags'][0]['images']['skipped']) == (0 if 'jpeg' in kind else 2)
