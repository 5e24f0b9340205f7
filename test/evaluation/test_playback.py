# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a player sends of a bag, which answers that brings, and what is made of them."""

from bag_support import make_bag, make_policy, picture, route, state, TICK
import numpy as np
import pytest

from av_td3_ros.driving.frames import VehicleState
from av_td3_ros.driving.ticks import Picture
from av_td3_ros.evaluation.assessment import assess, choose_topics, Options
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.evaluation.playback import Playback
from av_td3_ros.evaluation.recording import NOT_HEARD
from av_td3_ros.evaluation.stock import complaints


def sent(path, **options):
    """Return all that a player sends of a bag, and how many messages are left out."""
    with Bag(path) as bag:
        playback = Playback(bag, choose_topics(bag, Options()), **options)
        return list(playback), playback


def test_everything_of_the_vehicle_is_sent_in_order(tmp_path):
    messages, playback = sent(make_bag(tmp_path / 'bag', 8))
    assert playback.pictures == 8 and not playback.left_out and playback.pairing == 'exact'
    assert [one.kind for one in messages[:5]] == ['route', 'command', 'status', 'odometry',
                                                  'image']
    assert all(isinstance(one.data, bytes) for one in messages)
    assert [one.time for one in messages] == sorted(one.time for one in messages)
    assert [one.answers for one in messages if one.kind == 'image'] == [
        (number * TICK,) for number in range(1, 9)]
    assert not any(one.answers for one in messages if one.kind != 'image')


def test_a_picture_without_odometry_is_answered_with_the_next_tick(tmp_path):
    def gap(bag, number):
        if number not in (3, 4):
            bag.odometry(state(number))
    messages, _ = sent(make_bag(tmp_path / 'bag', 6, odometry=False, after=gap))
    assert [stamp // TICK for one in messages for stamp in one.answers] == [1, 2, 3, 4, 5, 6]
    assert [len(one.answers) for one in messages if one.answers] == [1, 1, 3, 1]


def test_stamps_that_do_not_match_are_made_to(tmp_path):
    with BridgeBag(tmp_path / 'bag') as bag:
        bag.route(TICK, route())
        for number in range(1, 61):
            now = state(number)
            bag.odometry(VehicleState(now.stamp + 3_000_000, *[
                getattr(now, name) for name in ('pose', 'velocity', 'yaw_rate')]))
            bag.image(now.stamp, picture(number))
    messages, playback = sent(tmp_path / 'bag')
    assert playback.pairing == 'nearest'
    pictures = [one for one in messages if one.kind == 'image']
    assert len(pictures) == 60 and all(isinstance(one.data, Picture) for one in pictures)
    assert [one.answers for one in pictures] == [(one.stamp,) for one in pictures]
    np.testing.assert_array_equal(pictures[6].data.image, picture(7))
    poses = {one.stamp: one.data.pose for one in messages if one.kind == 'odometry'}
    assert poses[7 * TICK] in (state(6).pose, state(7).pose)


def test_compressed_pictures_are_decoded(tmp_path):
    messages, _ = sent(make_bag(tmp_path / 'bag', 3, jpeg=90))
    pictures = [one.data for one in messages if one.kind == 'image']
    assert [(one.image.shape, one.encoding) for one in pictures] == 3 * [((18, 24, 3), 'bgr8')]


def test_a_route_that_is_none_takes_the_one_before_away(tmp_path):
    def none(bag, number):
        if number == 3:
            bag.route(number * TICK, route()[:1])
    messages, playback = sent(make_bag(tmp_path / 'bag', 5, after=none))
    assert [one.data == b'' for one in messages if one.kind == 'route'] == [False, True]
    assert playback.left_out == 1


# What is heard

@pytest.fixture(scope='module')
def judged(tmp_path_factory):
    """Return a bag, a policy and what it does offline."""
    folder = tmp_path_factory.mktemp('judged')
    bag, checkpoint = make_bag(folder / 'bag', 20), make_policy(folder / 'policy.pth')
    return bag, checkpoint, assess([bag], [checkpoint], Options())


def heard_of(assessment):
    recording, = assessment.recordings
    return {int(stamp): [action] for stamp, action in zip(
        recording.frames['stamp'], recording.actions[:, 0].copy())}


def test_commands_that_are_the_same_give_the_same_result(judged):
    bag, checkpoint, found = judged
    again = assess([bag], [checkpoint], Options(), heard=heard_of(found))
    assert again.result == found.result and again.timing['largest_difference_live'] == 0.0


def test_the_commands_heard_are_judged_and_missing_ones_said(judged):
    bag, checkpoint, found = judged
    commands = heard_of(found)
    commands[5 * TICK] = []
    del commands[6 * TICK]
    commands[9 * TICK] = [commands[9 * TICK][0] + np.float32(0.25)]
    again = assess([bag], [checkpoint], Options(), heard=commands)
    recording, = again.recordings
    assert recording.account == {'used': 18, NOT_HEARD: 2}
    assert again.timing['largest_difference_live'] == pytest.approx(0.25)
    assert recording.actions[8, 0] == pytest.approx(found.recordings[0].actions[8, 0] + 0.25)
    assert again.result['pictures'] == {'in_bags': 20, 'used': 18}


# What stock rosbag2 can read

@pytest.mark.parametrize('kind', [
    {}, {'compression': 'storage'}, {'compression': 'message'}, {'compression': 'file'},
    {'storage': 'sqlite3'}, {'storage': 'sqlite3', 'compression': 'file'}])
def test_our_bags_can_be_read_by_stock_rosbag2(tmp_path, kind):
    bag = make_bag(tmp_path / 'bag', 3, **kind)
    assert complaints(bag) == []
    # From Jazzy on the QoS are a list, which older releases do not read.
    text = (bag / 'metadata.yaml').read_text()
    assert '\n  version: 8\n' in text and 'offered_qos_profiles: "- ' in text


@pytest.mark.parametrize('change, said', [
    (lambda bag: (bag / 'metadata.yaml').unlink(), 'has no metadata.yaml'),
    (lambda bag: (bag / 'metadata.yaml').write_text('{'), 'cannot be read'),
    (lambda bag: (bag / 'bag.mcap').unlink(), 'the file bag.mcap of metadata.yaml is missing'),
    (lambda bag: (bag / 'bag.mcap').write_bytes((bag / 'bag.mcap').read_bytes()[:-30]),
     'has no end'),
    (lambda bag: (bag / 'bag.mcap').write_bytes(b'nothing'), 'is no mcap file'),
    (lambda bag: edit(bag, 'version: 8', 'version: 9'), 'rosbag2 before Jazzy does not read'),
    (lambda bag: edit(bag, 'version: 8', 'version: 77'), 'newer than any known'),
    (lambda bag: edit(bag, 'storage_identifier: mcap', 'storage_identifier: tape'), "'tape'"),
    (lambda bag: edit(bag, "compression_format: ''", 'compression_format: lz4'), "'lz4'"),
    (lambda bag: edit(bag, 'serialization_format: cdr', 'serialization_format: json'),
     'are not in CDR')])
def test_what_stock_rosbag2_cannot_read_is_said(tmp_path, change, said):
    bag = make_bag(tmp_path / 'bag', 3)
    change(bag)
    found = complaints(bag)
    assert found and any(said in sentence for sentence in found)


def edit(bag, old, new):
    path = bag / 'metadata.yaml'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_single_file_is_read_too(tmp_path):
    bag = make_bag(tmp_path / 'bag', 3)
    assert complaints(bag / 'bag.mcap') == []
    (bag / 'bag.mcap').write_bytes((bag / 'bag.mcap').read_bytes()[:-3])
    assert 'has no end' in complaints(bag / 'bag.mcap')[0]
