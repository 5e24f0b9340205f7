# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is drawn on a frame lies where it should."""

import math

import numpy as np
import pytest

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.simulation.camera import CameraSettings
from av_td3_ros.visualization import overlay
from av_td3_ros.visualization.overlay import draw, points_ahead, Scene, View

# 800x600 with 90 degrees, as camera_info has it, mounted as the simulator does.
MOUNT = CameraSettings()
VIEW = View(400.0, 400.0, 400.0, 300.0, MOUNT.x, MOUNT.y, MOUNT.z)


def scene(pose=Pose(0.0, 0.0, 0.0, 0.0), ahead=None, control=Control(), **values):
    ahead = np.empty((0, 3)) if ahead is None else ahead
    return Scene(pose, ahead, control, **{'speed': 0.0, 'completion': 0.0, 'terms': {}, **values})


def grey(width=800, height=600, channels=4):
    return np.full((height, width, channels), 128, np.uint8)


def is_green(frame):
    blue, green, red = (frame[..., i].astype(int) for i in range(3))
    return (green > blue + 15) & (green > red + 15)


@pytest.mark.parametrize('point, place', [
    ((12.0, 0.0, 0.0), (400.0, 300.0 + 400.0 * 2.0 / 10.0)),    # on the road ahead
    ((12.0, 5.0, 2.0), (400.0 - 200.0, 300.0)),                 # to the left, at eye height
    ((12.0, -5.0, 2.0), (400.0 + 200.0, 300.0)),
])
def test_projection_by_hand(point, place):
    pixels, depth = VIEW.project(Pose(0.0, 0.0, 0.0, 0.0), np.array([point]))
    assert pixels[0] == pytest.approx(place)
    assert depth[0] == pytest.approx(10.0)


def test_projection_moves_with_the_car():
    pose = Pose(100.0, -50.0, 3.0, math.radians(90.0))
    pixels, depth = VIEW.project(pose, np.array([[95.0, -38.0, 5.0], [100.0, -60.0, 3.0]]))
    assert pixels[0] == pytest.approx((200.0, 300.0))       # ahead is along y, left along -x
    assert depth[0] == pytest.approx(10.0) and depth[1] < 0.0


def test_projection_is_the_simulated_cameras(town_camera):
    pose = Pose(12.0, 1.0, 0.0, 0.3)
    points = np.array([[30.0, 4.0, 0.0], [25.0, 9.0, 1.5], [60.0, 20.0, 0.2]])
    expected, depth = town_camera.project(pose, points)
    k = town_camera.intrinsics
    view = View(k.fx, k.fy, k.cx, k.cy, MOUNT.x, MOUNT.y, MOUNT.z)
    pixels, own = view.project(pose, points)
    assert pixels == pytest.approx(expected, abs=1e-6) and own == pytest.approx(depth)


@pytest.fixture
def town_camera():
    from av_td3_ros.simulation.camera import Camera
    from av_td3_ros.simulation.town import Town
    from camera_support import road
    return Camera(Town.from_opendrive(road()), MOUNT)


def test_the_route_is_drawn_on_the_road_ahead():
    ahead = np.column_stack([np.arange(0.0, 60.0, 0.5), np.zeros(120), np.zeros(120)])
    frame = draw(grey(), VIEW, scene(ahead=ahead))
    green = is_green(frame)
    at_10_m = 300 + round(400 * 2.0 / 10.0)
    columns = np.flatnonzero(green[at_10_m])
    # The band is 0.7 m wide: 28 pixels at 10 m.
    assert columns.min() == pytest.approx(386, abs=2)
    assert columns.max() == pytest.approx(414, abs=2)
    assert not green[100:290].any()


def test_a_bend_to_the_left_is_drawn_to_the_left():
    angle = np.linspace(0.0, math.pi / 2, 60)
    ahead = np.column_stack([30 * np.sin(angle), 30 * (1 - np.cos(angle)), np.zeros(60)])
    green = is_green(draw(grey(), VIEW, scene(ahead=ahead)))[290:400]
    assert np.flatnonzero(green.any(axis=0)).mean() < 380


def test_a_route_behind_the_car_is_not_drawn():
    behind = np.column_stack([np.arange(-60.0, 0.0, 0.5), np.zeros(120), np.zeros(120)])
    assert not is_green(draw(grey(), VIEW, scene(ahead=behind)))[60:500].any()


@pytest.mark.parametrize('control, colour, side', [
    (Control(steer=-0.8), overlay.AMBER, -1), (Control(steer=0.8), overlay.AMBER, 1),
    (Control(brake=1.0), overlay.RED, -1), (Control(throttle=1.0), overlay.GREEN, 1)])
def test_bars_of_the_action(control, colour, side):
    frame = draw(grey(), VIEW, scene(control=control))
    columns = np.flatnonzero((frame[500:] == colour).all(axis=2).any(axis=0))
    assert len(columns) > 10 and (np.sign(columns.mean() - 400) == side)


def test_full_brake_is_higher_than_half():
    def area(brake):
        frame = draw(grey(), VIEW, scene(control=Control(brake=brake)))
        return (frame[500:] == overlay.RED).all(axis=2).sum()
    assert area(1.0) == pytest.approx(2 * area(0.5), rel=0.15) and area(0.0) < 0.1 * area(1.0)


def test_completion_bar_grows():
    def area(completion):
        frame = draw(grey(), VIEW, scene(completion=completion))
        return (frame[:44] == overlay.GREEN).all(axis=2).sum()
    assert area(1.0) == pytest.approx(2 * area(0.5), rel=0.1) and area(0.25) > 0


def test_text_and_terms_are_written_on_any_size_and_the_picture_is_left_alone():
    terms = {'progress': 0.08, 'lane_keeping': -0.01, 'collision': 0.0}
    for width, height, channels in ((800, 600, 4), (160, 120, 3), (84, 84, 4), (1920, 1080, 4)):
        picture = grey(width, height, channels)
        frame = draw(picture, VIEW, scene(terms=terms, title='phase 1', note='note', speed=8.0))
        assert frame.shape == (height, width, 3) and frame.dtype == np.uint8
        assert (picture == 128).all()
        assert (frame != 128).any()


def test_an_infinite_reward_does_not_stop_the_video():
    draw(grey(), VIEW, scene(terms={'progress': math.nan, 'comfort': -math.inf}))


def test_points_ahead():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    ahead = points_ahead(points, np.array([0.0, 1.0, 1.0]), along=8.0, reach=5.0)
    assert len(ahead) == 10
    assert ahead[0] == pytest.approx((8.0, 0.0, 0.8))
    assert ahead[-1] == pytest.approx((10.0, 2.5, 1.0))
    assert len(points_ahead(points, np.zeros(3), along=20.0)) == 0


def test_the_predicted_path_is_amber_and_narrower_than_the_route():
    ahead = np.column_stack([np.arange(0.0, 30.0, 0.5), np.zeros(60), np.zeros(60)])
    frame = draw(grey(), VIEW, scene(predicted=ahead))
    row = frame[380].astype(int)
    columns = np.flatnonzero((row[:, 2] > row[:, 0] + 60))
    assert 400 == pytest.approx(columns.mean(), abs=2) and 4 <= len(columns) <= 12
    assert not is_green(frame)[320:500].any()


def test_what_the_policy_wishes_is_a_line_where_its_bar_would_end():
    frame = draw(grey(), VIEW, scene(control=Control(steer=-0.5), wish=Control(steer=0.5)))
    columns = np.flatnonzero((frame[560:] == overlay.VIOLET).all(axis=2).any(axis=0))
    assert columns.mean() == pytest.approx(400 + 55, abs=3)


def test_without_a_view_nothing_is_drawn_on_the_road():
    ahead = np.column_stack([np.arange(0.0, 60.0, 0.5), np.zeros(120), np.zeros(120)])
    frame = draw(grey(), None, scene(ahead=ahead, predicted=ahead))
    assert (frame[60:500] == 128).all()
