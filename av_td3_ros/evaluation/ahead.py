# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Making the next few values of an iterator in a second thread while the present one is used."""

from __future__ import annotations

import queue
import threading
from typing import Any, Generator, Iterable, TypeVar

T = TypeVar('T')

_END = object()


def ahead(values: Iterable[T], most: int = 16) -> Generator[T, None, None]:
    """
    Yield what ``values`` gives, in its order, up to ``most`` made ahead by a thread.

    What it raises is raised here, after the values before. Where the iteration is left early the
    thread ends with the value that it is at.
    """
    made: queue.Queue[Any] = queue.Queue(most)
    left = threading.Event()

    def make() -> None:
        end: Any = (_END, None)
        try:
            for value in values:
                made.put((None, value))
                if left.is_set():
                    return
        except BaseException as error:  # noqa: B902  it belongs to who iterates
            end = (_END, error)
        made.put(end)
    thread = threading.Thread(target=make, name='ahead', daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind is _END:
                if value is not None:
                    raise value
                return
            yield value
    finally:
        left.set()
        while thread.is_alive():
            # One that waits for room must not wait for ever.
            try:
                made.get(timeout=0.01)
            except queue.Empty:
                pass
        thread.join()
