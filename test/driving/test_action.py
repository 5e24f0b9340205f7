# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Actions and commands."""

import math

from hypothesis import given, strategies as st
import numpy as np
import pytest

from av_td3_ros.driving.action import (action_from_control, ActionError, ActionSettings,
                                       control_from_action)
from av_td3_ros.driving.frames import Control

SETTINGS = ActionSettings()
LIMITED = ActionSettings(max_steer=0.5, max_throttle=0.8, max_brake=0.6)
ANY = st.floats(allow_nan=False, allow_infinity=False, width=32)


@pytest.mark.parametrize('action, throttle, steer, brake', [
    ((0.0, 0.0), 0.0, 0.0, 0.0), ((1.0, 1.0), 1.0, 1.0, 0.0), ((-1.0, -1.0), 0.0, -1.0, 1.0),
    ((0.25, 0.5), 0.5, 0.25, 0.0), ((0.25, -0.5), 0.0, 0.25, 0.5), ((7.0, -9.0), 0.0, 1.0, 1.0)])
def test_commands(action, throttle, steer, brake):
    control = control_from_action(np.array(action, np.float32), SETTINGS)
    assert (control.throttle, control.steer, control.brake) == (throttle, steer, brake)
    assert not (control.hand_brake or control.reverse or control.manual_gear_shift)


def test_limits_scale_the_full_action():
    control = control_from_action(np.array([-1.0, 1.0]), LIMITED)
    assert (control.throttle, control.steer) == (0.8, -0.5)
    assert control_from_action(np.array([0.0, -0.5]), LIMITED).brake == pytest.approx(0.3)


@given(ANY, ANY)
def test_no_action_leaves_the_range(steer, drive):
    control = control_from_action(np.array([steer, drive]), SETTINGS)
    assert 0.0 <= control.throttle <= 1.0 and 0.0 <= control.brake <= 1.0
    assert -1.0 <= control.steer <= 1.0
    assert control.throttle == 0.0 or control.brake == 0.0


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('entry', [0, 1])
def test_no_command_is_made_of_what_is_not_finite(bad, entry):
    action = np.zeros(2)
    action[entry] = bad
    with pytest.raises(ActionError, match='not finite'):
        control_from_action(action, SETTINGS)


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_a_command_gives_its_action_back(steer, drive):
    action = np.array([steer, drive], np.float32)
    for settings in (SETTINGS, LIMITED):
        control = control_from_action(action, settings)
        assert action_from_control(control, settings) == pytest.approx(action, abs=1e-6)


def test_brake_wins_over_throttle():
    assert action_from_control(Control(throttle=1.0, brake=0.5), SETTINGS)[1] == -0.5
