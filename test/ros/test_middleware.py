# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which profile of the middleware a process takes, in shared memory, with less of it, and out."""

import os

import pytest

from av_td3_ros.resources import share_directory
from av_td3_ros.ros import middleware
from av_td3_ros.ros.middleware import (
    profiles_for_images, reserve_no_room_for_images, stay_out_of_shared_memory)

CONFIG = share_directory() / 'config'
RANGE, LOCALHOST = 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'
FIRST, SECOND = middleware.PROFILE_VARIABLES


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (FIRST, SECOND, RANGE, LOCALHOST, 'ROS_STATIC_PEERS'):
        # Also where it is not set, so that what is tested is taken back.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    monkeypatch.setattr('rclpy.utilities.get_rmw_implementation_identifier',
                        lambda: 'rmw_fastrtps_cpp')
    monkeypatch.setattr(middleware, 'has_discovery_ranges', lambda: True)
    return monkeypatch


def taken(choose=stay_out_of_shared_memory):
    choose()
    return {name: os.path.basename(os.environ[name]) for name in (FIRST, SECOND)
            if name in os.environ}


def test_udp_takes_the_place_of_shared_memory(environment, tmp_path):
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    assert taken() == {FIRST: 'fastdds_udp.xml'}
    # Also by another path to the same file.
    (tmp_path / 'link.xml').symlink_to(CONFIG / 'fastdds.xml')
    environment.setenv(SECOND, str(tmp_path / 'link.xml'))
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    assert taken() == {FIRST: 'fastdds_udp.xml', SECOND: 'fastdds_udp.xml'}
    assert RANGE not in os.environ


def test_on_this_host_alone_discovery_is_the_profiles(environment):
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.setenv(RANGE, 'localhost')
    assert taken() == {FIRST: 'fastdds_udp_localhost.xml'}
    assert os.environ[RANGE] == 'SYSTEM_DEFAULT'
    # Humble's way to say so, which the later ones obey too.
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.delenv(RANGE)
    environment.setenv(LOCALHOST, '1')
    assert taken() == {FIRST: 'fastdds_udp_localhost.xml'}
    assert os.environ[RANGE] == 'SYSTEM_DEFAULT' and LOCALHOST not in os.environ


def test_humble_keeps_discovery_on_this_host_itself(environment):
    environment.setattr(middleware, 'has_discovery_ranges', lambda: False)
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.setenv(LOCALHOST, '1')
    assert taken() == {FIRST: 'fastdds_udp.xml'}
    assert os.environ[LOCALHOST] == '1' and RANGE not in os.environ


def test_peers_that_are_named_are_the_middlewares(environment):
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.setenv(RANGE, 'LOCALHOST')
    environment.setenv('ROS_STATIC_PEERS', '10.0.0.1')
    assert taken() == {FIRST: 'fastdds_udp.xml'}
    assert os.environ[RANGE] == 'LOCALHOST'


def test_who_sends_no_images_reserves_no_room_for_them(environment):
    environment.setenv(RANGE, 'LOCALHOST')
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    assert taken(reserve_no_room_for_images) == {FIRST: 'fastdds_small.xml'}
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.setenv(SECOND, str(CONFIG / 'fastdds.xml'))
    assert taken(reserve_no_room_for_images) == dict.fromkeys((FIRST, SECOND),
                                                              'fastdds_small.xml')
    assert os.environ[RANGE] == 'LOCALHOST'
    assert os.path.isfile(os.environ[FIRST])


@pytest.mark.parametrize('choose', [stay_out_of_shared_memory, reserve_no_room_for_images])
@pytest.mark.parametrize('profile', ['', '/home/user/own.xml'])
def test_what_is_the_users_own_stays(environment, profile, choose):
    environment.setenv(RANGE, 'LOCALHOST')
    if profile:
        environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
        environment.setenv(SECOND, profile)
    before = dict(os.environ)
    choose()
    assert dict(os.environ) == before


@pytest.mark.parametrize('choose', [stay_out_of_shared_memory, reserve_no_room_for_images])
def test_another_middleware_keeps_its_range(environment, choose):
    environment.setattr('rclpy.utilities.get_rmw_implementation_identifier',
                        lambda: 'rmw_cyclonedds_cpp')
    environment.setenv(FIRST, str(CONFIG / 'fastdds.xml'))
    environment.setenv(RANGE, 'LOCALHOST')
    before = dict(os.environ)
    choose()
    assert dict(os.environ) == before


@pytest.mark.parametrize('own', [[], [FIRST], [SECOND], ['CYCLONEDDS_URI'],
                                 [SECOND, 'CYCLONEDDS_URI']])
def test_a_middleware_without_a_profile_gets_the_one_for_images(own):
    fast = {} if {FIRST, SECOND} & set(own) else dict.fromkeys((FIRST, SECOND), 'fastdds.xml')
    cyclone = {} if 'CYCLONEDDS_URI' in own else {'CYCLONEDDS_URI': 'cyclonedds.xml'}
    given = profiles_for_images(dict.fromkeys(own, '/home/user/own.xml'))
    assert given == {name: str(CONFIG / profile)
                     for name, profile in {**fast, **cyclone}.items()}
    assert all(os.path.isfile(path) for path in given.values())
