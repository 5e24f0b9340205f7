# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node's life cycle through the standard services, and starts that are refused."""

from fault_rows_stack import life_cycles
from lifecycle_msgs.msg import Transition
import pytest
from stack import Diagnosed, EGO, Lifecycle, small_agent, START
from support import make_graph
from vehicle_side import VehicleSide

from av_td3_ros.driving.frames import Control

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('lifecycle'))


def test_the_whole_life_cycle(graph, tmp_path):
    checkpoint = tmp_path / 'policy.pth'
    process = graph.start('policy', {'autostart': False, 'checkpoint': checkpoint})
    lifecycle = Lifecycle(graph)
    assert lifecycle.state == 'unconfigured'
    # Without the file it cannot be configured, and may be asked again.
    assert not lifecycle.change(Transition.TRANSITION_CONFIGURE)
    assert lifecycle.state == 'unconfigured' and str(checkpoint) in process.output
    small_agent(seed=1).save_checkpoint(checkpoint)
    diagnosed = Diagnosed(graph)
    car = None
    for turn in range(3):
        assert lifecycle.change(Transition.TRANSITION_CONFIGURE)
        assert lifecycle.state == 'inactive'
        car = car or VehicleSide(graph)
        graph.wait_for(lambda: graph.node.count_subscribers(
            '/carla/ego_vehicle/rgb_front/image') == 1, 'its subscription', START)
        car.send_route()
        # Inactive, it says nothing.
        first = len(car.commands)
        for _ in range(3):
            car.number += 1
            car.send_odometry()
            car.send_image()
        diagnosed.wait_for('av_td3_policy: driving', lambda values: True, 'diagnostics')
        graph.spin(0.3)
        assert len(car.commands) == first
        assert lifecycle.change(Transition.TRANSITION_ACTIVATE)
        assert lifecycle.state == 'active'
        graph.wait_for(lambda: car.tick() != Control(brake=1.0), 'driving', 20.0)
        # What was sent while it was inactive is not answered now.
        answered = len(car.commands) - first
        assert min(car.stamps[first:]) > (car.number - answered - 1) * 50_000_000
        count = len(car.commands)
        assert lifecycle.change(Transition.TRANSITION_DEACTIVATE)
        graph.wait_for(lambda: len(car.commands) > count, 'the brake')
        assert car.commands[-1].brake == 1.0 and car.commands[-1].throttle == 0.0
        car.number += 1
        car.send_odometry()
        car.send_image()
        graph.spin(0.3)
        assert len(car.commands) == count + 1
        # Active again it begins anew.
        assert lifecycle.change(Transition.TRANSITION_ACTIVATE)
        car.tick()
        assert lifecycle.change(Transition.TRANSITION_DEACTIVATE)
        assert lifecycle.change(Transition.TRANSITION_CLEANUP)
        assert lifecycle.state == 'unconfigured'
        graph.wait_for(lambda: not graph.node.count_publishers(
            '/carla/ego_vehicle/vehicle_control_cmd'), 'the end of its publisher', 20.0)
    assert not lifecycle.change(Transition.TRANSITION_ACTIVATE)
    assert lifecycle.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert lifecycle.state == 'finalized' and process.code is None
    assert process.stop(timeout=5.0) == 0


@pytest.mark.parametrize('failing', ['configure', 'activate', 'deactivate', 'cleanup'])
def test_a_transition_that_fails_brakes_and_leaves_nothing_behind(ros, tmp_path, failing):
    checkpoint = tmp_path / 'policy.pth'
    small_agent(seed=1).save_checkpoint(checkpoint)
    process = ros.start('faulty_policy.py', {'autostart': False, 'checkpoint': checkpoint},
                        environment={'FAIL_IN': failing})
    lifecycle, car = Lifecycle(ros), None
    changes = {'configure': Transition.TRANSITION_CONFIGURE,
               'activate': Transition.TRANSITION_ACTIVATE,
               'deactivate': Transition.TRANSITION_DEACTIVATE,
               'cleanup': Transition.TRANSITION_CLEANUP}
    for name, change in changes.items():
        if name == 'deactivate':
            car.send_route()
            ros.wait_for(lambda: car.tick().brake not in (0.5, 1.0), 'driving', START)
            count = len(car.commands)
        assert lifecycle.change(change) == (name != failing)
        if name == failing:
            break
        if name == 'configure':
            car = VehicleSide(ros)
    if failing == 'deactivate':
        ros.wait_for(lambda: len(car.commands) > count, 'the brake')
        assert car.commands[-1].brake == 1.0
    assert f'made to fail in {failing}' in process.output and process.code is None
    assert lifecycle.state == 'unconfigured'
    ros.wait_for(lambda: not ros.node.count_publishers(f'{EGO}/vehicle_control_cmd'),
                 'the end of its publisher', START)
    # It works the next time.
    for change in changes.values():
        assert lifecycle.change(change)
    assert lifecycle.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert process.stop() == 0


def test_the_life_cycle_leaks_nothing(ros, tmp_path):
    checkpoint = tmp_path / 'policy.pth'
    small_agent(seed=1).save_checkpoint(checkpoint)
    grown = life_cycles(ros, checkpoint, 12)
    assert grown['threads_grown'] == 0 and grown['files_grown'] <= 0
    assert grown['memory_grown'] < 10.0


@pytest.mark.parametrize('executable, parameters, words', [
    ('policy', {'service_timeout': -1.0}, ['service_timeout', '0.1']),
    ('policy', {'lockstepp': True}, ['lockstepp', 'did you mean', 'lockstep']),
    ('policy', {'checkpoint': '/nowhere/a.pth'}, ['/nowhere/a.pth']),
    ('training', {'algorithm.batch_size': 2.5}, ['algorithm.batch_size', 'int']),
    ('training', {'checkpoint_dir': '/proc/1/mem/x'}, ['checkpoint_dir', '/proc/1/mem/x'])])
def test_a_wrong_parameter_refuses_to_start_in_a_sentence(ros, executable, parameters, words):
    process = ros.start(executable, parameters)
    assert process.wait(START) == 2
    last = process.output.strip().splitlines()[-1]
    assert all(word in last for word in words), process.output
    assert 'Traceback' not in process.output
