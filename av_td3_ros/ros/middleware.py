# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which of the package's profiles for the middleware a process uses.

Fast DDS and Cyclone DDS each have one with room for images, ``config/fastdds.xml`` and
``config/cyclonedds.xml``. Fast DDS's uses shared memory, and has others with little of it and
without.

Shared memory is what makes images quick, and it ties the processes of a host together: with Fast
DDS (2.14 measured) the senders to one that was killed, and those to whom it was just sending, may
stand for up to a second, and with them whatever else their processes send. A process that may die
without the driving noticing stays out of it.
"""

from __future__ import annotations

import os
from typing import Iterable, Mapping

import rclpy.utilities

from av_td3_ros.resources import share_directory
from av_td3_ros.ros.compatibility import has_discovery_ranges

PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
"""What names the profile's file: the first for Humble and Jazzy, the second from Kilted on."""

_RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_LOCALHOST = 'ROS_LOCALHOST_ONLY'   # obeyed by later distributions too, over the range


def profiles_for_images(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name the profiles, for each middleware that has none yet."""
    config = share_directory() / 'config'
    settings = {}
    for names, profile in ((PROFILE_VARIABLES, 'fastdds.xml'),
                           (('CYCLONEDDS_URI',), 'cyclonedds.xml')):
        if not any(name in environment for name in names):
            settings.update(dict.fromkeys(names, str(config / profile)))
    return settings


def stay_out_of_shared_memory() -> None:
    """
    Use UDP alone where ``config/fastdds.xml`` is in use; call it before rclpy is initialized.

    It also spares the 16 MiB that that profile reserves for images. A profile of the user's own is
    obeyed, and so are Fast DDS's defaults where there is none. Where discovery stays on this host
    rmw_fastrtps adds shared memory to any profile; from Jazzy on another one, which does the rest
    of the same, takes its place. Humble has no such way: there shared memory stays.
    """
    named = _naming_images()
    if not named:
        return
    profile = 'fastdds_udp.xml'
    here = (os.environ.get(_RANGE, '').upper() == 'LOCALHOST'
            or os.environ.get(_LOCALHOST) == '1')
    if has_discovery_ranges() and here and not os.environ.get('ROS_STATIC_PEERS'):
        profile = 'fastdds_udp_localhost.xml'
        os.environ[_RANGE] = 'SYSTEM_DEFAULT'
        os.environ.pop(_LOCALHOST, None)
    _take(profile, named)


def reserve_no_room_for_images() -> None:
    """
    Spare the 16 MiB that ``config/fastdds.xml`` reserves for images, where it is in use.

    For a process that receives images and sends none; call it before rclpy is initialized. A
    profile of the user's own is obeyed.
    """
    _take('fastdds_small.xml', _naming_images())


def _naming_images() -> list[str]:
    """Return the variables that name ``config/fastdds.xml``; none where one names another."""
    images = os.path.realpath(share_directory() / 'config' / 'fastdds.xml')
    named = [name for name in PROFILE_VARIABLES if os.environ.get(name)]
    if 'fastrtps' not in rclpy.utilities.get_rmw_implementation_identifier() \
            or any(os.path.realpath(os.environ[name]) != images for name in named):
        return []
    return named


def _take(profile: str, named: Iterable[str]) -> None:
    os.environ.update(dict.fromkeys(named, str(share_directory() / 'config' / profile)))
