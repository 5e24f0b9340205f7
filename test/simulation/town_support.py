# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Towns for tests, loaded once, and roads of known geometry."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from av_td3_ros.simulation.town import Town, town_path

ROOT = Path(__file__).resolve().parents[2]
TOWN01 = ROOT.parent / 'shared' / 'maps' / 'Town01.xodr'
TOWNS = ('town_a', 'town_b', 'Town01')


@functools.lru_cache(maxsize=None)
def _loaded(path: Path) -> Town:
    return Town.load(path)


def load(name: str) -> Town:
    """Return a shipped town or CARLA's Town01, which only stands beside some checkouts."""
    if name == 'Town01' and not TOWN01.is_file():
        pytest.skip('Town01.xodr is not beside this checkout')
    return _loaded(TOWN01 if name == 'Town01' else town_path(name))


def steps(route: np.ndarray) -> np.ndarray:
    """Return the distances between the points of a route in m."""
    return np.linalg.norm(np.diff(route, axis=0), axis=1)


def turns(route: np.ndarray) -> np.ndarray:
    """Return the changes of heading along a route in rad."""
    move = np.diff(route, axis=0)
    heading = np.arctan2(move[:, 1], move[:, 0])
    return np.angle(np.exp(1j * np.diff(heading)))


def _lane(number: int, mark: str) -> str:
    return (f'<lane id="{number}" type="driving" level="false"><link/>'
            '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
            f'<roadMark sOffset="0" {mark}/></lane>')


def straight(length: float = 300.0, *, heading: float = 0.0, grade: float = 0.0) -> str:
    """
    Return OpenDRIVE text: one straight road from the origin with two lanes a direction.

    Lanes of a direction are parted by a broken white line, the directions by a double solid
    one; the edges are solid. The road climbs by ``grade``.
    """
    broken = 'type="broken" color="white" width="0.15" laneChange="both"'
    solid = 'type="solid" color="white" width="0.15" laneChange="none"'
    double = 'type="solid solid" color="yellow" width="0.15" laneChange="none"'
    return f"""<?xml version="1.0"?><OpenDRIVE>
<header revMajor="1" revMinor="4" name="" version="1" north="0" south="0" east="0" west="0">
<geoReference>+lat_0=0.0 +lon_0=0.0</geoReference></header>
<road name="r" length="{length}" id="7" junction="-1"><link/>
<planView><geometry s="0" x="0" y="0" hdg="{heading}" length="{length}"><line/></geometry>
</planView>
<elevationProfile><elevation s="0" a="0" b="{grade}" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><left>{_lane(2, solid)}{_lane(1, broken)}</left>
<center><lane id="0" type="none" level="false"><roadMark sOffset="0" {double}/></lane></center>
<right>{_lane(-1, broken)}{_lane(-2, solid)}</right></laneSection></lanes></road></OpenDRIVE>"""
