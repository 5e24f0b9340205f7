# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The player and the recorder over DDS: what a policy node in shadow mode answers, what stays."""

import json
import threading
import time

from bag_support import make_bag, make_policy, route, state, TICK
from carla_msgs.msg import CarlaEgoVehicleControl
from nav_msgs.msg import Odometry
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from stack import EGO, START
from std_srvs.srv import SetBool

from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.evaluate_bag import main as evaluate_bag
from av_td3_ros.evaluation.stock import complaints
from av_td3_ros.nodes.player import _UNKNOWN, PlayerNode
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import read_stamp
from av_td3_ros.settings import SettingsError

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
FAST = {'rate': 0.0, 'disturbed': 0, 'video': False}
SHADOW = {'shadow': True, 'pair_timeout': 10.0}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return make_policy(tmp_path_factory.mktemp('player') / 'policy.pth', seed=2)


def play(ros, bag, checkpoint, out, **parameters):
    """Play a bag to a policy node until its end; return the player's process."""
    ros.start('policy', {**SHADOW, 'checkpoint': checkpoint})
    player = ros.start('player', {'bag': bag, 'checkpoint': checkpoint, 'out': out, **FAST,
                                  **parameters})
    if parameters.get('start_paused'):
        # DDS tells of endpoints in their order: once the player answers a client that was made
        # after the subscriptions, it knows those too, and nothing that it sends passes them by.
        set_paused(ros, True)
        set_paused(ros, False)
    ros.wait_for(lambda: player.code is not None, 'the end of the bag', 2 * START)
    return player


def set_paused(ros, paused):
    pause = ros.node.create_client(SetBool, '/av_td3_player/pause')
    ros.wait_for(pause.service_is_ready, 'the player', START)
    answer = pause.call_async(SetBool.Request(data=paused))
    assert ros.wait_for(answer.done, 'an answer', START) and answer.result().success


def offline(bag, checkpoint, out):
    """Return the bytes of evaluate_bag's result."""
    assert evaluate_bag([str(bag), '--checkpoint', str(checkpoint), '--out', str(out),
                         '--no-video', '--disturbed', '0']) == 0
    return (out / 'result.json').read_bytes()


def trouble(bag, number):
    """Write what may come in the way: another route, a collision, odometry that is missing."""
    if number == 15:
        bag.collision(number * TICK, 7, (1.0, 0.0, 0.0))
    if number == 20:
        bag.route(number * TICK + TICK // 2, route() + [0.0, 0.5])
    if number % 10 not in (3, 4, 5):
        bag.odometry(state(number))


@pytest.mark.parametrize('kind', [{}, {'jpeg': 90, 'storage': 'sqlite3'}])
def test_the_result_is_that_of_evaluate_bag(ros, checkpoint, tmp_path, kind):
    bag = make_bag(tmp_path / 'bag', 40, odometry=False, after=trouble, **kind)
    obeyed = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd')
    recorded = ros.subscribe(CarlaEgoVehicleControl, f'{EGO}/recorded/vehicle_control_cmd')
    clock = ros.subscribe(Clock, '/clock')
    player = play(ros, bag, checkpoint, tmp_path / 'live', start_paused=True)
    assert player.code == 0, player.output
    live = (tmp_path / 'live' / 'result.json').read_bytes()
    assert live == offline(bag, checkpoint, tmp_path / 'offline')
    assert json.loads(live)['pictures'] == {'in_bags': 40, 'used': 28}
    timing = json.loads((tmp_path / 'live' / 'run.json').read_text())['timing']
    assert timing['largest_difference_live'] == 0.0
    assert (tmp_path / 'live' / 'report.html').is_file()
    assert '40 commands heard, 0 missing' in player.output
    # Nothing went where a vehicle listens.
    assert not obeyed and not ros.node.count_publishers(f'{EGO}/vehicle_control_cmd')
    stamps = [number * TICK for number in range(1, 41)]
    ros.wait_for(lambda: len(recorded) == 40, 'the recorded commands')
    assert [read_stamp(message.header.stamp) for message in recorded] == stamps
    assert [read_stamp(message.clock) for message in clock] == stamps


def test_pause_and_rate_while_it_plays(ros, tmp_path):
    bag = make_bag(tmp_path / 'bag', 300)
    heard = ros.subscribe(Odometry, f'{EGO}/odometry')
    ros.start('player', {'bag': bag, 'policy_timeout': 0.0, 'wait_for_commands': False,
                         'start_paused': True, 'rate': 1.0})
    pause = ros.node.create_client(SetBool, '/av_td3_player/pause')
    ros.wait_for(pause.service_is_ready, 'the player', START)
    ros.wait_for(lambda: ros.node.count_publishers(f'{EGO}/odometry'), 'its topics', START)

    def ask(paused):
        answer = pause.call_async(SetBool.Request(data=paused))
        assert ros.wait_for(answer.done, 'an answer') and answer.result().success
    assert not heard
    ask(False)
    ros.wait_for(lambda: len(heard) >= 5, 'odometry')
    ask(True)
    ros.spin(0.2)
    count = len(heard)
    # Half a second of a bag whose ticks are 0.05 s apart.
    ros.spin(0.5)
    assert len(heard) == count < 300
    rate = ros.node.create_client(SetParameters, '/av_td3_player/set_parameters')
    ros.wait_for(rate.service_is_ready, 'the parameters', START)
    answer = rate.call_async(SetParameters.Request(
        parameters=[Parameter('rate', value=0.5).to_parameter_msg()]))
    ros.wait_for(answer.done, 'an answer')
    assert answer.result().results[0].successful
    ask(False)
    begun, first = time.monotonic(), len(heard)
    ros.wait_for(lambda: len(heard) >= first + 20, 'the rest', START)
    # A second of the bag takes two, less what was under way.
    assert time.monotonic() - begun > 1.5


def test_a_command_that_is_none_is_not_used(ros, tmp_path):
    bag = make_bag(tmp_path / 'bag', 5)
    player = ros.start('player', {'bag': bag, 'policy_timeout': 0.0, 'start_paused': True})
    publish = ros.publisher(CarlaEgoVehicleControl, f'{EGO}/shadow/vehicle_control_cmd',
                            timeout=START)
    publish(CarlaEgoVehicleControl(steer=float('nan')))
    ros.wait_for(lambda: 'not used' in player.output, 'a word about it', START)
    pause = ros.node.create_client(SetBool, '/av_td3_player/pause')
    ros.wait_for(pause.service_is_ready, 'the player', START)
    answer = pause.call_async(SetBool.Request(data=True))
    assert ros.wait_for(answer.done, 'an answer', START) and answer.result().success


def test_a_bag_is_not_played_into_a_drive(ros, checkpoint, tmp_path):
    # So long that however late DDS tells of the other, it is still playing.
    bag = make_bag(tmp_path / 'bag', 600)
    ros.node.create_publisher(Odometry, f'{EGO}/odometry', qos.STREAM)
    player = play(ros, bag, checkpoint, tmp_path / 'live', rate=1.0)
    assert player.code == 2
    # Its name, unless DDS tells of it later than the player waits.
    assert any(f'/carla/ego_vehicle/odometry is published by {who} too' in player.output
               for who in ('/test', 'a node not known yet'))
    assert not (tmp_path / 'live').exists()


@pytest.mark.parametrize('told, said', [
    ([{_UNKNOWN}, {_UNKNOWN, '/a'}, {'/b', '/a'}], 'published by /a, /b too'),
    ([{'/a'}], 'published by /a too'),
    ([{_UNKNOWN}, set()], 'published by a node not known yet too'),
    ([{_UNKNOWN}], 'published by a node not known yet too')])
def test_a_name_that_comes_later_is_waited_for(monkeypatch, told, said):
    player, left = PlayerNode.__new__(PlayerNode), list(told)
    player._looked, player._ending, player._changed = -10.0, False, threading.Condition()
    monkeypatch.setattr('av_td3_ros.nodes.player._DISCOVERY', 0.3)
    monkeypatch.setattr(PlayerNode, '_others', lambda _: (
        '/odometry', left.pop(0) if len(left) > 1 else left[0]))
    with pytest.raises(SettingsError, match=said):
        player._refuse_others()


def test_what_cannot_be_is_one_sentence(ros, checkpoint, tmp_path):
    bag = make_bag(tmp_path / 'bag', 5)
    (tmp_path / 'there').mkdir()
    (tmp_path / 'there' / 'notes.txt').write_text('mine')
    cases = [({'bag': ''}, 'give the folder of a bag'),
             ({'bag': tmp_path / 'nowhere'}, 'does not exist'),
             ({'bag': bag, 'out': tmp_path / 'there', 'checkpoint': checkpoint},
              'exists already'),
             ({'bag': bag, 'out': tmp_path / 'new'}, 'is no file; a report needs'),
             ({'bag': '~nobody_such/bag'}, 'bag ~nobody_such/bag: '),
             ({'bag': bag, 'out': tmp_path / 'new', 'checkpoint': '~nobody_such/p.pth'},
              'checkpoint ~nobody_such/p.pth: '),
             ({'bag': bag, 'out': '~nobody_such', 'checkpoint': checkpoint},
              'out ~nobody_such: '),
             ({'bag': bag, 'topics': 'image'}, 'is not KIND=NAME'),
             ({'bag': bag, 'policy_timeout': 0.5}, 'no policy node of ego_vehicle')]
    processes = [ros.start('player', {key: f"'{value}'" if key == 'bag' and not value else value
                                      for key, value in given.items()}) for given, _ in cases]
    for process, (_, said) in zip(processes, cases):
        assert process.wait(START) == 2 and said in process.output.replace('\n', ' ')
        assert 'Traceback' not in process.output
    assert (tmp_path / 'there' / 'notes.txt').read_text() == 'mine'


def test_what_was_recorded_is_played_again(ros, checkpoint, tmp_path):
    """A bag, played and recorded, holds the same messages; stock rosbag2 can read it."""
    bag = make_bag(tmp_path / 'bag', 20)
    recorder = ros.start('recorder', {
        'bag': tmp_path / 'again', 'storage': 'sqlite3', 'compression': 'message',
        'topics': f'[{EGO}/waypoints, {EGO}/odometry, {EGO}/rgb_front/image, '
                  f'{EGO}/shadow/vehicle_control_cmd, /nothing]'})
    ros.start('policy', {**SHADOW, 'checkpoint': checkpoint})
    player = ros.start('player', {'bag': bag, **FAST, 'start_paused': True})
    pause = ros.node.create_client(SetBool, '/av_td3_player/pause')
    ros.wait_for(pause.service_is_ready, 'the player', START)
    for name in ('waypoints', 'odometry', 'rgb_front/image', 'shadow/vehicle_control_cmd'):
        ros.wait_for(lambda: any(info.node_name == 'av_td3_recorder' for info in  # noqa: B023
                                 ros.node.get_subscriptions_info_by_topic(f'{EGO}/{name}')),
                     f'the recorder of {name}', START)
    ros.wait_for(lambda: all(ros.node.count_subscribers(f'{EGO}/{name}') >= 2 for name in
                             ('waypoints', 'odometry', 'rgb_front/image')), 'the policy', START)
    pause.call_async(SetBool.Request(data=False))
    ros.wait_for(lambda: player.code == 0, 'the end of the bag', START)
    assert recorder.stop() == 0
    assert 'cannot read' not in recorder.output and not complaints(tmp_path / 'again')
    with Bag(bag) as one, Bag(tmp_path / 'again') as other:
        assert not other.losses
        for name in ('waypoints', 'odometry', 'rgb_front/image'):
            held = []
            for made in (one, other):
                number = [topic.name for topic in made.topics].index(f'{EGO}/{name}')
                held.append([bytes(message.data)
                             for message in made.messages(made.order([number]))])
            assert held[0] == held[1], name
        assert f'{EGO}/shadow/vehicle_control_cmd' in [topic.name for topic in other.topics]
