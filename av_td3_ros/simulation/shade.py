# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Colour for the ground and the sky: textures, layers by their coverage, haze.

Works row by row in float32 arrays that stay in the processor's first cache; each step is a loop
that the compiler turns into vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from av_td3_ros.simulation.jit import compiled

# Texels a side of the two tileable noise textures, as int8: both fit into the first cache.
TEXTURE = 128
UNIT = 70.0                 # what stands for 1
FINE, COARSE = 0.021, 0.37  # m a texel
BLOCK = 32                  # pixels of a row whose layers are looked at together
_WORDS = BLOCK // 8
_FULL = np.uint64(2**64 - 1)
_SHARP = 6.0                # m; beyond, the fine texture fades as its texels shrink


@compiled('void(float64[:], int64, float64, float32[:, ::1], int64, int64, int8[:, ::1], '
          'int8[:, ::1], float32[:, ::1])', fastmath=True)
def _texture(view, row, ground, depth, begin, end, fine, coarse, rows):
    """Find distance and both textures of a row's ground pixels; rows 0 to 2 receive them."""
    distance, small, large = rows[0], rows[1], rows[2]
    focal = view[0]
    up = (row + 0.5 - view[2]) / focal
    # The ray of column c is base + c * step; its part along the optical axis is 1.
    step_x, step_y, step_z = view[6] / focal, view[7] / focal, view[8] / focal
    aside = (0.5 - view[1]) / focal
    base_x = view[12] + up * view[9] + aside * view[6]
    base_y = view[13] + up * view[10] + aside * view[7]
    base_z = view[14] + up * view[11] + aside * view[8]
    if depth.shape[0] > 0:
        for x in range(begin, end):
            distance[x] = np.float32(1.0) / depth[row, x]
    else:
        a, b = np.float32(step_z / (ground - view[5])), np.float32(base_z / (ground - view[5]))
        for x in range(begin, end):
            distance[x] = np.float32(1.0) / (b + a * np.float32(x))
    # Whole tiles of the coarse texture are taken off, so that float32 keeps its precision.
    tile = FINE * TEXTURE
    near_x = np.float32((view[3] / tile - math.floor(view[3] / tile)) * TEXTURE + 65536.0)
    near_y = np.float32((view[4] / tile - math.floor(view[4] / tile)) * TEXTURE + 65536.0)
    wide = COARSE * TEXTURE
    far_x = np.float32((view[3] / wide - math.floor(view[3] / wide)) * TEXTURE + 65536.0)
    far_y = np.float32((view[4] / wide - math.floor(view[4] / wide)) * TEXTURE + 65536.0)
    bx, by = np.float32(base_x), np.float32(base_y)
    sx, sy = np.float32(step_x), np.float32(step_y)
    per_fine, per_coarse = np.float32(1.0 / FINE), np.float32(1.0 / COARSE)
    unit, fading = np.float32(1.0 / UNIT), np.float32(_SHARP / UNIT)
    limit = np.float32(1200.0)
    for x in range(begin, end):
        w = min(distance[x], limit)
        px, py = w * (bx + sx * np.float32(x)), w * (by + sy * np.float32(x))
        i = np.int32(near_x + px * per_fine) & (TEXTURE - 1)
        j = np.int32(near_y + py * per_fine) & (TEXTURE - 1)
        small[x] = np.float32(fine[j, i]) * min(unit, fading / w)
        i = np.int32(far_x + px * per_coarse) & (TEXTURE - 1)
        j = np.int32(far_y + py * per_coarse) & (TEXTURE - 1)
        large[x] = np.float32(coarse[j, i]) * unit


@compiled('void(float32[:, ::1], int64, int64, float32[::1])', fastmath=True)
def _begin(rows, begin, end, colour):
    """Start a row's pixels with one ``colour`` (blue, green, red, fine, coarse contrast)."""
    blue, green, red, small, large = rows[3], rows[4], rows[5], rows[1], rows[2]
    for x in range(begin, end):
        light = np.float32(1.0) + colour[3] * small[x] + colour[4] * large[x]
        blue[x] = colour[0] * light
        green[x] = colour[1] * light
        red[x] = colour[2] * light


@compiled('void(float32[:, ::1], int64, int64, uint8[::1], float32[::1])', fastmath=True)
def _lay(rows, begin, end, coverage, colour):
    """Blend a layer of ``colour`` over a row's pixels by its coverage."""
    blue, green, red, small, large = rows[3], rows[4], rows[5], rows[1], rows[2]
    share = np.float32(1.0 / 255.0)
    one = np.float32(1.0)
    for x in range(begin, end):
        alpha = np.float32(coverage[x]) * share
        light = one + colour[3] * small[x] + colour[4] * large[x]
        blue[x] += alpha * (colour[0] * light - blue[x])
        green[x] += alpha * (colour[1] * light - green[x])
        red[x] += alpha * (colour[2] * light - red[x])


@compiled('void(float32[:, ::1], int64, int64, uint8[::1], float32)', fastmath=True)
def _dim(rows, begin, end, coverage, strength):
    """Take away the share ``strength`` of the light where a shadow lies."""
    blue, green, red = rows[3], rows[4], rows[5]
    share = strength * np.float32(1.0 / 255.0)
    for x in range(begin, end):
        light = np.float32(1.0) - share * np.float32(coverage[x])
        blue[x] *= light
        green[x] *= light
        red[x] *= light


@compiled('void(float32[:, ::1], int64, int64, float32[::1], uint32[::1])', fastmath=True)
def _finish(rows, begin, end, haze, out):
    """Mix the haze in and write a row's ground pixels as 0xAARRGGBB."""
    distance, blue, green, red = rows[0], rows[3], rows[4], rows[5]
    reach, top, zero = haze[3], np.float32(255.0), np.float32(0.5)
    for x in range(begin, end):
        clear = reach / (reach + distance[x])
        clear *= clear
        b = haze[0] + clear * (blue[x] - haze[0]) + zero
        g = haze[1] + clear * (green[x] - haze[1]) + zero
        r = haze[2] + clear * (red[x] - haze[2]) + zero
        b, g, r = min(max(b, zero), top), min(max(g, zero), top), min(max(r, zero), top)
        out[x] = np.uint32(np.int32(b) | (np.int32(g) << 8) | (np.int32(r) << 16)) \
            | np.uint32(0xFF000000)


@compiled('int64(uint64[:, :, ::1], int64, int64, int64)')
def _content(words, row, block, solid):
    """
    Tell what a block of pixels holds: bit i is set where layer i shows.

    Of the first ``solid`` layers, those below one that covers the whole block do not show; bit
    16 + i says that layer i is the lowest that shows, and covers it.
    """
    content, layers = 0, words.shape[0]
    for layer in range(layers - 1, -1, -1):
        low, high = _FULL, np.uint64(0)
        for k in range(block * _WORDS, block * _WORDS + _WORDS):
            low &= words[layer, row, k]
            high |= words[layer, row, k]
        if layer < solid and low == _FULL:
            return content | (1 << (16 + layer))
        if high != 0:
            content |= 1 << layer
    return content


@compiled('void(float64[:], int64, int64, int64, uint8[:, :, ::1], uint64[:, :, ::1], '
          'float32[:, ::1], float32[:, ::1])', fastmath=True)
def _compose(view, row, begin, end, planes, words, colours, rows):
    """Lay the ground and the layers that show over one another, run by run of equal blocks."""
    layers = planes.shape[0]
    solid = layers - 3                  # markings and shadow do not hide what lies below them
    block, last = begin // BLOCK, (end - 1) // BLOCK
    while block <= last:
        content = _content(words, row, block, solid)
        next_block = block + 1
        while next_block <= last and _content(words, row, next_block, solid) == content:
            next_block += 1
        x0, x1 = max(begin, block * BLOCK), min(end, next_block * BLOCK)
        base = 0
        for layer in range(solid):
            if content & (1 << (16 + layer)):
                base = layer + 1
        _begin(rows, x0, x1, colours[base])
        for layer in range(base, layers - 1):
            if content & (1 << layer):
                _lay(rows, x0, x1, planes[layer, row], colours[layer + 1])
        if content & (1 << (layers - 1)):
            _dim(rows, x0, x1, planes[layers - 1, row], colours[layers, 0])
        block = next_block


@compiled('void(float64[:], float64, float64, uint8[:, :, ::1], uint64[:, :, ::1], '
          'float32[:, ::1], float32[:, ::1], float32[::1], int8[:, ::1], int8[:, ::1], '
          'int32[:, ::1], uint32[:, ::1], int64, float32[:, ::1], uint32[:, ::1])', fastmath=True)
def shade(view, ground, horizon, planes, words, depth, colours, haze, fine, coarse, directions,
          sky, heading, rows, out):
    """
    Colour ground and sky into ``out`` (H, W) and empty the layers' planes for the next frame.

    ``planes`` (L, H, >= W) have rows of whole blocks of BLOCK pixels; ``words`` are the same bytes,
    eight at a time. ``ground`` is the height of a flat town's ground in metres; with ``depth`` (H, W) the inverse
    distances of an uneven one count instead. ``colours`` (1 + L, 5) are the ground's and the
    layers', the last layer is the shadow, whose
    first entry is the share of light that it takes away. ``haze`` is blue, green, red and
    its reach in metres. ``directions`` (H, W) are the pixels' places in the panorama ``sky``
    (elevation, azimuth), which is turned by ``heading`` columns. ``horizon`` is the distance in
    metres where the ground ends. ``rows`` (6, W) is scratch.
    """
    height, width = out.shape
    layers = planes.shape[0]
    azimuths = sky.shape[1]
    flat_sky = sky.reshape(-1)
    uneven = depth.shape[0] > 0
    for row in range(height):
        begin, end = 0, width
        if uneven:
            while begin < width and depth[row, begin] <= 0.0:
                begin += 1
            while end > begin and depth[row, end - 1] <= 0.0:
                end -= 1
        else:
            drop = view[5] - ground
            up = (row + 0.5 - view[2]) / view[0]
            slope = -view[8] / view[0] / drop
            level = -(view[14] + up * view[11] - (view[1] - 0.5) / view[0] * view[8]) / drop
            # Ground where level + slope * column >= 1 / horizon.
            edge = 1.0 / horizon - level
            if abs(slope) * width < 1e-9:
                if edge > 0.0:
                    end = 0
            elif slope > 0.0:
                begin = int(min(max(math.ceil(edge / slope), 0.0), float(width)))
            else:
                end = int(min(max(math.floor(edge / slope) + 1.0, 0.0), float(width)))
        for side in range(2):
            x0, x1 = (0, min(begin, end)) if side == 0 else (max(begin, end), width)
            if end <= begin:
                x0, x1 = (0, width) if side == 0 else (width, width)
            for x in range(x0, x1):
                place = directions[row, x]
                column = (place + heading) & (azimuths - 1)
                out[row, x] = flat_sky[(place & ~(azimuths - 1)) | column]
        if begin < end:
            _texture(view, row, ground, depth, begin, end, fine, coarse, rows)
            _compose(view, row, begin, end, planes, words, colours, rows)
        for layer in range(layers):
            words[layer, row] = 0
        if begin < end:
            _finish(rows, begin, end, haze, out[row])
            if uneven:
                for x in range(begin, end):
                    if depth[row, x] <= 0.0:
                        place = directions[row, x]
                        column = (place + heading) & (azimuths - 1)
                        out[row, x] = flat_sky[(place & ~(azimuths - 1)) | column]
