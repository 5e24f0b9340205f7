# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exploration noise: reproducible, decaying, of the declared size."""

import numpy as np
import pytest

from av_td3_ros.driving.exploration import Exploration, ExplorationSettings

SETTINGS = ExplorationSettings(expl_noise=0.3, final_noise=0.1, decay_steps=1000,
                               correlation=0.9, steer_share=0.5)


def noises(exploration, count, transitions=0):
    return np.array([exploration.perturb(np.zeros(2), transitions) for _ in range(count)])


def test_an_episodes_noise_is_its_own_wherever_one_begins():
    one, other = (Exploration(SETTINGS, seed=4, stream=2) for _ in range(2))
    one.begin(7)
    noises(other, 55)
    other.begin(7)
    assert np.array_equal(noises(one, 30), noises(other, 30))


@pytest.mark.parametrize('seed, stream, episode', [(5, 2, 7), (4, 3, 7), (4, 2, 8)])
def test_seeds_streams_and_episodes_differ(seed, stream, episode):
    one, other = Exploration(SETTINGS, 4, 2), Exploration(SETTINGS, seed, stream)
    one.begin(7)
    other.begin(episode)
    assert not np.array_equal(noises(one, 5), noises(other, 5))


def test_it_decays_linearly_and_then_stays():
    exploration = Exploration(SETTINGS, 0)
    assert [exploration.scale(n) for n in (-5, 0, 500, 1000, 10**9)] == pytest.approx(
        [0.3, 0.3, 0.2, 0.1, 0.1])


def test_its_size_and_correlation_are_as_declared():
    exploration = Exploration(SETTINGS, 1)
    found = noises(exploration, 40_000, transitions=1000)
    assert found.std(axis=0) == pytest.approx([0.05, 0.1], rel=0.1)
    drive = found[:, 1]
    assert np.corrcoef(drive[:-1], drive[1:])[0, 1] == pytest.approx(0.9, abs=0.02)
    # From the first step on: an episode does not begin with less noise.
    firsts = []
    for episode in range(3000):
        exploration.begin(episode)
        firsts.append(exploration.perturb(np.zeros(2), 1000)[1])
    assert np.std(firsts) == pytest.approx(0.1, rel=0.1)


def test_actions_stay_in_range_and_random_ones_go_forward():
    exploration = Exploration(ExplorationSettings(expl_noise=2.0), 0)
    noisy = np.array([exploration.perturb(np.array([1.0, -1.0]), 0) for _ in range(500)])
    random = np.array([exploration.random_action() for _ in range(5000)])
    for actions in (noisy, random):
        assert actions.dtype == np.float32 and np.abs(actions).max() <= 1.0
    assert random[:, 1].mean() > 0.25 and abs(random[:, 0].mean()) < 0.1


def test_no_noise_leaves_the_action():
    quiet = Exploration(ExplorationSettings(expl_noise=0.0, final_noise=0.0), 0)
    assert quiet.perturb(np.array([0.3, -0.2]), 10) == pytest.approx([0.3, -0.2])
