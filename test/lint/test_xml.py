# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""XML files are well-formed, and are what their readers expect."""

import os
from pathlib import Path
import sys

import pytest

etree = pytest.importorskip('lxml.etree')

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('package.xml', 'interfaces/carla_msgs/package.xml')


@pytest.mark.linter
def test_xml_is_well_formed():
    files = [ROOT / 'package.xml']
    for folder in ('config', 'interfaces', 'maps'):
        files += (ROOT / folder).rglob('*.xml')
        files += (ROOT / folder).rglob('*.xodr')
    assert len(files) >= 4
    for path in files:
        etree.parse(str(path))


@pytest.mark.linter
@pytest.mark.parametrize('name', PACKAGES)
def test_package_manifest_is_valid(name):
    package = pytest.importorskip('catkin_pkg.package')
    warnings = []
    manifest = package.parse_package(str(ROOT / name), warnings=warnings)
    manifest.validate(warnings=warnings)
    assert manifest.package_format == 3
    assert not warnings


@pytest.mark.linter
@pytest.mark.parametrize('name', [
    'fastdds.xml', 'fastdds_small.xml', 'fastdds_udp.xml', 'fastdds_udp_localhost.xml'])
def test_fast_dds_profile_keeps_its_schema(name):
    prefixes = [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    schemas = [Path(prefix) / 'share' / 'fastRTPS_profiles.xsd' for prefix in prefixes if prefix]
    schema = next((path for path in schemas if path.is_file()), None)
    if schema is None:
        pytest.skip('this Fast DDS came without its schema')
    profile = etree.parse(str(ROOT / 'config' / name))
    etree.XMLSchema(etree.parse(str(schema))).assertValid(profile)
