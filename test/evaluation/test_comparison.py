# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the comparison: how often it is wrong, and what it finds."""

import numpy as np
import pytest

from av_td3_ros.evaluation.comparison import (autocorrelation_time, block_means, compare,
                                              policy_differences)

FRAMES = 2000
WHOLE = [slice(0, 1200), slice(1200, FRAMES)]


def correlated(rng, count, keep, scale, frames=FRAMES):
    """Return noise of first order, (count, frames)."""
    fresh = rng.standard_normal((count, frames)) * np.sqrt(1.0 - keep * keep)
    values = np.empty_like(fresh)
    values[:, 0] = rng.standard_normal(count)
    for step in range(1, frames):
        values[:, step] = keep * values[:, step - 1] + fresh[:, step]
    return values * scale


def claims(trials, keep, bias, seed=1, noise=0.05):
    """Return the share of trials in which two policies of the same noise are told apart."""
    rng = np.random.default_rng(seed)
    a_steer, b_steer, a_drive, b_drive = (correlated(rng, trials, keep, noise) for _ in range(4))
    driver = np.zeros((FRAMES, 2))
    found = 0
    for trial in range(trials):
        first = np.stack([a_steer[trial] + bias, a_drive[trial]], axis=1)
        second = np.stack([b_steer[trial], b_drive[trial]], axis=1)
        found += compare(policy_differences(first, second, driver), WHOLE,
                         resamples=400, seed=trial)['different']
    return found / trials


@pytest.mark.parametrize('keep', [0.0, 0.9])
def test_equal_policies_are_told_apart_in_5_percent_of_cases(keep):
    assert claims(500, keep, bias=0.0) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize('frames, stay', [(1000, 50), (400, 20)])
def test_of_a_drive_that_is_too_short_no_more_is_claimed(frames, stay):
    """Of one that has fewer than ten blocks of the length that errors of so many pictures need."""
    rng, trials, found = np.random.default_rng(1), 200, 0
    keep = np.exp(-1.0 / stay)
    errors = [correlated(rng, trials, keep, 0.05, frames) for _ in range(4)]
    for trial in range(trials):
        first, second = (np.stack([errors[k][trial], errors[k + 1][trial]], axis=1)
                         for k in (0, 2))
        found += compare(policy_differences(first, second, np.zeros((frames, 2))),
                         [slice(0, frames)], resamples=200, seed=trial)['different']
    assert found / trials < 0.08


def test_a_steering_bias_is_found():
    assert claims(60, 0.95, bias=0.05) >= 0.9


def test_the_same_policy_is_never_different():
    rng = np.random.default_rng(3)
    actions = rng.standard_normal((FRAMES, 2))
    found = compare(policy_differences(actions, actions, rng.standard_normal((FRAMES, 2))), WHOLE)
    assert found['different'] is False
    assert found['quantities']['steer_error']['interval'] == [0.0, 0.0]


def test_a_constant_difference_is_found_though_it_does_not_vary():
    actions = np.zeros((FRAMES, 2))
    found = compare(policy_differences(actions + [0.01, 0.0], actions, actions * np.nan), WHOLE)
    assert found['quantities']['steer']['different'] and found['different']
    assert not found['quantities']['drive']['different']
    assert 'steer_error' not in found['quantities']


def test_too_few_pictures_make_no_claim():
    few = np.zeros((6, 2))
    found = compare(policy_differences(few + 1.0, few, few), [slice(0, 6)])
    assert found['different'] is None and 'too few' in found['reason']
    none = np.full((5, 2), np.nan)
    assert compare(policy_differences(none, none, none), [slice(0, 5)])['different'] is None


def test_missing_pictures_are_left_out():
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((2, FRAMES, 2))
    first[100:300] = np.nan
    found = compare(policy_differences(first, second, second), WHOLE)
    assert found['frames'] == FRAMES - 200


@pytest.mark.parametrize('keep', [0.0, 0.5, 0.9])
def test_autocorrelation_time(keep):
    values = correlated(np.random.default_rng(2), 20, keep, 1.0)
    assert autocorrelation_time(list(values)) == pytest.approx((1 + keep) / (1 - keep), rel=0.25)


def test_blocks_keep_to_their_stretch():
    values = np.concatenate([np.zeros((100, 1)), np.ones((101, 1))])
    blocks, length, _ = block_means(values, [slice(0, 100), slice(100, 201)])
    assert set(blocks.ravel().tolist()) == {0.0, 1.0} and 1 <= length <= 20


def test_it_gives_the_same_every_time():
    rng = np.random.default_rng(7)
    first, second = rng.standard_normal((2, FRAMES, 2))
    once, again = (compare(policy_differences(first, second, second), WHOLE) for _ in range(2))
    assert once == again
