# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RViz configuration and Foxglove layout show topics that there are, with QoS that fits."""

import json
from pathlib import Path
import re

import yaml

ROOT = Path(__file__).resolve().parents[1]
EGO = '/carla/ego_vehicle'
NODE = re.compile(r'^## \w+: (\S+)$(.*?)(?=^## |\Z)', re.M | re.S)
ROW = re.compile(r'^\| (publishes|subscribes) \| `([^`]+)` \| `(\w+/\w+)` \| (\S+) \|', re.M)
# What displays and panels show or send.
DISPLAYS = {'MarkerArray': 'visualization_msgs/MarkerArray', 'Odometry': 'nav_msgs/Odometry',
            'Image': 'sensor_msgs/Image', 'SetGoal': 'geometry_msgs/PoseStamped'}


def topics(did):
    """Return the type of each topic that a node of the page publishes or subscribes to."""
    page = (ROOT / 'docs' / 'topics.md').read_text(encoding='utf-8')
    found = {}
    for node, part in NODE.findall(page):
        for word, name, kind, _ in ROW.findall(part):
            if word == did:
                full = f'{node}/{name[2:]}' if name.startswith('~/') else \
                    name if name.startswith('/') else f'{EGO}/{name}'
                found[full] = kind
    return found


def items(content):
    """Yield every dictionary in a document."""
    if isinstance(content, dict):
        yield content
    for value in content.values() if isinstance(content, dict) else \
            content if isinstance(content, list) else ():
        yield from items(value)


def test_rviz_shows_topics_that_there_are():
    document = yaml.safe_load((ROOT / 'config' / 'av_td3.rviz').read_text())
    assert document['Visualization Manager']['Global Options']['Fixed Frame'] == 'map'
    published, taken, seen = topics('publishes'), topics('subscribes'), []
    for item in items(document):
        if 'Topic' in item:
            name = item['Class'].rsplit('/', 1)[-1]
            told = taken if name == 'SetGoal' else published
            topic = item['Topic']
            assert told[topic['Value']] == DISPLAYS[name]
            # ros/qos.py says why who looks on is reliable as well.
            assert topic['Reliability Policy'] == 'Reliable'
            assert topic['Durability Policy'] == 'Volatile'
            seen.append(name)
    assert set(seen) == set(DISPLAYS)


def test_rviz_knows_every_marker():
    document = yaml.safe_load((ROOT / 'config' / 'av_td3.rviz').read_text())
    known, = (set(item['Namespaces']) for item in items(document) if 'Namespaces' in item)
    code = (ROOT / 'av_td3_ros' / 'nodes' / 'visualization_watch.py').read_text()
    assert known == set(re.findall(r"make_(?:marker|arrow)\(\s*'(\w+)'", code))


def test_foxglove_shows_topics_that_there_are():
    layout = json.loads((ROOT / 'config' / 'foxglove.json').read_text())
    panels, there = layout['configById'], {**topics('publishes'), **topics('subscribes')}
    text = json.dumps(panels)
    named = set(re.findall(r'"(/[a-z_0-9/]+)', text))
    assert named and named <= set(there), named - set(there)
    assert there[panels['Image!camera']['imageMode']['imageTopic']] == 'sensor_msgs/Image'
    # Every panel has its place, and every place its panel.
    places = set(re.findall(r'"(\w+!\w+)"', json.dumps(layout['layout'])))
    assert places == set(panels)


def test_the_page_names_the_files():
    page = (ROOT / 'docs' / 'visualization.md').read_text()
    assert 'config/av_td3.rviz' in page and 'config/foxglove.json' in page
