# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node refuses before it is configured."""

import logging

import pytest

from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.nodes.preparation import prepare
from av_td3_ros.settings import SettingsError

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('parameter', ['trainer', 'camera', 'guard'])
@pytest.mark.parametrize('name', ['', 'a//b', 'a b', 'a/', '/a//b', '1st'])
def test_names_that_are_none_are_refused_with_their_parameter(parameter, name):
    with pytest.raises(SettingsError, match=f'^{parameter}: '):
        prepare(PolicySettings(**{parameter: name}), logging.getLogger())


@pytest.mark.parametrize('name', ['camera', 'front/camera', '/elsewhere/camera'])
def test_names_relative_and_absolute(name):
    prepare(PolicySettings(camera=name, trainer=name, guard=name), logging.getLogger())
