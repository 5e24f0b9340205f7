# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What varies with the seed: light, colours, textures and sky."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from av_td3_ros.simulation.shade import TEXTURE, UNIT

AZIMUTHS, ELEVATIONS = 1024, 160        # of the panorama; azimuths are a power of two
LOWEST = math.radians(-3.0)             # elevation of the panorama's first row
HIGHEST = math.radians(60.0)            # and of its last one; above, the sky is even


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """
    The appearance of one episode.

    ``colours`` (1 + layers, 5) float32: blue, green, red in 0 to 255 and the contrasts of the
    fine and the coarse texture, for the open ground and each of ``scene.LAYERS``. ``haze`` (4,)
    float32: blue, green, red, reach in m. ``fine`` and ``coarse``: (TEXTURE, TEXTURE) int8 noise.
    ``sky`` (ELEVATIONS, AZIMUTHS) uint32 0xAARRGGBB. ``sun`` (3,) points towards the light in the
    map frame; ``ambient`` and ``direct`` are (3,) factors of blue, green and red. ``paints``
    (K, 3) are car colours.
    """

    colours: np.ndarray
    haze: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    sky: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    direct: np.ndarray
    paints: np.ndarray


_PAINTS = np.array([      # blue, green, red
    (235, 236, 238), (28, 26, 25), (150, 148, 146), (92, 90, 88), (140, 60, 25),
    (35, 30, 165), (60, 95, 40), (40, 140, 215), (110, 100, 60), (70, 60, 110)], np.float64)


def make_look(seed: int) -> Look:
    """Draw a look from a seed; equal seeds give equal looks, to the bit."""
    rng = np.random.default_rng([seed & (2**64 - 1), 0xCA3E7A])
    height = math.radians(rng.uniform(8.0, 65.0))       # of the sun
    azimuth = rng.uniform(0.0, 2.0 * math.pi)
    clouds = rng.uniform(0.0, 1.0)
    warmth = max(0.0, 1.0 - height / math.radians(35.0)) * (1.0 - 0.5 * clouds)
    sun = np.array([math.cos(height) * math.cos(azimuth), math.cos(height) * math.sin(azimuth),
                    math.sin(height)])
    strength = (0.75 + 0.25 * math.sin(height)) * (1.0 - 0.25 * clouds) * rng.uniform(0.92, 1.05)
    tint = np.array([1.0 - 0.30 * warmth, 1.0 - 0.08 * warmth, 1.0 + 0.06 * warmth])
    direct = tint * strength * (0.62 - 0.30 * clouds)
    ambient = np.array([1.04, 1.0, 0.97]) * strength * (0.50 + 0.24 * clouds)
    light = ambient + direct * (0.35 + 0.65 * math.sin(height))

    zenith = np.array([205.0, 140.0, 80.0])
    zenith += clouds * (np.array([176.0, 166.0, 158.0]) - zenith)
    zenith = zenith * (0.8 + 0.3 * strength) * (1.0 - 0.15 * warmth) * rng.uniform(0.9, 1.1)
    near = np.array([232.0, 222.0, 208.0]) * (1.0 - 0.12 * clouds) * tint ** 1.3
    near = np.clip(near * (0.75 + 0.27 * strength), 0.0, 252.0)
    haze = np.array([*near, rng.uniform(450.0, 1100.0)])

    grey = rng.uniform(72.0, 112.0)
    grass = np.array([rng.uniform(38, 62), rng.uniform(98, 124), rng.uniform(72, 112)])
    paving = rng.uniform(140.0, 176.0) * np.array([0.93, 0.98, 1.0])
    base = np.array([
        [*grass, rng.uniform(0.22, 0.38), rng.uniform(0.15, 0.3)],
        [rng.uniform(66, 84), rng.uniform(104, 118), rng.uniform(112, 134), 0.25, 0.12],
        [*paving, 0.10, rng.uniform(0.04, 0.10)],
        [*(np.full(3, rng.uniform(182.0, 205.0))), 0.08, 0.03],
        [grey * 1.02, grey, grey * 0.99, rng.uniform(0.10, 0.22), rng.uniform(0.04, 0.12)],
        [*(np.full(3, rng.uniform(228.0, 246.0))), 0.05, 0.02],
        [rng.uniform(30, 70), rng.uniform(168, 188), rng.uniform(225, 240), 0.05, 0.02],
        [0.0, 0.0, 0.0, 0.0, 0.0]])
    base[:-1, :3] *= light
    # What is left in a shadow is the sky's light, and the less the closer the car hangs above.
    base[-1, 0] = min(0.8, 0.3 + 0.5 * float((direct * math.sin(height) / light).mean()))
    return Look(
        base.astype(np.float32), haze.astype(np.float32), _noise(rng, 0.8), _noise(rng, 8.0),
        _sky(rng, zenith, near, sun, clouds, tint), sun, ambient, direct,
        (_PAINTS * rng.uniform(0.85, 1.1, (len(_PAINTS), 3))).astype(np.float32))


def _noise(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return one of a few tileable textures, shifted and turned at random."""
    texture = _texture(int(rng.integers(4)), size)[::rng.choice([-1, 1])]
    texture = np.roll(texture, rng.integers(TEXTURE, size=2), axis=(0, 1))
    return np.ascontiguousarray(texture.T if rng.random() < 0.5 else texture)


@functools.lru_cache(maxsize=None)
def _texture(number: int, size: float) -> np.ndarray:
    """Return tileable noise of features ``size`` texels wide, mean 0."""
    rng = np.random.default_rng([number, 0x7E87])
    white = np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE)))
    fy = np.fft.fftfreq(TEXTURE)[:, None]
    fx = np.fft.rfftfreq(TEXTURE)[None]
    noise = np.fft.irfft2(white * np.exp(-2.0 * (np.pi * size * 0.5) ** 2 * (fx**2 + fy**2)))
    noise = (noise - noise.mean()) / noise.std()
    return np.rint(np.clip(noise, -1.8, 1.8) * UNIT).astype(np.int8)


def _sky(rng, zenith, near, sun, clouds, tint) -> np.ndarray:
    elevation = np.linspace(LOWEST, HIGHEST, ELEVATIONS, dtype=np.float32)[:, None]
    azimuth = np.arange(AZIMUTHS, dtype=np.float32)[None] * np.float32(2.0 * np.pi / AZIMUTHS)
    height = np.clip(np.sin(elevation), 0.0, 1.0)
    level = height ** 0.55
    # A glow around the sun, and clouds as bands of noise that repeat around the horizon.
    sun = sun.astype(np.float32)
    toward = np.cos(elevation) * (np.cos(azimuth) * sun[0] + np.sin(azimuth) * sun[1]) \
        + np.sin(elevation) * sun[2]
    np.clip(toward, 0.0, 1.0, out=toward)
    toward *= toward * toward               # to the 24th power, by multiplying
    toward *= toward
    toward *= toward
    glow = toward * toward * np.float32(0.75 * (1.0 - 0.8 * clouds))
    cover = np.zeros((ELEVATIONS, AZIMUTHS), np.float32)
    for waves in (6, 13, 29, 61):
        small = rng.standard_normal((max(2, waves // 2), waves), dtype=np.float32)
        rows = np.linspace(0.0, len(small) - 1.0, ELEVATIONS)
        cover += _smooth(small, rows, np.arange(AZIMUTHS) * (waves / AZIMUTHS)) / waves ** 0.5
    cover *= 1.6
    cover += 2.2 * clouds - 1.1
    np.clip(cover, 0.0, 1.0, out=cover)
    cover *= 0.75 * np.clip(height * 6.0, 0.0, 1.0)
    white = np.array([240.0, 238.0, 236.0]) * (1.0 - 0.25 * clouds) * (0.4 + 0.6 * tint)
    bright = np.array([226.0, 246.0, 255.0]) * (0.3 + 0.7 * tint)
    packed = np.full((ELEVATIONS, AZIMUTHS), 0xFF000000, np.uint32)
    for k in range(3):
        part = np.float32(near[k]) + level * np.float32(zenith[k] - near[k])
        part = part + glow * (np.float32(bright[k]) - part)
        part += cover * (np.float32(white[k]) - part)
        packed |= np.clip(part, 0.0, 255.0).astype(np.uint32) << np.uint32(8 * k)
    return packed


def _smooth(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Interpolate a coarse grid that repeats along its columns."""
    def weights(at):
        share = (at - np.floor(at)).astype(np.float32)
        return share * share * (3.0 - 2.0 * share)
    r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
    r1, c1 = np.minimum(r + 1, len(values) - 1), (c + 1) % values.shape[1]
    wc, wr = weights(columns)[None], weights(rows)[:, None]
    across = values[:, c] * (1.0 - wc) + values[:, c1] * wc
    low = across[r]
    return low + wr * (across[r1] - low)
