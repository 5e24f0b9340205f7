# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far a policy's commands move when what it sees is disturbed.

Open-loop like the rest: the commands to disturbed observations are set against those to the
undisturbed ones. Pictures are disturbed as the network gets them, 84x84 and gray.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import cv2
import numpy as np

from av_td3_ros.driving.observation import Observation

LATENCIES = (0, 50, 100, 150, 200, 300)     # ms
DROPPED = (0, 5, 10, 20, 40)                # %
STALE = (0, 1, 2, 4, 8)                     # pictures
BRIGHTNESS = (-60, -30, 0, 30, 60)          # %
BLUR = (0.0, 0.5, 1.0, 2.0, 3.0)            # pixels of 84
SHIFT = (-6, -3, 0, 3, 6)                   # pixels of 84
NOISE = (0, 4, 8, 16, 32)                   # of 255
_BLOCK = 100
_TICK_MS = 50.0
_BOTH = np.array([1.0, 0.5])


class Sample:
    """
    Blocks of 100 successive observations, evenly spread over a bag's pictures.

    pictures: how many the bag has. wanted: observations to keep, for each policy.
    """

    def __init__(self, pictures: int, wanted: int, policies: int) -> None:
        blocks = max(1, wanted // _BLOCK)
        size = min(_BLOCK, wanted)
        starts = np.linspace(0, max(pictures - size, 0), blocks).astype(int)
        self._wanted = {number: block for block, start in enumerate(starts.tolist())
                        for number in range(start, start + size)}
        self.blocks: list[list[list[Observation]]] = [
            [[] for _ in range(blocks)] for _ in range(policies)]

    def take(self, number: int, policy: int, observation: Observation) -> None:
        """Keep a used picture's observation where it is wanted."""
        block = self._wanted.get(number)
        if block is not None:
            self.blocks[policy][block].append(observation)


def robustness(acts: Sequence[Callable[[Observation], np.ndarray]],
               labels: Sequence[str], samples: Sequence[Sample]) -> dict[str, Any] | None:
    """
    Return the curves of each policy: the mean distance of its commands from the undisturbed ones.

    ``moved`` is that of steering plus half that of throttle and brake. None where no observation
    was kept.
    """
    sequences = [[block for sample in samples for block in sample.blocks[policy] if block]
                 for policy in range(len(acts))]
    frames = sum(len(block) for block in sequences[0])
    if not frames:
        return None
    plain = [[_actions(act, block) for block in blocks]
             for act, blocks in zip(acts, sequences)]
    found: dict[str, Any] = {'frames': frames, 'policies': list(labels), 'disturbances': {}}

    def add(name: str, unit: str, levels: Sequence[float],
            disturbed: Callable[[int, int, float], np.ndarray]) -> None:
        found['disturbances'][name] = {'unit': unit, 'levels': list(levels), 'moved': {
            label: [_moved(plain[policy], [disturbed(policy, block, level)
                                           for block in range(len(plain[policy]))])
                    for level in levels]
            for policy, label in enumerate(labels)}}

    def late(policy: int, block: int, level: float) -> np.ndarray:
        # Between two ticks, the command of the one and of the other by turns would be sent.
        by = level / _TICK_MS
        actions = plain[policy][block]
        return _late(actions, int(by)) + (by - int(by)) * (
            _late(actions, int(by) + 1) - _late(actions, int(by)))

    def dropped(policy: int, block: int, level: float) -> np.ndarray:
        actions = plain[policy][block].copy()
        lost = np.random.default_rng([block, 1]).random(len(actions)) < level / 100.0
        for number in np.flatnonzero(lost[1:]) + 1:
            actions[number] = actions[number - 1]
        return actions

    def stale(policy: int, block: int, level: float) -> np.ndarray:
        own = sequences[policy][block]
        return _actions(acts[policy], [
            Observation(image=own[max(number - int(level), 0)]['image'], vector=one['vector'])
            for number, one in enumerate(own)])

    def seen(change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
             ) -> Callable[[int, int, float], np.ndarray]:
        def disturbed(policy: int, block: int, level: float) -> np.ndarray:
            rng = np.random.default_rng([block, 2])
            return _actions(acts[policy], [
                Observation(image=change(one['image'], level, rng), vector=one['vector'])
                for one in sequences[policy][block]])
        return disturbed

    add('latency', 'ms', LATENCIES, late)
    add('dropped pictures', '%', DROPPED, dropped)
    add('stale pictures', 'pictures late', STALE, stale)
    add('brightness', '%', BRIGHTNESS, seen(lambda image, level, _: _clipped(
        image * (1.0 + level / 100.0))))
    add('blur', 'pixels of 84', BLUR, seen(lambda image, level, _: _blurred(image, level)))
    add('shift', 'pixels of 84', SHIFT, seen(lambda image, level, _: _shifted(
        image, int(level))))
    add('noise', 'of 255', NOISE, seen(lambda image, level, rng: _clipped(
        image + level * rng.standard_normal(image.shape))))
    return found


def _actions(act: Callable[[Observation], np.ndarray], block: Sequence[Observation]
             ) -> np.ndarray:
    return np.clip(np.array([act(one) for one in block], np.float64).reshape(-1, 2), -1.0, 1.0)


def _moved(plain: Sequence[np.ndarray], disturbed: Sequence[np.ndarray]) -> float:
    return float(np.concatenate([np.abs(other - own) @ _BOTH
                                 for own, other in zip(plain, disturbed)]).mean())


def _late(actions: np.ndarray, by: int) -> np.ndarray:
    return actions[np.maximum(np.arange(len(actions)) - by, 0)]


def _clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blurred(image: np.ndarray, width: float) -> np.ndarray:
    if not width:
        return image
    return np.stack([cv2.GaussianBlur(frame, (0, 0), width) for frame in image])


def _shifted(image: np.ndarray, by: int) -> np.ndarray:
    """Return pictures moved to the right by some pixels, the edge's column repeated."""
    columns = np.clip(np.arange(image.shape[2]) - by, 0, image.shape[2] - 1)
    return np.ascontiguousarray(image[:, :, columns])
