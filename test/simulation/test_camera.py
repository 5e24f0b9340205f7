# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera: where things appear in its image, and what hides what."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from pathlib import Path
import subprocess
import sys

import camera_support as support
import cv2
import numpy as np
import pytest

from av_td3_ros.driving.frames import Pose
from av_td3_ros.settings import build, SettingsError
from av_td3_ros.simulation import cars
from av_td3_ros.simulation.camera import Boxes, Camera, CameraSettings
from av_td3_ros.simulation.town import default_town, Town

SEED = 5


@pytest.fixture(scope='module')
def town() -> Town:
    return Town.from_opendrive(support.road())


@pytest.fixture
def magenta(monkeypatch):
    """Paint all of a car in one colour that nothing else has, and take its wheels off."""
    above = cars.FACES[:, :, 2].min(axis=1) > cars.SILL - 0.01
    monkeypatch.setattr(cars, 'FACES', np.ascontiguousarray(cars.FACES[above]))
    monkeypatch.setattr(cars, 'FACE_MATERIALS', cars.FACE_MATERIALS[above])
    monkeypatch.setattr(cars, 'MATERIALS', np.full_like(cars.MATERIALS, (130.0, 0.0, 130.0)[0])
                        * np.array([1.0, 0.0, 1.0], np.float32))

    def paint(camera: Camera) -> Camera:
        camera.scenery.kind[:] = -1
        sun = np.array([-0.45, 0.35, 0.82])
        camera.look = dataclasses.replace(
            camera.look, paints=np.array([[130.0, 0.0, 130.0]], np.float32),
            sun=sun / np.linalg.norm(sun), ambient=np.full(3, 0.92), direct=np.full(3, 0.9))
        return camera
    return paint


def boxes(*entries) -> Boxes:
    """Make cars of (x, y, z, yaw, length, width, height, colour)."""
    return Boxes(*(np.array(column, float) for column in zip(*entries)))


def car(x, y, yaw=0.0, z=0.0, size=(4.6, 1.86, 1.5), colour=0):
    return (x, y, z, yaw, *size, colour)


def magenta_of(image: np.ndarray) -> np.ndarray:
    blue, green, red = (image[:, :, k].astype(np.float32) for k in range(3))
    return 0.5 * (blue + red) - green


MOUNTINGS = {
    'default': CameraSettings(),
    'offset': CameraSettings(x=0.4, y=-0.6, z=1.4),
    'pitched': CameraSettings(pitch=14.0, z=2.6),
    'turned': CameraSettings(pitch=5.0, yaw=-12.0, roll=7.0),
    'wide': CameraSettings(width=960, height=540, fov=110.0, pitch=8.0),
    'narrow': CameraSettings(width=640, height=480, fov=60.0, x=-3.0, z=3.0, pitch=10.0),
    'small': CameraSettings(width=256, height=192, fov=60.0, z=1.2, pitch=4.0),
}
POSES = {'along': Pose(100.0, -1.75, 0.0, 0.0), 'oblique': Pose(101.5, -3.0, 0.0, 0.22),
         'back': Pose(131.0, 1.2, 0.0, math.pi + 0.1)}


@pytest.mark.parametrize('pose', POSES.values(), ids=POSES)
@pytest.mark.parametrize('settings', MOUNTINGS.values(), ids=MOUNTINGS)
def test_marking_corners_are_where_camera_info_says(town, settings, pose):
    camera = Camera(town, settings, SEED)
    image = camera.render(pose)
    # Yellow on grey: the channel that tells them apart.
    value = image[:, :, 2].astype(float) - image[:, :, 0]
    period, half = support.DASH + support.GAP, support.PAINT / 2.0
    found = 0
    for k in range(int(support.LENGTH / period)):
        corners = np.array([(k * period, half, 0.0), (k * period + support.DASH, half, 0.0),
                            (k * period + support.DASH, -half, 0.0), (k * period, -half, 0.0)])
        ahead = (corners[:, :2] - pose[:2]) @ (math.cos(pose.yaw), math.sin(pose.yaw))
        if ahead.min() < settings.x + 0.5 or ahead.max() > 40.0:
            continue
        want = support.pinhole(settings, pose, corners)
        inside = ((want > 4.0) & (want < (settings.width - 4.0, settings.height - 4.0))).all()
        sides = np.linalg.norm(want - np.roll(want, -1, axis=0), axis=1)
        if not inside or sides.min() < 5.0:
            continue
        got = support.find_corners(value, want, 4.0)
        assert np.linalg.norm(got - want, axis=1).max() < 1.0, (k, got, want)
        found += 1
    assert found >= 1


CARS = {'ahead': (8.0, 0.0, 0.0), 'left': (9.0, 2.6, 0.5), 'right': (10.0, -2.4, -0.7),
        'far': (17.0, 0.7, 0.25)}


@pytest.mark.parametrize('where', CARS.values(), ids=CARS)
@pytest.mark.parametrize('settings', MOUNTINGS.values(), ids=MOUNTINGS)
def test_car_corners_are_where_camera_info_says(town, settings, where, magenta):
    pose = Pose(120.0, -1.5, 0.0, 0.12)
    cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
    length, width, height = 4.6, 1.86, 1.5
    x = pose.x + (where[0] + settings.x + length / 2.0) * cos - where[1] * sin
    y = pose.y + (where[0] + settings.x + length / 2.0) * sin + where[1] * cos
    yaw = pose.yaw + where[2]
    camera = magenta(Camera(town, settings, SEED))
    value = magenta_of(camera.render(pose, boxes(car(x, y, yaw))))

    def place(u, v, z):
        return (x + math.cos(yaw) * u * length - math.sin(yaw) * v * width,
                y + math.sin(yaw) * u * length + math.cos(yaw) * v * width, z * height)

    low, high = cars.SILL, cars.SHOULDER
    corners = [place(-0.5, 0.5, low), place(-0.5, -0.5, low), place(-0.5, -0.5, high),
               place(-0.5, 0.5, high)]
    want = support.pinhole(settings, pose, corners)
    limits = np.array([settings.width, settings.height]) - 6.0
    if not ((want > 6.0) & (want < limits)).all():
        pytest.skip('the car is not wholly in this picture')
    got = support.find_corners(value, want, 3.0)
    assert np.linalg.norm(got - want, axis=1).max() < 1.5


HILL = ''.join(f'<elevation s="{s}" a="{a}" b="{b}" c="{c}" d="{d}"/>' for s, a, b, c, d in (
    (0, 0, 0, 0, 0), (100, 0, 0, 0.0018, -0.000012), (200, 6, 0, -0.0018, 0.000012),
    (300, 0, 0, 0, 0)))


def height(x: float) -> float:
    """Return the hill's height: 6 m at 200 m along the road, level 100 m before and after."""
    u = np.clip(1.0 - np.abs(x - 200.0) / 100.0, 0.0, 1.0)
    return float(6.0 * u * u * (3.0 - 2.0 * u))


@pytest.fixture(scope='module')
def hill() -> Town:
    return Town.from_opendrive(support.road(elevation=HILL))


@pytest.mark.parametrize('x', [70.0, 122.0, 160.0, 196.0, 240.0])
def test_marking_corners_on_a_hill(hill, x):
    camera = Camera(hill, CameraSettings(pitch=8.0), SEED)
    pose = Pose(x, -1.75, height(x), 0.1)
    image = camera.render(pose)
    value = image[:, :, 2].astype(float) - image[:, :, 0]
    period, half, found = support.DASH + support.GAP, support.PAINT / 2.0, 0
    for k in range(int(support.LENGTH / period)):
        start, end = k * period, k * period + support.DASH
        if start < x + 5.0 or end > x + 22.0:
            continue
        want = support.pinhole(camera.settings, pose, [
            (start, half, height(start)), (end, half, height(end)), (end, -half, height(end)),
            (start, -half, height(start))])
        sides = np.linalg.norm(want - np.roll(want, -1, axis=0), axis=1)
        if ((want > 4.0) & (want < (796.0, 596.0))).all() and sides.min() > 5.0:
            got = support.find_corners(value, want, 4.0)
            assert np.linalg.norm(got - want, axis=1).max() < 1.5
            found += 1
    assert found


def test_a_crest_hides_what_is_behind_it(hill, magenta):
    camera = magenta(Camera(hill, seed=SEED))
    pose = Pose(120.0, -1.75, height(120.0), 0.0)

    def seen(x):
        value = magenta_of(camera.render(pose, boxes(car(x, -1.75, z=height(x)))))
        return int((value > 30.0).sum())

    assert seen(195.0) > 40
    assert seen(290.0) == 0
    # From the crest it is seen.
    pose = Pose(196.0, -1.75, height(196.0), 0.0)
    assert seen(290.0) > 50


def test_project_agrees_with_the_pinhole_model(town):
    rng = np.random.default_rng(3)
    for settings in MOUNTINGS.values():
        camera = Camera(town, settings)
        points = np.stack([rng.uniform(130.0, 160.0, 50), rng.uniform(-8.0, 8.0, 50),
                           rng.uniform(0.0, 4.0, 50)], axis=1)
        pose = Pose(110.0, -1.0, 0.0, 0.1)
        pixels, depth = camera.project(pose, points)
        assert (depth > 0.0).all()
        np.testing.assert_allclose(pixels, support.pinhole(settings, pose, points), atol=1e-6)


def test_nearer_car_hides_the_further_one(town):
    camera = Camera(town, seed=SEED)
    pose = Pose(100.0, -1.75, 0.0, 0.0)
    near, far = car(115.0, -1.75, colour=4), car(125.0, -1.75, colour=7)
    alone = camera.render(pose, boxes(near))
    both = camera.render(pose, boxes(near, far))
    turned = camera.render(pose, boxes(far, near))
    np.testing.assert_array_equal(both, turned)
    rear = support.pinhole(camera.settings, pose, [
        (112.7, -0.87, 0.3), (112.7, -2.63, 0.8)]).round().astype(int)
    (x0, y0), (x1, y1) = rear.min(axis=0), rear.max(axis=0)
    np.testing.assert_array_equal(both[y0:y1, x0:x1], alone[y0:y1, x0:x1])
    # The further one is no taller in the picture than the nearer one, but aside it shows.
    aside = camera.render(pose, boxes(near, car(125.0, 1.75, colour=7)))
    assert (aside != alone).any(axis=2).sum() > 500


def test_car_behind_the_camera_does_not_appear(town):
    camera = Camera(town, seed=SEED)
    pose = Pose(100.0, -1.75, 0.0, 0.0)
    empty = camera.render(pose)
    behind = camera.render(pose, boxes(car(92.0, -1.75), car(95.0, 1.75), car(60.0, 0.0)))
    np.testing.assert_array_equal(behind, empty)


def test_car_beside_the_camera_is_cut_at_the_near_plane(town, magenta):
    camera = magenta(Camera(town, seed=SEED))
    pose = Pose(100.0, -1.75, 0.0, 0.0)
    # From behind the camera to in front of it, in the neighbouring lane.
    value = magenta_of(camera.render(pose, boxes(car(103.0, 1.2)))) > 40.0
    rows, columns = np.nonzero(value)
    assert len(rows) > 5000
    assert columns.max() < 400 and columns.min() == 0
    front = support.pinhole(camera.settings, pose, [(105.3, 0.27, 0.5)])[0]
    assert abs(columns.max() - front[0]) < 3.0


def test_marking_runs_on_under_the_car(town):
    # The camera looks down on a solid line that passes below it and on behind it.
    settings = CameraSettings(x=0.0, pitch=70.0, z=1.5)
    camera = Camera(town, settings, SEED)
    pose = Pose(100.0, -3.5, 0.0, 0.0)
    image = camera.render(pose)
    bright = image[:, :, :3].min(axis=2).astype(float)
    for row in range(5, settings.height, 60):
        centre = bright[row, 396:404].mean()
        assert centre > bright[row, :250].mean() + 40.0
        assert centre > bright[row, 550:].mean() + 40.0


def test_markings_by_type():
    marks = {
        'none': '<roadMark sOffset="0" type="none" width="0.2"/>',
        'solid': '<roadMark sOffset="0" type="solid" color="white" width="0.2"/>',
        'broken': '<roadMark sOffset="0" type="broken" color="white" width="0.2"/>',
        'double': '<roadMark sOffset="0" type="solid solid" color="yellow" width="0.2"/>',
        'mixed': '<roadMark sOffset="0" type="solid broken" color="white" width="0.2"/>'}
    settings = CameraSettings(pitch=60.0, z=4.0, x=0.0)
    pixels = settings.width / 2.0 / 4.0     # a metre at the image's middle is about this wide
    found = {}
    for name, mark in marks.items():
        camera = Camera(Town.from_opendrive(support.road(mark=mark)), settings, SEED)
        lines = []
        for x in np.arange(100.0, 109.0, 0.5):
            image = camera.render(Pose(x, 0.0, 0.0, 0.0))
            value = image[297:304, 400 - int(pixels):400 + int(pixels), 2].mean(axis=0)
            painted = value > np.median(value) + 45.0
            lines.append(int((np.diff(painted.astype(int)) == 1).sum()))
        found[name] = lines
        if name == 'double':
            row = image[300, 400 - int(pixels):400 + int(pixels)].astype(float)
            assert (row[:, 2] - row[:, 0]).max() > 80.0
    assert set(found['none']) == {0}
    assert set(found['solid']) == {1}
    assert set(found['broken']) == {0, 1}
    # 3 m of 9 m, seen every half metre.
    assert 5 <= sum(found['broken']) <= 7
    assert set(found['double']) == {2}
    assert set(found['mixed']) == {1, 2}
    assert 5 <= sum(n == 2 for n in found['mixed']) <= 7


def test_solid_is_to_the_left_in_a_solid_broken_centre_line():
    mark = '<roadMark sOffset="0" type="solid broken" color="white" width="0.2"/>'
    lines = Camera(Town.from_opendrive(support.road(mark=mark))).scene.lines
    solid = [line for line in lines if line.stations[-1] - line.stations[0] > 300.0
             and abs(line.centre[0, 1]) < 1.0]
    dashes = [line for line in lines if line.stations[-1] - line.stations[0] < 5.0]
    assert [round(float(line.centre[0, 1]), 2) for line in solid] == [0.2]
    assert {round(float(line.centre[0, 1]), 2) for line in dashes} == {-0.2}


def test_sky_is_above_the_horizon_and_ground_below(town):
    for seed in range(4):
        camera = Camera(town, CameraSettings(pitch=-6.0), seed)
        camera.scenery.kind[:] = -1
        image = camera.render(Pose(100.0, -1.75, 0.0, 0.0))
        horizon = 300.0 + camera.intrinsics.fy * math.tan(math.radians(6.0))
        above, below = image[int(horizon) - 3, :, :3], image[int(horizon) + 40, :, :3]
        assert np.abs(above.astype(int).mean(axis=0) - below.mean(axis=0)).max() > 20.0
        # Grass beside the road, asphalt on it.
        column, row = camera.project(Pose(100.0, -1.75, 0.0, 0.0),
                                     [(120.0, 14.0, 0.0)])[0][0].astype(int)
        grass = image[row - 5:row + 5, column - 10:column + 10].reshape(-1, 4).mean(axis=0)
        assert grass[1] > grass[0] and grass[1] > 0.95 * grass[2]
        asphalt = image[-30:, 380:420].reshape(-1, 4)[:, :3].mean(axis=0)
        assert np.ptp(asphalt) < 25.0
        # With no roll, a horizon that is level: sky on one side of it, haze on the other.
        tilted = Camera(town, CameraSettings(roll=20.0), seed).render(Pose(100.0, 0.0, 0.0, 0.0))
        left, right = tilted[:, 5, :3].astype(int), tilted[:, -5, :3].astype(int)
        assert np.abs(left[300 - 60] - right[300 + 60]).sum() > 30
        assert np.argmax(np.abs(np.diff(image[:, 10, 1].astype(int)))) > horizon - 5


def test_camera_looks_straight_down_and_straight_up(town):
    pose = Pose(100.0, -1.75, 0.0, 0.0)
    down = Camera(town, CameraSettings(pitch=90.0), SEED).render(pose)
    assert np.ptp(down[250:350, 350:450, :3].reshape(-1, 3).mean(axis=0)) < 25.0
    up = Camera(town, CameraSettings(pitch=-90.0), SEED).render(pose)
    assert up[:, :, :3].reshape(-1, 3).std(axis=0).max() < 60.0


def test_bonnet_is_seen_from_behind_the_windscreen(town):
    pose = Pose(100.0, -1.75, 0.0, 0.0)
    inside = CameraSettings(x=0.2, z=1.25)
    without = Camera(town, inside, SEED).render(pose)
    image = Camera(town, dataclasses.replace(inside, bonnet=True), SEED).render(pose)
    changed = (image != without).any(axis=2)
    assert changed[-20:, 100:700].all()
    assert not changed[:350].any()


def test_image_is_bgra_with_full_alpha(town):
    for size in ((800, 600), (256, 192), (161, 97), (8, 8)):
        camera = Camera(town, CameraSettings(width=size[0], height=size[1]), SEED)
        image = camera.render(Pose(100.0, -1.75, 0.0, 0.3), boxes(car(112.0, 0.0)))
        assert image.shape == (size[1], size[0], 4) and image.dtype == np.uint8
        assert (image[:, :, 3] == 255).all()


def test_same_seed_pose_and_cars_give_the_same_bytes(town):
    pose, others = Pose(80.0, -1.75, 0.0, 0.1), boxes(car(95.0, -1.0), car(120.0, 1.75, 3.1))
    first, second = Camera(town, seed=3), Camera(town, seed=9)
    want = first.render(pose, others)
    # Whatever was drawn before, and in whatever buffer.
    second.render(Pose(20.0, 3.0, 0.0, 2.0), boxes(car(30.0, 0.0)))
    second.reseed(3)
    out = np.full_like(want, 77)
    assert second.render(pose, others, out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(first.render(pose, others), want)


_DIGEST = """
import hashlib, sys
import numpy as np
from av_td3_ros.driving.frames import Pose
from av_td3_ros.simulation.camera import Boxes, Camera
from av_td3_ros.simulation.town import default_town, Town
town = Town.load(default_town())
camera = Camera(town, seed=11)
digest = hashlib.sha256()
for pose in town.spawn_points[::37]:
    ahead = [[pose.x + 12.0], [pose.y], [pose.z], [0.7], [4.5], [1.8], [1.5], [2]]
    digest.update(camera.render(pose, Boxes(*map(np.array, ahead))).tobytes())
print(digest.hexdigest())
"""


def test_same_bytes_in_another_process():
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]),
                       PYTHONHASHSEED='123')
    other = subprocess.run([sys.executable, '-c', _DIGEST], env=environment, check=True,
                           capture_output=True, text=True, timeout=100).stdout.strip()
    town, digest = Town.load(default_town()), hashlib.sha256()
    camera = Camera(town, seed=11)
    for pose in town.spawn_points[::37]:
        ahead = [[pose.x + 12.0], [pose.y], [pose.z], [0.7], [4.5], [1.8], [1.5], [2]]
        digest.update(camera.render(pose, Boxes(*map(np.array, ahead))).tobytes())
    assert digest.hexdigest() == other


def test_seed_changes_the_look_but_not_the_geometry(town):
    camera, pose = Camera(town), Pose(100.0, -1.75, 0.0, 0.0)
    images = []
    for seed in range(6):
        camera.reseed(seed)
        images.append(camera.render(pose))
    means = np.array([image[:, :, :3].reshape(2, -1, 3).mean(axis=1) for image in images])
    assert means.std(axis=0).min() > 2.0
    for image in images:
        # The solid line at the right edge of the lane, at one place in all of them.
        line = support.pinhole(camera.settings, pose, [(107.0, -3.5 + 0.075, 0.0)])[0]
        row, column = int(line[1]), int(line[0])
        value = image[row, column - 25:column + 26, :3].min(axis=1).astype(float)
        bright = value > 0.5 * (value.max() + np.median(value))
        assert abs(np.flatnonzero(bright)[0] - 25 - line[0] % 1.0) < 1.5
        assert value[28:33].mean() > np.median(value[:15]) + 30.0


@pytest.mark.parametrize('settings', [
    CameraSettings(), CameraSettings(x=-20.0, z=60.0, pitch=55.0, yaw=-40.0),
    CameraSettings(pitch=-15.0, roll=30.0, yaw=120.0, fov=50.0),
    CameraSettings(width=256, height=192, z=1.0, pitch=25.0)])
def test_nothing_in_sight_is_left_out(settings):
    town = Town.load(default_town())
    camera = Camera(town, settings, SEED)
    spread = camera._spread
    for pose in town.spawn_points[::80]:
        others = boxes(*((p.x, p.y, p.z, p.yaw, 4.5, 1.8, 1.5, 1)
                         for p in town.spawn_points[3::11]))
        camera._spread = spread
        image = camera.render(pose, others)
        camera._spread = 1e3        # nothing is left out for lying aside
        np.testing.assert_array_equal(image, camera.render(pose, others))


def test_markings_are_seen_at_84_by_84(town):
    for size in ((800, 600), (256, 192)):
        camera = Camera(town, CameraSettings(width=size[0], height=size[1]), SEED)
        contrast = []
        for x in np.arange(100.0, 103.0, 0.21):
            image = camera.render(Pose(x, -1.75, 0.0, 0.0))
            grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY), (84, 84),
                              interpolation=cv2.INTER_AREA).astype(float)
            # The right edge line 12 m ahead, against the asphalt to its left.
            column, row = support.pinhole(camera.settings, Pose(x, -1.75, 0.0, 0.0), [
                (x + 12.0, -3.5, 0.0)])[0] * 84.0 / np.array(size)
            row, column = int(row), int(column)
            contrast.append(grey[row, column - 1:column + 2].max()
                            - np.median(grey[row, column - 8:column - 3]))
        assert min(contrast) > 15.0
        assert np.std(contrast) < 0.35 * np.mean(contrast)


def test_wrong_settings_are_named(town):
    for values, name in (({'width': 0}, 'width'), ({'fov': 180.0}, 'fov'),
                         ({'z': -1.0}, 'z'), ({'pitch': 120.0}, 'pitch'),
                         ({'fov': float('nan')}, 'fov'), ({'height': 99999}, 'height')):
        with pytest.raises(SettingsError, match=name):
            Camera(town, CameraSettings(**values))
    with pytest.raises(SettingsError, match='fov'):
        build(CameraSettings, {'fov': '90'})


def test_wrong_buffer_is_refused(town):
    camera = Camera(town, CameraSettings(width=64, height=48))
    for out in (np.empty((48, 64, 3), np.uint8), np.empty((48, 64, 4), np.float32),
                np.empty((64, 48, 4), np.uint8).transpose(1, 0, 2)):
        with pytest.raises(ValueError, match='out'):
            camera.render(Pose(100.0, 0.0, 0.0, 0.0), out=out)
