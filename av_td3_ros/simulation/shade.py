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

from av_td3_ros.jit import compiled

# Texels a side of the two tileable noise textures, as int8: both fit into the first cache.
TEXTURE = 128
_SHIFT = 7                  # its logarithm
UNIT = 70.0                 # what stands for 1
FINE, COARSE = 0.021, 0.37  # m a texel
BLOCK = 32                  # pixels of a row whose layers are looked at together
_WORDS = BLOCK // 8
_FULL = np.uint64(2**64 - 1)
_SHARP = 6.0                # m; beyond, the fine texture fades as its texels shrink


# The loops below run from 0 over whole (pieces of) arrays and write one array each: so the
# compiler knows that no index is negative, can tell arrays apart, and makes vector instructions.

@compiled('void(float32[::1], float32, float32)', fastmath=True)
def _distances(out, base, step):
    """Find the distances along a row from the inverse ones, base + step * column."""
    for x in range(out.shape[0]):
        out[x] = np.float32(1.0) / (base + step * np.float32(x))


@compiled('void(float32[::1], float32, float32, float32, float32, float32, float32, int32[::1])',
          fastmath=True)
def _texels(distance, x0, y0, base_x, base_y, step_x, step_y, out):
    """Find a row's texels in a flat texture; coordinates are in texels, (x0, y0) below us."""
    limit, mask = np.float32(1200.0), np.int32(TEXTURE - 1)
    for x in range(out.shape[0]):
        w, column = min(distance[x], limit), np.float32(x)
        i = np.int32(x0 + w * (base_x + step_x * column)) & mask
        j = np.int32(y0 + w * (base_y + step_y * column)) & mask
        out[x] = (j << np.int32(_SHIFT)) | i


@compiled('void(int32[::1], int8[::1], float32[::1])', fastmath=True)
def _sample(texels, texture, out):
    """Look a texture up along a row."""
    for x in range(out.shape[0]):
        out[x] = np.float32(texture[np.uint32(texels[x])])


@compiled('void(float32[::1], float32[::1])', fastmath=True)
def _fade(distance, out):
    """Bring a fine texture to its unit, and let it fade where its texels are tiny."""
    unit, fading = np.float32(1.0 / UNIT), np.float32(_SHARP / UNIT)
    for x in range(out.shape[0]):
        out[x] *= min(unit, fading / distance[x])


@compiled('void(float32[::1], float32[::1], float32, float32, float32, float32[::1])',
          fastmath=True)
def _tint(small, large, colour, fine, coarse, out):
    """Start one channel of a row with a colour and its textures' contrasts."""
    fine, coarse = fine * colour, coarse * colour * np.float32(1.0 / UNIT)
    for x in range(out.shape[0]):
        out[x] = colour + fine * small[x] + coarse * large[x]


@compiled('void(float32[::1], float32[::1], uint8[::1], float32, float32, float32, '
          'float32[::1])', fastmath=True)
def _blend(small, large, coverage, colour, fine, coarse, out):
    """Blend a colour with its textures over one channel of a row."""
    fine, coarse = fine * colour, coarse * colour * np.float32(1.0 / UNIT)
    share = np.float32(1.0 / 255.0)
    for x in range(out.shape[0]):
        target = colour + fine * small[x] + coarse * large[x]
        out[x] += np.float32(coverage[x]) * share * (target - out[x])


@compiled('void(uint8[::1], float32, float32[::1])', fastmath=True)
def _dim(coverage, strength, out):
    """Take away the share ``strength`` of one channel's light where a shadow lies."""
    share = strength * np.float32(1.0 / 255.0)
    for x in range(out.shape[0]):
        out[x] *= np.float32(1.0) - share * np.float32(coverage[x])


@compiled('void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], '
          'uint32[::1])', fastmath=True)
def _finish(distance, blue, green, red, haze, out):
    """Mix the haze in and write a row's ground pixels as 0xAARRGGBB."""
    haze_b, haze_g, haze_r, reach = haze[0], haze[1], haze[2], haze[3]
    top, half = np.float32(255.0), np.float32(0.5)
    for x in range(out.shape[0]):
        clear = reach / (reach + distance[x])
        clear *= clear
        b = haze_b + clear * (blue[x] - haze_b) + half
        g = haze_g + clear * (green[x] - haze_g) + half
        r = haze_r + clear * (red[x] - haze_r) + half
        b, g, r = min(max(b, half), top), min(max(g, half), top), min(max(r, half), top)
        out[x] = np.uint32(np.int32(b) | (np.int32(g) << 8) | (np.int32(r) << 16)) \
            | np.uint32(0xFF000000)


@compiled('void(int32[::1], uint32[::1], int32, int32, uint32[::1])')
def _heaven(places, sky, azimuths, heading, out):
    """Look a row's sky pixels up in the panorama."""
    for x in range(out.shape[0]):
        place = places[x]
        out[x] = sky[(place & ~(azimuths - 1)) | ((place + heading) & (azimuths - 1))]


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
            distance[x] = np.float32(1.0) / max(depth[row, x], np.float32(1e-6))
    else:
        drop = ground - view[5]
        _distances(distance[begin:end], (base_z + begin * step_z) / drop, step_z / drop)
    # Whole tiles of the coarse texture are taken off, so that float32 keeps its precision.
    tile = FINE * TEXTURE
    near_x = np.float32((view[3] / tile - math.floor(view[3] / tile)) * TEXTURE + 65536.0)
    near_y = np.float32((view[4] / tile - math.floor(view[4] / tile)) * TEXTURE + 65536.0)
    wide = COARSE * TEXTURE
    far_x = np.float32((view[3] / wide - math.floor(view[3] / wide)) * TEXTURE + 65536.0)
    far_y = np.float32((view[4] / wide - math.floor(view[4] / wide)) * TEXTURE + 65536.0)
    base_x, base_y = base_x + begin * step_x, base_y + begin * step_y
    texels = rows[6].view(np.int32)[begin:end]
    _texels(distance[begin:end], near_x, near_y, base_x / FINE, base_y / FINE, step_x / FINE,
            step_y / FINE, texels)
    _sample(texels, fine.reshape(-1), small[begin:end])
    _texels(distance[begin:end], far_x, far_y, base_x / COARSE, base_y / COARSE,
            step_x / COARSE, step_y / COARSE, texels)
    _sample(texels, coarse.reshape(-1), large[begin:end])
    _fade(distance[begin:end], small[begin:end])


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
        small, large = rows[1, x0:x1], rows[2, x0:x1]
        for k in range(3):
            channel = rows[3 + k, x0:x1]
            colour = colours[base]
            _tint(small, large, colour[k], colour[3], colour[4], channel)
            for layer in range(base, layers - 1):
                if content & (1 << layer):
                    colour = colours[layer + 1]
                    _blend(small, large, planes[layer, row, x0:x1], colour[k], colour[3],
                           colour[4], channel)
            if content & (1 << (layers - 1)):
                _dim(planes[layers - 1, row, x0:x1], colours[layers, 0], channel)
        block = next_block


@compiled('void(float64[:], float64, float64, uint8[:, :, ::1], uint64[:, :, ::1], '
          'float32[:, ::1], float32[:, ::1], float32[::1], int8[:, ::1], int8[:, ::1], '
          'int32[:, ::1], uint32[:, ::1], int64, float32[:, ::1], uint32[:, ::1])', fastmath=True)
def shade(view, ground, horizon, planes, words, depth, colours, haze, fine, coarse, directions,
          sky, heading, rows, out):
    """
    Colour ground and sky into ``out`` (H, W) and empty the layers' planes for the next frame.

    ``planes`` (L, H, >= W) have rows of whole blocks of BLOCK pixels; ``words`` are the same
    bytes, eight at a time. ``ground`` is the height of a flat town's ground in metres; with
    ``depth`` (H, W) the inverse distances of an uneven one count instead. ``colours``
    (1 + L, 5) are the ground's and the layers', the last layer is the shadow, whose first entry
    is the share of light that it takes away. ``haze`` is blue, green, red and its reach in m.
    ``directions`` (H, W) are the pixels' places in the panorama ``sky`` (elevation, azimuth),
    which is turned by ``heading`` columns. ``horizon`` is the distance in metres where the
    ground ends. ``rows`` (7, W) is scratch.
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
            _heaven(directions[row, x0:x1], flat_sky, azimuths, heading, out[row, x0:x1])
        if begin < end:
            _texture(view, row, ground, depth, begin, end, fine, coarse, rows)
            _compose(view, row, begin, end, planes, words, colours, rows)
        for layer in range(layers):
            words[layer, row] = 0
        if begin < end:
            _finish(rows[0, begin:end], rows[3, begin:end], rows[4, begin:end],
                    rows[5, begin:end], haze, out[row, begin:end])
            if uneven:
                for x in range(begin, end):
                    if depth[row, x] <= 0.0:
                        _heaven(directions[row, x:x + 1], flat_sky, azimuths, heading,
                                out[row, x:x + 1])
