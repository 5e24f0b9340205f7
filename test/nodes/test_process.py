# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every node ends by a signal, whatever it is stuck in."""

import signal

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(60)]


def start(ros, how, deadline=1.0):
    process = ros.start('stuck_node.py', {'how': how}, environment={'DEADLINE': str(deadline)})
    ros.wait_for(lambda: 'ready' in process.output, 'the node')
    return process


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_hangs_is_ended_hard(ros, number):
    assert start(ros, 'python').stop(20.0, number) == 70


def test_a_node_that_hangs_in_native_code_is_ended_and_says_where(ros):
    process = start(ros, 'native')
    assert process.stop(20.0) == 1
    assert 'in destroy_node' in process.output


def test_a_second_signal_ends_it_at_once(ros):
    process = start(ros, 'python', deadline=50.0)
    process.send(signal.SIGINT)
    ros.spin(0.2)
    assert process.stop(20.0, signal.SIGINT) == 70
