# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visualization node draws what is so, while somebody watches, and does nothing otherwise."""

import math
import os
from pathlib import Path as FilePath
import time

from carla_msgs.msg import CarlaEgoVehicleInfo, CarlaEgoVehicleInfoWheel
import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from stack import EGO, hear_experience, small_agent, START, TRAINER
from std_msgs.msg import UInt8MultiArray
from vehicle_side import TICK, VehicleSide
from visualization_msgs.msg import Marker, MarkerArray

from av_td3_ros.driving.image import to_frame
from av_td3_ros.learning.policy import export_policy
from av_td3_ros.ros import qos, weights
from av_td3_ros.ros.images import make_camera_info, read_image
from av_td3_ros.ros.messages import read_stamp

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]
NAME = 'av_td3_visualization'
PICTURE, MARKERS = f'{EGO}/{NAME}/image', f'{EGO}/{NAME}/markers'
HEIGHT, WIDTH = 90, 100
# What a watchdog does on a busy machine is not what is tested here.
UNWATCHED = {
    **{f'watchdog.{name}_deadline': 3600.0 for name in ('image', 'odometry', 'frozen', 'clock')},
    'watchdog.max_drift': 3600.0, 'watchdog.max_jump': 3600.0, 'watchdog.good_inputs': 1}


def inputs(ros):
    """Return the topics that the node listens to."""
    return {name for name, _ in ros.node.get_subscriber_names_and_types_by_node(NAME, EGO)
            if name.startswith((EGO, TRAINER))}


def processor_time(process):
    """Return what a process has taken of the processor so far, s."""
    fields = FilePath(f'/proc/{process.pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def unsubscribe(ros, topic):
    for subscription in list(ros.node.subscriptions):
        if subscription.topic_name == topic:
            ros.node.destroy_subscription(subscription)


def start(ros, checkpoint=None, rate=50.0, **parameters):
    """Start policy and visualization node, and a vehicle that somebody watches."""
    if checkpoint is not None:
        parameters['checkpoint'] = checkpoint
    policy = ros.start('policy', {**UNWATCHED, **parameters})
    node = ros.start('visualization', {'rate': rate, 'niceness': 0})
    vehicle = VehicleSide(ros)
    ros.wait_for(lambda: ros.node.count_publishers(MARKERS), 'the visualization node', START)
    return policy, node, vehicle


def drive_until(ros, vehicle, condition, what):
    """Go on tick by tick until something holds."""
    end = time.monotonic() + START
    while not condition():
        assert time.monotonic() < end, f'no {what}\n{ros.logs()}'
        vehicle.tick()
        ros.spin(0.02)


@pytest.fixture
def checkpoint(tmp_path):
    from av_td3_ros.learning.policy_file import save_policy
    path = tmp_path / 'policy.pth'
    save_policy(small_agent(), path, {})
    return path


def test_it_draws_while_somebody_watches_and_listens_to_nothing_otherwise(ros, checkpoint):
    _, node, vehicle = start(ros, checkpoint)
    vehicle.send_route()
    for _ in range(3):
        vehicle.tick()
    assert inputs(ros) == set()
    # Nobody watches: pictures come, and cost it nothing.
    ros.spin(1.0)
    begun, wall = processor_time(node), time.monotonic()
    while time.monotonic() - wall < 3.0:
        vehicle.tick()
    assert processor_time(node) - begun < 0.3 * (time.monotonic() - wall)
    assert 'watches' not in node.output
    assert 'libtorch' not in FilePath(f'/proc/{node.pid}/maps').read_text()

    pictures = ros.subscribe(Image, PICTURE, qos.LATEST)
    info = ros.publisher(CameraInfo, f'{EGO}/rgb_front/camera_info', timeout=START)
    info(make_camera_info(WIDTH, HEIGHT, 50.0, 0, ''))
    drive_until(ros, vehicle, lambda: pictures, 'picture')
    drive_until(ros, vehicle, lambda: newest_tile(pictures[-1]).any(), 'stack')
    newest = pictures[-1]
    seen = to_frame(vehicle.picture(read_stamp(newest.header.stamp) // TICK))
    tile = newest_tile(newest)
    assert (cv2.resize(seen, tile.shape[::-1], interpolation=cv2.INTER_NEAREST) == tile).all()
    assert (newest.width, newest.height, newest.encoding) == (WIDTH + HEIGHT // 4, HEIGHT, 'bgr8')
    assert read_stamp(newest.header.stamp) in vehicle.stamps
    assert newest.header.frame_id == 'ego/rgb_front'
    assert f'{EGO}/rgb_front/image' in inputs(ros)
    assert not pictures_out_of_order(pictures)

    unsubscribe(ros, PICTURE)
    ros.wait_for(lambda: not inputs(ros), 'the end of its subscriptions', 30.0)
    ros.wait_for(lambda: 'drew' in node.output, 'a word about it')
    # And again for markers, without the pictures.
    markers = ros.subscribe(MarkerArray, MARKERS, qos.LATEST)
    drive_until(ros, vehicle, lambda: markers, 'markers')
    assert f'{EGO}/rgb_front/image' not in inputs(ros)


def newest_tile(picture):
    """Return the policy's newest frame as the picture shows it, reduced."""
    top = np.linspace(0, HEIGHT, 5).astype(int)[3]
    return read_image(picture)[top:, WIDTH:, 0]


def pictures_out_of_order(pictures):
    stamps = [read_stamp(picture.header.stamp) for picture in pictures]
    return stamps != sorted(set(stamps))


def test_what_is_no_camera_and_no_wheel_is_not_used(ros):
    from av_td3_ros.nodes.visualization_settings import VisualizationSettings
    from av_td3_ros.nodes.visualization_watch import Watch
    drawn, info = [], make_camera_info(WIDTH, HEIGHT, 50.0, 0, '')
    watch = Watch(ros.node, VisualizationSettings(), drawn.append, drawn.append)
    watch._on_camera(info)
    assert watch._view is not None and watch._view.fx == 50.0
    for value in (math.nan, math.inf, 0.0, -50.0):
        info.k[0] = value
        watch._on_camera(info)
        assert watch._view is None
    for angle, taken in ((0.6, 0.6), (math.inf, None), (math.nan, None), (0.0, None)):
        watch._on_vehicle(CarlaEgoVehicleInfo(
            wheels=[CarlaEgoVehicleInfoWheel(max_steer_angle=angle)]))
        assert watch._max_steer_angle == (taken and pytest.approx(taken))
    watch.destroy()


def test_its_death_costs_no_command(ros, checkpoint):
    _, node, vehicle = start(ros, checkpoint)
    vehicle.send_route()
    for _ in range(5):
        vehicle.tick()
    pictures = ros.subscribe(Image, PICTURE, qos.LATEST)
    drive_until(ros, vehicle, lambda: len(pictures) > 2, 'pictures')
    # Each picture has its command, also half a second after the process is gone: see ros/qos.py.
    node.kill()
    for _ in range(120):
        vehicle.tick()


def test_markers_are_the_route_and_where_the_car_goes(ros, checkpoint):
    _, node, vehicle = start(ros, checkpoint)
    heard = ros.subscribe(MarkerArray, MARKERS, qos.LATEST)
    info = ros.publisher(CarlaEgoVehicleInfo, f'{EGO}/vehicle_info', qos.INFO, timeout=START)
    info(CarlaEgoVehicleInfo(wheels=[CarlaEgoVehicleInfoWheel(max_steer_angle=0.6)]))
    vehicle.send_route()

    def found():
        if not heard:
            return None
        parts = {marker.ns: marker for marker in heard[-1].markers}
        return parts if parts['route'].points else None
    drive_until(ros, vehicle, found, 'markers with a route')
    parts = found()
    assert set(parts) == {'route', 'route_seen', 'command', 'motion', 'vehicle'}
    assert {marker.header.frame_id for marker in parts.values()} == {'map'}
    stamp = read_stamp(parts['vehicle'].header.stamp)
    state = vehicle.state(stamp // TICK)
    assert state.stamp == stamp
    assert parts['vehicle'].pose.position.x == pytest.approx(state.pose.x)
    assert len(parts['route'].points) == 2000 and parts['route'].type == Marker.LINE_STRIP
    seen = [point.x for point in parts['route_seen'].points]
    assert seen == pytest.approx(list(state.pose.x + 5.0 * np.arange(1, 11)), abs=0.1)
    # 2 s at 6 m/s, turning left at 0.03 rad/s.
    last = parts['motion'].points[-1]
    assert last.x - state.pose.x == pytest.approx(12.0, abs=0.1)
    assert last.y - state.pose.y == pytest.approx(12.0 * (0.02 + 0.03), abs=0.05)
    assert len(parts['command'].points) == len(parts['motion'].points)


def test_while_training_it_shows_what_the_vehicle_sends(ros, tmp_path):
    """The newest frame of the stack is that of the experience with the picture's stamp."""
    ros.start('simulator', {'camera.width': WIDTH, 'camera.height': HEIGHT})
    ros.start('policy', {'training': True, **UNWATCHED})
    ros.start('visualization', {'rate': 50.0, 'niceness': 0, 'attention': False})
    experience = hear_experience(ros)
    publish = ros.publisher(UInt8MultiArray, f'{TRAINER}/weights', qos.WEIGHTS, timeout=START)
    publish(UInt8MultiArray(data=weights.encode(5, 0, export_policy(small_agent(), 5))))
    pictures = ros.subscribe(Image, PICTURE, qos.LATEST)

    def shown():
        """Return the newest frames of experience and of pictures with the same stamp."""
        sent = {item.transition.stamp: item.transition.frame for item in experience}
        pairs = [(sent[stamp], newest_tile(picture)) for picture in pictures
                 if (stamp := read_stamp(picture.header.stamp)) in sent]
        # Between episodes there is a picture, but nothing that the policy was given.
        return [(frame, tile) for frame, tile in pairs if tile.any()]
    ros.wait_for(lambda: len(shown()) > 5, 'pictures of experience', START)
    for frame, tile in shown():
        assert (cv2.resize(frame, tile.shape[::-1], interpolation=cv2.INTER_NEAREST)
                == tile).all()
