# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node refuses before it is configured."""

import logging
import subprocess
import sys
import types

import pytest
from stack import small_agent

from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.nodes.preparation import prepare
from av_td3_ros.nodes.town_reader import TownReader
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.town import default_town

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('parameter', ['trainer', 'camera', 'guard'])
@pytest.mark.parametrize('name', ['', 'a//b', 'a b', 'a/', '/a//b', '1st'])
def test_names_that_are_none_are_refused_with_their_parameter(parameter, name):
    with pytest.raises(SettingsError, match=f'^{parameter}: '):
        prepare(PolicySettings(**{parameter: name}), logging.getLogger())


@pytest.mark.parametrize('name', ['camera', 'front/camera', '/elsewhere/camera'])
def test_names_relative_and_absolute(name):
    prepare(PolicySettings(camera=name, trainer=name, guard=name), logging.getLogger())


def test_files_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    small_agent().save_checkpoint(tmp_path / 'policy.pth')
    (tmp_path / 'routes.yaml').write_text(
        'routes: [{start: [0, 0, 0, 0], goal: [9, 0, 0, 0]}]')
    (tmp_path / 'town.xodr').write_bytes(default_town().read_bytes())
    prepared = prepare(PolicySettings(
        training=True, checkpoint='~/policy.pth', routes_file='~/routes.yaml',
        town='~/town.xodr'), logging.getLogger())
    assert prepared.policy.info is not None and prepared.plans(0).goal.x == 9.0
    found = []
    reader = TownReader(types.SimpleNamespace(get_logger=logging.getLogger),
                        PolicySettings(town='~/town.xodr'), 'role', None,
                        lambda *what: found.append(what))
    reader._read(None)
    assert len(found) == 1


@pytest.mark.parametrize('parameter', ['checkpoint', 'routes_file', 'town'])
def test_a_home_that_nobody_has_is_said_with_its_parameter(parameter):
    with pytest.raises(SettingsError, match=f'^{parameter}.* ~nobody-here/x: '):
        prepare(PolicySettings(training=True, **{parameter: '~nobody-here/x'}),
                logging.getLogger())


@pytest.mark.parametrize('town, said', [
    ('town_c', "^town: there is no town 'town_c': town_a, town_b come with the package"),
    ('town_c.xodr', '^town: town_c.xodr is no file'), ('/', '^town: / is no file'),
    (f"{'x' * 300}.xodr", '^town: .*too long')])
def test_a_town_that_is_not_there(town, said):
    with pytest.raises(SettingsError, match=said):
        prepare(PolicySettings(training=True, town=town), logging.getLogger())


def test_a_town_of_the_package_by_its_name():
    prepare(PolicySettings(training=True, town='town_b'), logging.getLogger())
    found = []
    reader = TownReader(types.SimpleNamespace(get_logger=logging.getLogger),
                        PolicySettings(town='town_b'), 'role', None,
                        lambda *what: found.append(what))
    reader._read(None)
    assert len(found) == 1


def test_libraries_of_maps_and_simulation_are_not_loaded_for_nothing():
    """They are tens of MB, and seconds of the start; a map is read where one is needed."""
    code = ('import sys, av_td3_ros.nodes.policy; print(*({"carla", "networkx", "numba", "scipy", '
            '"matplotlib", "gymnasium", "pandas"} & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True, timeout=100)
    assert done.stdout.split() == []
