# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing pictures with odometry by their stamps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, NamedTuple, TypeVar

I = TypeVar('I')  # noqa: E741
S = TypeVar('S')


REMEMBERED = 256
"""Pictures answered last whose stamps are remembered: half a second of 500 a second."""


class Answer(NamedTuple):
    """
    A picture that now needs its command.

    state is None where no odometry of that stamp came: the picture must not be combined with
    another tick's.
    """

    stamp: int
    image: Any
    state: Any


class StampPairer(Generic[I, S]):
    """
    Joins image and odometry of one tick, in the order of the stamps.

    Every picture is answered exactly once, also where it comes again (the stamps of the last
    :data:`REMEMBERED` are known). A picture whose odometry has not come is answered alone as soon
    as a later tick is complete, or when :meth:`give_up` is called (after a wait on a steady
    clock). Odometry without a picture is dropped. Stamps are ns of simulation time.
    """

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._images: OrderedDict[int, I] = OrderedDict()
        self._states: OrderedDict[int, S] = OrderedDict()
        self._answered: OrderedDict[int, None] = OrderedDict()
        self.last = -1
        self.unpaired = 0
        self.late = 0
        self.repeated = 0

    def clear(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._images.clear()
        self._states.clear()
        self._answered.clear()
        self.last = -1

    def went_back(self, stamp: int, tolerance: int = 500_000_000) -> bool:
        """Whether a stamp lies so far before the newest answered one that time was set back."""
        return self.last >= 0 and stamp < self.last - tolerance

    def add_image(self, stamp: int, image: I) -> list[Answer]:
        """Take a picture; return what can be answered now, oldest first."""
        if stamp in self._images or stamp == self.last or stamp in self._answered:
            self.repeated += 1
            return []
        if stamp < self.last:
            self.late += 1
            return [self._answer(stamp, image, None)]
        self._images[stamp] = image
        return self._complete(stamp) if stamp in self._states else self._overflow()

    def add_state(self, stamp: int, state: S) -> list[Answer]:
        """Take an odometry; return what can be answered now, oldest first."""
        if stamp <= self.last:
            return []
        self._states[stamp] = state
        while len(self._states) > self._keep:
            self._states.popitem(last=False)
        return self._complete(stamp) if stamp in self._images else []

    def give_up(self, stamp: int) -> list[Answer]:
        """Return the pictures up to ``stamp`` that are still alone, to be answered so."""
        alone = [s for s in sorted(self._images) if s <= stamp]
        self.unpaired += len(alone)
        if alone:
            self.last = max(self.last, alone[-1])
        return [self._answer(s, self._images.pop(s), None) for s in alone]

    @property
    def waiting(self) -> int | None:
        """Stamp of the newest picture that waits for its odometry."""
        return max(self._images) if self._images else None

    def _answer(self, stamp: int, image: I, state: S | None) -> Answer:
        self._answered[stamp] = None
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)
        return Answer(stamp, image, state)

    def _complete(self, stamp: int) -> list[Answer]:
        answers = self.give_up(stamp - 1)
        answers.append(self._answer(stamp, self._images.pop(stamp), self._states.pop(stamp)))
        self.last = stamp
        for old in [s for s in self._states if s <= stamp]:
            del self._states[old]
        return answers

    def _overflow(self) -> list[Answer]:
        if len(self._images) <= self._keep:
            return []
        return self.give_up(min(self._images))
