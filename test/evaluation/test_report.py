# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the report, the video, the disturbances and the progress bar."""

from html.parser import HTMLParser
import io
import json
import re

from bag_support import make_bag, make_policy
import cv2
import numpy as np
import pytest

from av_td3_ros.driving.observation import Observation
from av_td3_ros.evaluation import evaluate_bag
from av_td3_ros.evaluation.progress import Progress
from av_td3_ros.evaluation.report import LARGEST
from av_td3_ros.evaluation.robustness import robustness, Sample
from av_td3_ros.evaluation.svg import heat, ticks

TICKS = 60


class Page(HTMLParser):
    """Checks that a page is well nested and asks for nothing from elsewhere."""

    VOID = {'meta', 'img', 'br'}

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.asked = [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found[tag] = self.found.get(tag, 0) + 1
        self.asked += [value for name, value in attributes if name in ('src', 'href')]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found[tag] = self.found.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """Return the folder of a whole report of two policies on two bags."""
    folder = tmp_path_factory.mktemp('report')
    bags = [make_bag(folder / 'one', TICKS, size=(64, 48)),
            make_bag(folder / 'two', 20, size=(64, 48), storage='sqlite3')]
    policies = [make_policy(folder / f'{seed}.pth', seed) for seed in (1, 2)]
    assert evaluate_bag.main([*map(str, bags), '--out', str(folder / 'out'), '--disturbed', '10',
                              '--closed-loop', '--checkpoint', str(policies[0]),
                              '--checkpoint', str(policies[1])]) == 0
    return folder / 'out'


def test_the_page_is_whole_and_needs_nothing_else(report):
    text = (report / 'report.html').read_text(encoding='utf-8')
    page = Page(text)
    assert page.open == [] and len(text) < LARGEST
    assert all(asked.startswith('data:') for asked in page.asked)
    plain = re.sub(r'data:[^"]*', '', text)
    assert 'http' not in plain and 'nan' not in plain.lower()
    # Comparison, two maps, two traces, two histograms, time shift, seven disturbances.
    assert page.found['svg'] == 15
    result = json.loads((report / 'result.json').read_text())
    moments = sum(len(found) for found in result['worst_moments'].values())
    assert page.found['img'] == moments >= 2


def test_the_video_has_the_used_pictures(report):
    result = json.loads((report / 'result.json').read_text())
    video = cv2.VideoCapture(str(report / 'drive.mp4'))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == result['pictures']['used'] == TICKS + 20


def test_disturbances_move_the_commands(report):
    found = json.loads((report / 'result.json').read_text())['robustness']
    assert found['frames'] == 20 and len(found['disturbances']) == 7
    for name, curve in found['disturbances'].items():
        undisturbed = curve['levels'].index(0)
        for moved in curve['moved'].values():
            assert len(moved) == len(curve['levels']) and moved[undisturbed] == 0.0
            assert max(moved) > 0.0, name


def test_latency_of_a_ramp_is_what_it_says():
    sample = Sample(100, 100, 1)
    for number in range(100):
        sample.take(number, 0, Observation(image=np.full((4, 84, 84), 100, np.uint8),
                                           vector=np.full(23, 0.01 * number, np.float32)))
    found = robustness([lambda one: np.array([one['vector'][0], 0.0])], ['A'], [sample])
    latency = found['disturbances']['latency']
    for level, moved in zip(latency['levels'], latency['moved']['A']):
        by = level / 50.0
        assert moved == pytest.approx(0.01 * by * (1.0 - (by + 1.0) / 200.0), abs=1e-3)
    assert max(found['disturbances']['brightness']['moved']['A']) == 0.0
    assert robustness([lambda one: np.zeros(2)], ['A'], [Sample(10, 10, 1)]) is None


def test_the_sample_is_spread_evenly():
    sample = Sample(10_000, 300, 1)
    for number in range(10_000):
        sample.take(number, 0, number)
    assert [len(block) for block in sample.blocks[0]] == [100, 100, 100]
    assert sample.blocks[0][0][0] == 0 and sample.blocks[0][2][-1] == 9999


def test_progress_tells_rate_and_rest():
    now, out = [0.0], io.StringIO()
    bar = Progress('bag', 100, 'messages', out, lambda: now[0])
    for _ in range(50):
        now[0] += 0.02
        bar.step()
    assert bar.line() == 'bag [############            ]  50 % 50/100 messages, 50/s, 0:01 left'
    assert out.getvalue().count('\n') == 5
    empty = Progress('bag', 0, 'messages', out)
    empty.close()


@pytest.mark.parametrize('low, high', [(0.0, 1.0), (-3.2, 17.0), (0.0, 1e-4), (5.0, 5.0)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 12 and all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_heat_goes_from_green_to_red():
    assert heat(0.0) == '#16a34a' and heat(1.0) == heat(7.0) == '#dc2626'
