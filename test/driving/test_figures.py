# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of finished episodes."""

from av_td3_ros.driving.episode import Ending
from av_td3_ros.driving.figures import episode_figures
from av_td3_ros.driving.reward import TERMS


def test_what_is_known_becomes_a_figure_and_nothing_else():
    assert episode_figures({'ending': 'time'}) == {
        'episode/success': 0.0, 'episode/collision': 0.0, 'episode/off_road': 0.0}
    record = {'ending': Ending.ARRIVAL, 'return': 1, 'completion': 1.0, 'stream': 3,
              'duration': 9.0, 'mean_speed': 7.0, 'steps': 90, **dict.fromkeys(TERMS, 0.0)}
    found = episode_figures(record)
    assert found.keys() == {
        *(f'episode/{name}' for name in ('return', 'completion', 'duration', 'mean_speed',
                                         'steps', 'success', 'collision', 'off_road')),
        *(f'terms/{name}' for name in TERMS)}
    assert found['episode/success'] == 1.0
    assert set(episode_figures(record, 'demonstration')) == {
        tag.replace('episode/', 'demonstration/').replace('terms/', 'demonstration_terms/')
        for tag in found}


def test_success_is_arrival_by_road():
    for record in ({'ending': 'collision'}, {'ending': 'arrival', 'left_road': True},
                   {'ending': 'arrival', 'edge': 0.1}, {'ending': 'off_road'}):
        figures = episode_figures(record)
        assert figures['episode/success'] == 0.0
        assert figures['episode/off_road'] == float(record['ending'] != 'collision')
    # Near the edge is not over it, where it is known.
    assert episode_figures({'ending': 'arrival', 'left_road': False, 'edge': 0.1})[
        'episode/success'] == 1.0
