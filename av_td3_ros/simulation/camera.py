# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The camera of the embedded town: a true perspective image, rendered on one processor core.

Pinhole model as CARLA's ``sensor.camera.rgb`` and its bridge's ``camera_info``: no distortion,
focal length ``width / (2 tan(fov / 2))`` pixels for both axes, principal point in the middle
``(width / 2, height / 2)``; pixel (column, row) is the unit square that begins there.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple, Protocol

import numpy as np

from av_td3_ros.driving.frames import Pose
from av_td3_ros.settings import build, setting
from av_td3_ros.simulation import backdrop, cars, raster, shade, solids
from av_td3_ros.simulation.cars import Boxes
from av_td3_ros.simulation.look import AZIMUTHS, ELEVATIONS, HIGHEST, LOWEST, make_look
from av_td3_ros.simulation.scene import Patches, PLANES, scene_of
from av_td3_ros.simulation.scenery import make_scenery
from av_td3_ros.simulation.vehicle import VehicleSettings

__all__ = ['Boxes', 'Camera', 'CameraSettings', 'Intrinsics']

_HORIZON = 6000.0       # m where the ground ends
_CAR_REACH = 250.0      # m up to which cars are drawn
_LOWEST_CAMERA = 0.2    # m above the ground; the view from below it is that from there


@dataclasses.dataclass(frozen=True)
class CameraSettings:
    """The camera's size and its mounting on the car, named as CARLA's ``objects.json`` does."""

    width: int = setting(800, 'image width in pixels', ge=8, le=4096)
    height: int = setting(600, 'image height in pixels', ge=8, le=4096)
    fov: float = setting(90.0, 'horizontal field of view in degrees', ge=10.0, le=160.0)
    x: float = setting(2.0, "mounting forward of the car's origin in m", ge=-20.0, le=20.0)
    y: float = setting(0.0, "mounting to the left of the car's origin in m", ge=-20.0, le=20.0)
    z: float = setting(2.0, 'mounting above the ground in m', ge=0.2, le=100.0)
    roll: float = setting(0.0, 'mounting turned about x (forward) in degrees', ge=-180.0,
                          le=180.0)
    pitch: float = setting(0.0, 'mounting turned about y (left) in degrees: positive looks down',
                           ge=-90.0, le=90.0)
    yaw: float = setting(0.0, 'mounting turned about z (up) in degrees: positive looks left',
                         ge=-180.0, le=180.0)
    bonnet: bool = setting(False, "whether the car's own body is drawn: its bonnet is seen "
                           'from a mounting such as x 0.2, z 1.25')


class Intrinsics(NamedTuple):
    """Focal lengths and principal point in pixels, as in ``camera_info``'s K."""

    fx: float
    fy: float
    cx: float
    cy: float


class Others(Protocol):
    """What :meth:`Camera.render` reads of the other cars; :class:`Boxes` has it."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    yaw: np.ndarray
    length: np.ndarray
    width: np.ndarray
    height: np.ndarray
    colour: np.ndarray


class Camera:
    """
    Renders what a camera on the ego car sees.

    ``town`` is a :class:`Town`; several cameras of one town share its geometry. The look (light,
    colours, textures, sky) depends on ``seed`` alone: the same seed, town, pose and cars give the
    same bytes. A wrong setting raises :class:`SettingsError`. Not for use by two threads at once.
    """

    def __init__(self, town, settings: CameraSettings | None = None, seed: int = 0) -> None:
        """Prepare the buffers and the town's geometry."""
        settings = build(CameraSettings, dataclasses.asdict(settings or CameraSettings()),
                         where='camera')
        self.settings = settings
        self.scene = scene_of(town)
        width, height = settings.width, settings.height
        focal = width / (2.0 * math.tan(math.radians(settings.fov) / 2.0))
        self.intrinsics = Intrinsics(focal, focal, width / 2.0, height / 2.0)
        self._spread = math.hypot(width, height) / (2.0 * focal)
        self._axes = _mounting(settings)
        self._directions = _directions(self.intrinsics, width, height, self._axes)
        padded = -(-width // shade.BLOCK) * shade.BLOCK
        self._planes = np.zeros((PLANES, height, padded), np.uint8)
        self._words = self._planes.view(np.uint64)
        self._edges = np.empty((2, height * 16))
        self._rows = np.empty((7, width), np.float32)
        self._no_depth = np.empty((0, 0), np.float32)
        self._depth = np.zeros((height, width), np.float32)
        self._faces = np.empty((0, 4, 3), np.float32)
        self._colours = np.empty((0, 3), np.float32)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Take the look of another seed."""
        self.seed = int(seed)
        self.look = make_look(self.seed)
        self.scenery = make_scenery(self.scene.sites, self.seed)

    def render(self, ego: Pose, others: Others | None = None,
               out: np.ndarray | None = None) -> np.ndarray:
        """
        Return the image, (height, width, 4) uint8 bgra with alpha 255.

        ``ego`` is the car's pose in the map frame; ``others`` the other cars. ``out`` is written
        to and returned where given: a C-contiguous array of that shape and type, else ValueError.
        """
        shape = (self.settings.height, self.settings.width, 4)
        if out is None:
            out = np.empty(shape, np.uint8)
        elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f'out must be a contiguous uint8 array of shape {shape}')
        view, look, scene = self._view(ego), self.look, self.scene
        pixels = out.view(np.uint32)[:, :, 0]
        self._depth[:] = 0.0
        land = self._depth if scene.relief else self._no_depth
        for patches in scene.relief:
            self._pave(patches, view, land)
        self._pave(scene.ground, view, land)
        boxes = self._boxes(ego, others, view)
        cars.cast_shadows(boxes, view, self._spread, look.sun, self._planes[-1],
                          self.settings.width, self._edges, land)
        heading = int(round(-ego.yaw / (2.0 * math.pi) * AZIMUTHS))
        shade.shade(view, scene.height, _HORIZON, self._planes, self._words, land,
                    look.colours, look.haze, look.fine, look.coarse, self._directions, look.sky,
                    heading, self._rows, pixels)
        if len(boxes):
            count = cars.place_cars(
                boxes, cars.FACES, cars.FACE_MATERIALS, cars.MATERIALS, look.paints, view,
                look.sun, look.ambient, look.direct, self._faces, self._colours)
            solids.draw(view, self._spread, self._faces, self._colours, count, look.haze,
                        self._edges, self._depth, pixels)
        sites, scenery = scene.sites, self.scenery
        backdrop.draw_backdrop(
            view, self._spread, sites.place, scenery.kind, scenery.size, scenery.colours,
            sites.starts, sites.grid, look.sun, look.ambient, look.direct, look.haze,
            self._edges, self._depth, pixels)
        return out

    def _pave(self, patches: Patches, view: np.ndarray, land: np.ndarray) -> None:
        raster.pave(view, self._spread, patches.coarse, patches.coarse_spheres, patches.layers,
                    patches.reaches, patches.children, patches.fine, patches.fine_spheres,
                    patches.starts, patches.grid, self._planes, self.settings.width,
                    self._edges, land)

    def project(self, ego: Pose, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return where map points (N, 3) appear, (N, 2) column and row, and their depth (N,) in m.

        Points with a depth of 0 or less lie behind the camera: their place means nothing.
        """
        view = self._view(ego)
        axes = view[6:15].reshape(3, 3)
        right, down, forward = ((np.asarray(points, np.float64) - view[3:6]) @ axes.T).T
        with np.errstate(divide='ignore', invalid='ignore'):
            place = np.stack([right / forward, down / forward], axis=1)
        return place * self.intrinsics.fx + self.intrinsics[2:], forward

    def _view(self, ego: Pose) -> np.ndarray:
        cos, sin = math.cos(ego.yaw), math.sin(ego.yaw)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        mount = turn @ (self.settings.x, self.settings.y, self.settings.z)
        view = np.zeros(16)
        view[0:3] = self.intrinsics.fx, self.intrinsics.cx, self.intrinsics.cy
        view[3:6] = mount + (ego.x, ego.y, ego.z)
        if not self.scene.relief:
            view[5] = max(view[5], self.scene.height + _LOWEST_CAMERA)
        view[6:15] = (self._axes @ turn.T).reshape(-1)
        return view

    def _boxes(self, ego: Pose, others: Others | None, view: np.ndarray) -> np.ndarray:
        boxes = np.empty((0, 8))
        if others is not None and len(others.x):
            boxes = np.stack([getattr(others, name) for name in Boxes._fields], axis=1,
                             dtype=np.float64)
            near = np.hypot(boxes[:, 0] - view[3], boxes[:, 1] - view[4]) < _CAR_REACH
            boxes = boxes[near]
        if self.settings.bonnet:
            # From inside, faces turned away are not drawn: what is left to see is the bonnet.
            size = VehicleSettings.length, VehicleSettings.width, VehicleSettings.height
            boxes = np.concatenate([boxes, [(*ego, *size, self.seed % 997)]])
        need = len(boxes) * len(cars.FACES)
        if need > len(self._faces):
            self._faces = np.empty((need, 4, 3), np.float32)
            self._colours = np.empty((need, 3), np.float32)
        return np.ascontiguousarray(boxes)


def _mounting(settings: CameraSettings) -> np.ndarray:
    """Return the optical axes (right, down, forward) in the car's body frame, (3, 3)."""
    cr, sr = _cos_sin(settings.roll)
    cp, sp = _cos_sin(settings.pitch)
    cy, sy = _cos_sin(settings.yaw)
    # Fixed-axis roll, pitch, yaw as in REP-103.
    rotation = (np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
                @ np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
                @ np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]]))
    return np.stack([-rotation[:, 1], -rotation[:, 2], rotation[:, 0]])


def _cos_sin(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _directions(intrinsics: Intrinsics, width: int, height: int, axes: np.ndarray) -> np.ndarray:
    """Return each pixel's place in the sky's panorama for a car that heads along x."""
    column = (np.arange(width) + 0.5 - intrinsics.cx) / intrinsics.fx
    row = (np.arange(height) + 0.5 - intrinsics.cy) / intrinsics.fy
    rays = (column[None, :, None] * axes[0] + row[:, None, None] * axes[1] + axes[2])
    azimuth = np.arctan2(rays[..., 1], rays[..., 0]) / (2.0 * np.pi) * AZIMUTHS
    elevation = np.arctan2(rays[..., 2], np.hypot(rays[..., 0], rays[..., 1]))
    level = np.clip((elevation - LOWEST) / (HIGHEST - LOWEST) * (ELEVATIONS - 1), 0,
                    ELEVATIONS - 1)
    return (np.rint(level).astype(np.int32) * AZIMUTHS
            + np.rint(azimuth).astype(np.int32) % AZIMUTHS)
