# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who is in shared memory, and who is not but is heard all the same."""

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.utilities import get_rmw_implementation_identifier
from stack import EGO, LEARNER, Service, START, TRAINER

from av_td3_ros.ros import qos
from av_td3_ros.ros.compatibility import has_discovery_ranges

pytestmark = [
    pytest.mark.ros, pytest.mark.timeout(200),
    pytest.mark.skipif('fastrtps' not in get_rmw_implementation_identifier(),
                       reason='the profiles are for Fast DDS'),
    pytest.mark.skipif(not has_discovery_ranges(), reason='Humble adds shared memory always')]


def test_the_guard_is_not(ros):
    guard = ros.start('guard')
    heard = ros.subscribe(DiagnosticStatus, f'{EGO}/av_td3_guard/heartbeat', qos.LATEST)
    ros.wait_for(lambda: heard, 'a heartbeat', START)
    assert not guard.shared_memory


@pytest.mark.parametrize('lockstep', [False, True])
def test_the_training_node_is_in_lockstep_alone(ros, tmp_path, lockstep):
    trainer = ros.start('training', {**LEARNER, 'checkpoint_dir': str(tmp_path / 'checkpoints'),
                                     'lockstep': lockstep, 'save_at_end': False})
    # Heard and answered by it, whatever the answer is.
    assert Service(ros, f'{TRAINER}/load_checkpoint')(30.0).message
    assert bool(trainer.shared_memory) == lockstep
