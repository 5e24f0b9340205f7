# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A road of known geometry, a pinhole model of our own, and sub-pixel edges in an image."""

from __future__ import annotations

import math

import cv2
import numpy as np

WIDTH = 3.5                  # m, of each lane
DASH, GAP, PAINT = 4.0, 5.0, 0.30
LENGTH = 400.0


def road(elevation: str = '', mark: str = '', lanes: str = '') -> str:
    """
    Return a straight two-lane road from the origin along x as OpenDRIVE text.

    Its centre is broken (dashes of DASH every DASH + GAP metres, PAINT wide), its outer edges
    solid. ``mark`` replaces the centre's road mark, ``elevation`` adds a profile, ``lanes`` what
    follows on the right.
    """
    mark = mark or (
        f'<roadMark sOffset="0" type="broken" color="yellow" width="{PAINT}">'
        f'<type name="broken" width="{PAINT}"><line length="{DASH}" space="{GAP}" tOffset="0" '
        f'sOffset="0" width="{PAINT}"/></type></roadMark>')

    def lane(number: int) -> str:
        return (f'<lane id="{number}" type="driving" level="false">'
                f'<width sOffset="0" a="{WIDTH}" b="0" c="0" d="0"/>'
                '<roadMark sOffset="0" type="solid" color="white" width="0.15"/></lane>')

    return f"""<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name=""
version="1" north="0" south="0" east="0" west="0"/>
<road name="r" length="{LENGTH}" id="1" junction="-1"><link/>
<type s="0" type="town"><speed max="50" unit="km/h"/></type>
<planView><geometry s="0" x="0" y="0" hdg="0" length="{LENGTH}"><line/></geometry></planView>
<elevationProfile>{elevation or '<elevation s="0" a="0" b="0" c="0" d="0"/>'}</elevationProfile>
<lanes><laneOffset s="0" a="0" b="0" c="0" d="0"/><laneSection s="0">
<left>{lane(1)}</left><center><lane id="0" type="none" level="false">{mark}</lane></center>
<right>{lane(-1)}{lanes}</right></laneSection></lanes></road></OpenDRIVE>"""


def pinhole(settings, pose, points) -> np.ndarray:
    """
    Project map points (N, 3) to pixels (N, 2), worked out apart from the code under test.

    By camera_info: K from the field of view, the optical frame x right, y down, z forward.
    """
    focal = settings.width / (2.0 * math.tan(math.radians(settings.fov) / 2.0))
    k = np.array([[focal, 0.0, settings.width / 2.0], [0.0, focal, settings.height / 2.0],
                  [0.0, 0.0, 1.0]])

    def turn(axis, angle):
        return cv2.Rodrigues(np.eye(3)[axis] * angle)[0]

    body = turn(2, pose.yaw)
    roll, pitch, yaw = np.radians([settings.roll, settings.pitch, settings.yaw])
    link = body @ turn(2, yaw) @ turn(1, pitch) @ turn(0, roll)
    origin = np.array(pose[:3]) + body @ (settings.x, settings.y, settings.z)
    optical = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    seen = (np.asarray(points, float) - origin) @ (optical @ link.T).T
    assert (seen[:, 2] > 0.05).all()
    pixels = seen @ k.T
    return pixels[:, :2] / pixels[:, 2:]


def find_corners(image: np.ndarray, expected: np.ndarray, reach: float) -> np.ndarray:
    """
    Find the corners (4, 2) of a quadrilateral near the ``expected`` ones, to a part of a pixel.

    Each side is found for itself, then neighbours are made to meet.
    """
    lines = []
    for i in range(4):
        before, start, end, after = (expected[(i + k) % 4] for k in (-1, 0, 1, 2))
        # Looking along the neighbouring sides keeps what lies beyond them out of the profiles.
        across = 0.5 * (before - start + after - end)
        lines.append(find_edge(image, start, end, across, min(
            reach, 0.42 * np.linalg.norm(before - start), 0.42 * np.linalg.norm(after - end))))
    return np.array([meet(lines[i - 1], lines[i]) for i in range(4)])


def find_edge(image: np.ndarray, start, end, across, reach: float) -> np.ndarray:
    """
    Find a straight edge near the segment from ``start`` to ``end``; return its line (a, b, c).

    ``image`` (H, W) is scalar. Looks along ``across``, up to ``reach`` pixels to both sides; the
    edge is where a profile's mean puts an ideal step between the profile's ends.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.linalg.norm(end - start)
    normal = np.asarray(across, float) / np.linalg.norm(across)
    offsets = np.arange(-reach, reach + 0.01, 0.25)
    places = np.linspace(0.12, 0.88, max(12, int(length / 3.0)))
    base = start + places[:, None] * (end - start)
    grid = base[:, None] + offsets[None, :, None] * normal
    # Pixel (column, row) is the unit square from there: its middle is half a pixel on.
    profiles = cv2.remap(image.astype(np.float32), (grid[..., 0] - 0.5).astype(np.float32),
                         (grid[..., 1] - 0.5).astype(np.float32), cv2.INTER_LINEAR)
    inside = ((grid >= 1.0) & (grid < np.array(image.shape[::-1]) - 1.0)).all(axis=(1, 2))
    profiles, base = profiles[inside], base[inside]
    assert len(profiles) >= 6, 'the edge lies outside the image'
    ends = max(2, len(offsets) // 5)
    low, high = np.median(profiles[:, :ends]), np.median(profiles[:, -ends:])
    assert abs(high - low) > 6.0, 'there is no edge'
    level = (profiles - low) / (high - low)
    # The mean over the profile is where an ideal step would stand: robust against noise.
    shift = offsets[0] + (1.0 - np.clip(level, 0.0, 1.0).mean(axis=1)) * (offsets[-1] - offsets[0])
    points = base + shift[:, None] * normal
    for _ in range(2):
        centre = points.mean(axis=0)
        direction = np.linalg.svd(points - centre)[2][0]
        line = np.array([-direction[1], direction[0]])
        residual = (points - centre) @ line
        points = points[np.abs(residual) <= max(2.0 * residual.std(), 0.05)]
    return np.array([*line, -line @ centre])


def meet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return where two lines (a, b, c) meet, (2,)."""
    point = np.cross(first, second)
    return point[:2] / point[2]
