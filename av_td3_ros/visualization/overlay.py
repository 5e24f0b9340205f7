# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawing on camera frames: the route where it lies on the road, the action, the figures."""

from __future__ import annotations

import dataclasses
import math
from typing import Mapping, Sequence

import cv2
import numpy as np

from av_td3_ros.driving.frames import Control, Pose, to_body

GREEN, RED, WHITE, AMBER = (90, 220, 60), (60, 60, 230), (255, 255, 255), (40, 190, 250)
VIOLET = (255, 120, 230)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_NEAR = 0.5       # m in front of the camera from where on the route is drawn
_HALF_WIDTH = 0.35  # m, of the band that marks the route
_AHEAD = 60.0     # m of the route that are drawn


@dataclasses.dataclass(frozen=True)
class View:
    """
    A level pinhole camera on the car.

    fx, fy, cx, cy: ``K`` of its ``camera_info``, pixels. x, y, z: mounting in the body frame, m,
    z above the ground.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    x: float
    y: float
    z: float

    def project(self, ego: Pose, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return where map points (N, 3) appear, (N, 2) column and row, and their depth (N,), m.

        Those with no positive depth are behind the camera; their place means nothing.
        """
        body = to_body(ego, points[:, :2])
        depth = body[:, 0] - self.x
        left, up = body[:, 1] - self.y, points[:, 2] - ego.z - self.z
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        return np.stack([self.cx - self.fx * left / safe, self.cy - self.fy * up / safe],
                        axis=1), depth


@dataclasses.dataclass(frozen=True)
class Scene:
    """
    What a frame shows beside the picture.

    ahead: points of the route ahead of the car (N, 3), m, map frame. terms: share of each reward
    term in the last reward. title: the phase; note: a line below it. predicted: where the car is
    about to go, (N, 3). wish: the command that the policy itself would give.
    """

    pose: Pose
    ahead: np.ndarray
    control: Control
    speed: float
    completion: float
    terms: Mapping[str, float]
    title: str = ''
    note: str = ''
    predicted: np.ndarray | None = None
    wish: Control | None = None


def band(points: np.ndarray, half_width: float = _HALF_WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and right edge, (N, 3) each, of a band along points (N, 3), N >= 2."""
    along = np.gradient(points[:, :2], axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.column_stack([-along[:, 1], along[:, 0], np.zeros(len(points))]) * half_width
    return points + normal, points - normal


def draw(picture: np.ndarray, view: View | None, scene: Scene) -> np.ndarray:
    """
    Return a bgr copy, (H, W, 3) uint8, of a bgr or bgra picture with everything drawn on it.

    Without a ``view`` nothing is drawn that has a place on the road.
    """
    frame = picture[:, :, :3].copy()
    if view is not None:
        _draw_band(frame, view, scene.pose, scene.ahead, GREEN)
        if scene.predicted is not None:
            _draw_band(frame, view, scene.pose, scene.predicted, AMBER, 0.3 * _HALF_WIDTH, 0.8)
    unit = frame.shape[0] / 600.0
    _draw_head(frame, scene, unit)
    _draw_action(frame, scene, unit)
    _draw_terms(frame, scene.terms, unit)
    return frame


def _draw_band(frame: np.ndarray, view: View, pose: Pose, points: np.ndarray,
               colour: Sequence[int], half_width: float = _HALF_WIDTH, strength: float = 0.45
               ) -> None:
    if len(points) < 2:
        return
    left, right = band(points, half_width)
    left_px, left_depth = view.project(pose, left)
    right_px, right_depth = view.project(pose, right)
    seen = (left_depth > _NEAR) & (right_depth > _NEAR)
    first = int(np.argmax(seen))
    if not seen[first]:
        return
    # Up to where the line turns away behind the camera, if it does.
    last = first + int(np.argmin(np.append(seen[first:], False)))
    outline = np.concatenate([left_px[first:last], right_px[first:last][::-1]])
    height, width = frame.shape[:2]
    outline = np.clip(outline, -4.0 * width, 5.0 * width)
    low = np.clip(np.floor(outline.min(axis=0)), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, (width, height)).astype(int)
    part = frame[low[1]:high[1], low[0]:high[0]]
    if part.size == 0:
        return
    layer = part.copy()
    # With 4 fractional bits the band does not shiver from frame to frame.
    cv2.fillPoly(layer, [np.rint((outline - low) * 16).astype(np.int32)], tuple(colour),
                 cv2.LINE_AA, 4)
    part[:] = cv2.addWeighted(layer, strength, part, 1.0 - strength, 0.0)


def _shade(frame: np.ndarray, x: int, y: int, width: int, height: int) -> None:
    """Darken a part of the frame, so that text on it can be read."""
    part = frame[max(y, 0):y + height, max(x, 0):x + width]
    if part.size:
        part[:] = (part * 0.35).astype(np.uint8)


def _text(frame: np.ndarray, text: str, x: float, y: float, unit: float,
          colour: Sequence[int] = WHITE, size: float = 0.5) -> None:
    cv2.putText(frame, text, (round(x), round(y)), _FONT, size * unit, tuple(colour),
                max(1, round(unit)), cv2.LINE_AA)


def _draw_head(frame: np.ndarray, scene: Scene, unit: float) -> None:
    height, width = round(44 * unit), frame.shape[1]
    _shade(frame, 0, 0, width, height)
    _text(frame, scene.title, 10 * unit, 18 * unit, unit)
    _text(frame, scene.note, 10 * unit, 37 * unit, unit, (200, 200, 200), 0.42)
    _text(frame, f'{scene.speed * 3.6:4.0f} km/h', width - 120 * unit, 20 * unit, unit,
          size=0.6)
    done = max(0.0, min(scene.completion, 1.0))
    x, y, span = width - 120 * unit, 28 * unit, 105 * unit
    cv2.rectangle(frame, (round(x), round(y)), (round(x + span), round(y + 8 * unit)),
                  (120, 120, 120), 1)
    cv2.rectangle(frame, (round(x), round(y)), (round(x + span * done), round(y + 8 * unit)),
                  GREEN, -1)


def _draw_action(frame: np.ndarray, scene: Scene, unit: float) -> None:
    """Draw steering as a bar to its side, pedals as bars that rise, and wishes as lines."""
    height, width = frame.shape[:2]
    span, thick = 110 * unit, 12 * unit
    x, y = width / 2.0, height - 24 * unit
    _shade(frame, round(x - span - 70 * unit), round(y - 62 * unit), round(2 * span + 140 * unit),
           round(84 * unit))
    control = scene.control
    cv2.rectangle(frame, (round(x - span), round(y - thick)), (round(x + span), round(y)),
                  (120, 120, 120), 1)
    steer = max(-1.0, min(control.steer, 1.0))
    cv2.rectangle(frame, (round(min(x, x + steer * span)), round(y - thick)),
                  (round(max(x, x + steer * span)), round(y)), AMBER, -1)
    cv2.line(frame, (round(x), round(y - thick - 4)), (round(x), round(y + 4)), WHITE, 1)
    _text(frame, f'steer {steer:+.2f}', x - 34 * unit, y + 16 * unit, unit, size=0.4)
    wish = scene.wish
    if wish is not None:
        at = round(x + max(-1.0, min(wish.steer, 1.0)) * span)
        cv2.line(frame, (at, round(y - thick - 4)), (at, round(y + 4)), VIOLET, 2)
    for side, name, value, colour in ((-1, 'brake', control.brake, RED),
                                      (1, 'throttle', control.throttle, GREEN)):
        left = x + side * 36 * unit - 9 * unit
        top, bottom = y - 56 * unit, y - 18 * unit
        cv2.rectangle(frame, (round(left), round(top)), (round(left + 18 * unit), round(bottom)),
                      (120, 120, 120), 1)
        level = bottom - (bottom - top) * max(0.0, min(value, 1.0))
        cv2.rectangle(frame, (round(left), round(level)),
                      (round(left + 18 * unit), round(bottom)), colour, -1)
        if wish is not None:
            level = bottom - (bottom - top) * max(0.0, min(getattr(wish, name), 1.0))
            cv2.line(frame, (round(left - 4 * unit), round(level)),
                     (round(left + 22 * unit), round(level)), VIOLET, 2)
        _text(frame, f'{name} {value:.2f}',
              left + (24 * unit if side > 0 else -82 * unit), (top + bottom) / 2 + 4 * unit,
              unit, size=0.4)


def _draw_terms(frame: np.ndarray, terms: Mapping[str, float], unit: float) -> None:
    if not terms:
        return
    line = 15 * unit
    top = 52 * unit
    _shade(frame, 0, round(top), round(150 * unit), round(line * (len(terms) + 1) + 8 * unit))
    _text(frame, 'reward', 10 * unit, top + 13 * unit, unit, size=0.4)
    _text(frame, f'{sum(terms.values()):+.3f}', 96 * unit, top + 13 * unit, unit, size=0.4)
    for row, (name, value) in enumerate(terms.items(), start=1):
        y = top + 13 * unit + row * line
        colour = GREEN if value > 0 else (120, 120, 255) if value < 0 else (170, 170, 170)
        _text(frame, name.replace('_', ' '), 10 * unit, y, unit, (210, 210, 210), 0.38)
        _text(frame, f'{value + 0.0:+.3f}' if math.isfinite(value) else '?', 96 * unit, y, unit,
              colour, 0.38)


def points_ahead(points: np.ndarray, heights: np.ndarray, along: float,
                 reach: float = _AHEAD) -> np.ndarray:
    """
    Return a route's points (N, 3) from arc length ``along`` on, half a metre apart, m.

    ``points`` (N, 2) and ``heights`` (N,) describe the route; the result ends with it.
    """
    steps = np.hypot(*np.diff(points, axis=0).T)
    distance = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.arange(along, min(along + reach, distance[-1]), 0.5)
    return np.column_stack([np.interp(wanted, distance, column)
                            for column in (points[:, 0], points[:, 1], heights)])
