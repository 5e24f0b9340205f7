# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every setting is read by something: one that no code reads can be tuned for ever in vain."""

import ast
import dataclasses
import importlib
from pathlib import Path
import pkgutil

import pytest

import av_td3_ros
from av_td3_ros.simulation.bicycle import PARAMETERS

PACKAGE = Path(av_td3_ros.__file__).parent


def settings_classes():
    """Return every dataclass of the package that declares settings, by its qualified name."""
    found = {}
    for module in pkgutil.walk_packages([str(PACKAGE)], 'av_td3_ros.'):
        # What makes launch files needs launch_ros, which is not everywhere, and declares none.
        if module.name.endswith('__main__') or 'launch_' in module.name:
            continue
        for name, item in vars(importlib.import_module(module.name)).items():
            if dataclasses.is_dataclass(item) and isinstance(item, type) \
                    and item.__module__ == module.name and name.endswith('Settings'):
                found[f'{module.name}.{name}'] = item
    return found


def reads():
    """
    Return the names that the package's code reads, as attributes or in a list of names.

    A declaration is no read, and a keyword argument only passes a value on.
    """
    # The vehicle model takes its parameters as an array, in this order.
    found = set(PARAMETERS)
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
    return found


CLASSES = settings_classes()
READ = reads()


def test_the_settings_are_found():
    names = {name.rsplit('.', 1)[-1] for name in CLASSES}
    assert {'AlgorithmSettings', 'RewardSettings', 'PolicySettings', 'RunSettings',
            'CameraSettings', 'VehicleSettings', 'ExplorationSettings'} <= names


@pytest.mark.parametrize('name', sorted(CLASSES))
def test_every_setting_is_read(name):
    unread = [field.name for field in dataclasses.fields(CLASSES[name])
              if field.name not in READ]
    assert not unread, f'nothing reads {", ".join(unread)} of {name}'


def test_a_setting_that_nothing_reads_would_be_named():
    assert 'a_setting_of_no_use' not in READ and 'discount' in READ
