# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The annotated camera: the picture with everything drawn on it, and the policy's stack beside."""

from __future__ import annotations

import cv2
import numpy as np

from av_td3_ros.driving.image import STACK
from av_td3_ros.visualization.overlay import draw, Scene, View

FAINT = 0.05
"""
The attention that is drawn at full strength where there is none greater.

It is the change of an action that blurring a place brings (``learning/attention.py``). Without
this floor, a policy that does not look at its pictures at all would seem to look somewhere.
"""

_TO_BGR = {'bgra8': None, 'bgr8': None, 'rgba8': cv2.COLOR_RGBA2BGR, 'rgb8': cv2.COLOR_RGB2BGR,
           'mono8': cv2.COLOR_GRAY2BGR}
_LABELLED = 60  # pixels that a frame of the stack is high, from which on it has a label
_HEAT = 0.6     # of the attention's colour at most, so that the road stays visible


def annotate(picture: np.ndarray, encoding: str, view: View | None, scene: Scene,
             stack: np.ndarray | None, attention: np.ndarray | None) -> np.ndarray:
    """
    Return the annotated camera, (H, W + H // 4, 3) uint8, bgr.

    ``picture`` is (H, W, C) or (H, W) uint8 in ``encoding``. ``stack`` (4, 84, 84) uint8, oldest
    first, stands at the right, the oldest on top; without one that column is dark. ``attention``
    (84, 84) float32 lies on the picture, None for none.
    """
    code = _TO_BGR[encoding]
    frame = picture[..., :3] if code is None else cv2.cvtColor(picture, code)
    if attention is not None:
        frame = _heated(frame, attention)
    frame = draw(frame, view, scene)
    height = frame.shape[0]
    return np.hstack([frame, _column(stack, height, height // STACK)])


def _heated(frame: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Return the frame with the attention in colours on it, fading out where there is little."""
    strength = np.clip(attention / max(float(attention.max()), FAINT), 0.0, 1.0)
    level = cv2.resize(np.round(strength * 255.0).astype(np.uint8),
                       (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_JET)
    # Squared, so that little attention leaves the picture's own colours.
    share = _HEAT * np.square(level[..., None] / np.float32(255.0))
    return (frame * (1.0 - share) + colours * share).astype(np.uint8)


def _column(stack: np.ndarray | None, height: int, width: int) -> np.ndarray:
    column = np.zeros((height, width, 3), np.uint8)
    if stack is None:
        return column
    edges = np.linspace(0, height, len(stack) + 1).astype(int)
    for number, (top, bottom) in enumerate(zip(edges, edges[1:]), start=1 - len(stack)):
        # Each pixel of the policy's as a square, as it is.
        frame = cv2.resize(stack[number - 1], (width, bottom - top),
                           interpolation=cv2.INTER_NEAREST)
        column[top:bottom] = frame[..., None]
        if bottom - top < _LABELLED:
            continue
        label = 'now' if not number else str(number)
        for colour, thickness in ((0, 0, 0), 3), ((255, 255, 255), 1):
            cv2.putText(column, label, (5, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour,
                        thickness, cv2.LINE_AA)
    return column
