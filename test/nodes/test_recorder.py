# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder: which topics it means, and what it says of those where nothing came."""

from nav_msgs.msg import Odometry
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.duration import Duration
from stack import EGO, START

from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.ros import qos

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]


def test_relative_names_are_of_its_namespace_and_silent_topics_are_told(ros, tmp_path):
    recorder = ros.start('recorder', {
        'bag': tmp_path / 'bag', 'topics': f'[odometry, {EGO}/odometry, waypoints, "~/own"]'},
        arguments=['-r', f'__ns:={EGO}', '-r', 'waypoints:=/route'])
    publisher = ros.node.create_publisher(Odometry, f'{EGO}/odometry', qos.STREAM)
    ros.wait_for(publisher.get_subscription_count, 'the recorder', START)
    publisher.publish(Odometry())
    assert publisher.wait_for_all_acked(Duration(seconds=START))
    # It answers after what was there before; at the second time, what was there surely was.
    asking = ros.node.create_client(GetParameters, f'{EGO}/av_td3_recorder/get_parameters')
    ros.wait_for(asking.service_is_ready, 'its service', START)
    for _ in range(2):
        ros.wait_for(asking.call_async(GetParameters.Request()).done, 'an answer', START)
    assert recorder.stop() == 0
    assert f'1 messages on 1 topics\nnothing came on /route, {EGO}/av_td3_recorder/own\n' \
        in recorder.output
    with Bag(tmp_path / 'bag') as bag:
        assert [topic.name for topic in bag.topics] == [f'{EGO}/odometry']


@pytest.mark.parametrize('given, said', [
    ({'topics': '[/a, "a b"]'}, "topics: 'a b' is no name of a topic: "),
    ({'bag': '~nobody_such/bag'}, 'bag ~nobody_such/bag: ')])
def test_what_cannot_be_is_one_sentence(ros, tmp_path, given, said):
    recorder = ros.start('recorder', {'bag': tmp_path / 'bag', **given})
    assert recorder.wait(START) == 2
    assert recorder.output.startswith(said) and len(recorder.output.splitlines()) == 1
    assert not (tmp_path / 'bag').exists()
