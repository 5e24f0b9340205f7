# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compile inner loops with numba, cached on disk where a disk allows it."""

from __future__ import annotations

from typing import Any, Callable

import numba

__all__ = ['compiled']


def compiled(signature: Any = None, **options: Any) -> Callable[[Callable], Callable]:
    """
    Compile a function ahead of its first call, for the given signature.

    The result is cached beside the source, or in ``NUMBA_CACHE_DIR``, or in the user's cache
    folder; where none of them is writable the function is compiled in every process. Without
    ``fastmath``: the same inputs give the same bytes in every process.
    """
    options = {'nogil': True, 'error_model': 'numpy', **options}

    def decorate(function: Callable) -> Callable:
        arguments = () if signature is None else (signature,)
        try:
            return numba.njit(*arguments, cache=True, **options)(function)
        except RuntimeError as error:
            if 'no locator available' not in str(error):
                raise
            return numba.njit(*arguments, **options)(function)

    return decorate
