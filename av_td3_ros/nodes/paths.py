# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that parameters name."""

from __future__ import annotations

from pathlib import Path

from av_td3_ros.settings import SettingsError


def expand(parameter: str, given: str) -> Path:
    """
    Return the path that a parameter gives, ``~`` and ``~user`` being home folders.

    Launch files and YAML hand these on as they are. Raises SettingsError, naming the parameter,
    for a home folder that does not exist.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise SettingsError(f'{parameter} {given}: {error}') from None
