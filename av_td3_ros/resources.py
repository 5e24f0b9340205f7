# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the files that come with the package are: configuration, maps, models, launch files."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = 'av_td3_ros'


class ResourceError(FileNotFoundError):
    """A file that comes with the package is missing; the message names it and the places."""


def share_directory() -> Path:
    """
    Return the folder that holds ``config``, ``launch``, ``maps`` and ``models``.

    In a source checkout (also an editable or symlinked installation) that is its root, in an
    installation ``<prefix>/share/av_td3_ros``. Raises :class:`ResourceError` where neither is.
    """
    module = Path(__file__).resolve()
    if (module.parents[1] / 'package.xml').is_file():
        return module.parents[1]
    prefixes = [*module.parents, *map(Path, filter(None, os.environ.get(
        'AMENT_PREFIX_PATH', '').split(os.pathsep)))]
    for prefix in prefixes:
        share = prefix / 'share' / PACKAGE
        if (share / 'package.xml').is_file():
            return share
    raise ResourceError(f'{PACKAGE} is not wholly installed: there is no share/{PACKAGE} above '
                        f'{module} nor in AMENT_PREFIX_PATH; install it with colcon or pip')


def shipped(*parts: str) -> Path:
    """Return the path of a file that comes with the package, for example a map in ``maps``."""
    path = share_directory().joinpath(*parts)
    if not path.exists():
        raise ResourceError(f'{path} should have come with {PACKAGE}, but is not there')
    return path
