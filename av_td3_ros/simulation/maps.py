# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the file of a town is, without CARLA's library, which reading it takes."""

from __future__ import annotations

from pathlib import Path

from av_td3_ros.resources import ResourceError, shipped
from av_td3_ros.simulation.opendrive import TownError

__all__ = ['TownError', 'default_town', 'town_path']


def town_path(given: str | Path) -> Path:
    """
    Return the path of a town: of an OpenDRIVE file, or of one that comes with the package.

    A name with a suffix or a folder is a file, which need not be there; any other one, such as
    'town_a', is a town of the package, and TownError is raised where that has none of the name.
    """
    path = Path(given)
    try:
        if path.suffix or path.name != str(given):
            return path.expanduser()
        maps = shipped('maps')
    except (RuntimeError, ResourceError) as error:   # RuntimeError: ~name of no user
        raise TownError(f'there is no town {given}: {error}') from None
    towns = {found.stem: found for found in sorted(maps.glob('*.xodr'))}
    if str(given) not in towns:
        raise TownError(f'there is no town {str(given)!r}: {", ".join(towns)} come with the '
                        'package; a file is named with its folder or suffix')
    return towns[str(given)]


def default_town() -> Path:
    """Return the path of the town to train in."""
    return town_path('town_a')
