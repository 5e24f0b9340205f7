# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of what is given to a replay memory: each returns it as stored, or a ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f'{value.dtype} of shape {value.shape}'
    return type(value).__name__


def stream(stream: Any) -> int:
    """Return a stream's number."""
    if isinstance(stream, bool) or not isinstance(stream, (int, np.integer)):
        raise ValueError(f'stream must be an integer, not {stream!r}')
    return int(stream)


def floats(name: str, value: Any, size: int) -> np.ndarray:
    """Return finite float32 (size,)."""
    array = np.asarray(value)
    if array.dtype.kind not in 'fiu' or array.shape != (size,):
        raise ValueError(f'{name} must be numbers of shape ({size},), not {_describe(array)}')
    with np.errstate(over='ignore'):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f'{name} must be finite in float32, not {value}')
    return array


def reward(value: Any) -> float:
    """Return a reward that is finite in float32."""
    array = np.asarray(value)
    if array.dtype.kind not in 'fiu' or array.shape != ():
        raise ValueError(f'reward must be a number, not {_describe(value)}')
    with np.errstate(over='ignore'):
        array = array.astype(np.float32)
    if not np.isfinite(array):
        raise ValueError(f'reward must be finite in float32, not {value}')
    return float(array)


def flag(name: str, value: Any) -> bool:
    """Return a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f'{name} must be a bool, not {value!r}')
    return bool(value)


def count(name: str, value: Any) -> int:
    """Return an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f'{name} must be an integer of at least 1, not {value!r}')
    return int(value)


def image(value: Any, shape: tuple[int, int] | None) -> np.ndarray | None:
    """Return one contiguous uint8 frame of ``shape``, None where that is None."""
    if shape is None:
        if value is not None:
            raise ValueError('image must be None: this memory stores no images')
        return None
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype != np.uint8:
        raise ValueError(f'image must be uint8 of shape {shape}, not {_describe(value)}')
    return np.ascontiguousarray(value)


def image_shape(value: Any) -> tuple[int, int] | None:
    """Return (height, width) or None."""
    if value is None:
        return None
    try:
        height, width = value
    except (TypeError, ValueError):
        raise ValueError(f'image_shape must be (height, width) or None, not {value!r}') from None
    return count('the height of image_shape', height), count('the width of image_shape', width)
