# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From an action of the policy to a vehicle command, and the last check before it is sent."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from av_td3_ros.driving.frames import Control
from av_td3_ros.settings import setting

ACTION_SIZE = 2


class ActionError(ValueError):
    """An action that no command may be made from; the message says why."""


@dataclasses.dataclass(frozen=True)
class ActionSettings:
    """How an action in [-1, 1]^2 becomes a command."""

    repeat: int = setting(
        1, 'images for which one action is kept; a command is sent for each of them all the same',
        ge=1, le=20)
    max_steer: float = setting(1.0, 'steer of a full steering action', ge=0.01, le=1.0)
    max_throttle: float = setting(1.0, 'throttle of a full forward action', ge=0.01, le=1.0)
    max_brake: float = setting(1.0, 'brake of a full backward action', ge=0.01, le=1.0)


def control_from_action(action: np.ndarray, settings: ActionSettings) -> Control:
    """
    Return the command of an action (2,), [steer, throttle or brake], each in [-1, 1].

    Positive steer is to the right, as CARLA has it. A second entry above 0 is throttle, below 0
    brake: never both. Values beyond the range are clipped; a value that is not finite raises
    :class:`ActionError`, and so does what is not two numbers.
    """
    if np.shape(action) != (ACTION_SIZE,):
        raise ActionError(f'an action is two numbers, [steer, throttle or brake], not {action!r}')
    steer, drive = (float(value) for value in action)
    if not (math.isfinite(steer) and math.isfinite(drive)):
        raise ActionError(f'the action ({steer}, {drive}) is not finite')
    steer, drive = max(-1.0, min(1.0, steer)), max(-1.0, min(1.0, drive))
    return Control(throttle=max(drive, 0.0) * settings.max_throttle,
                   steer=steer * settings.max_steer,
                   brake=max(-drive, 0.0) * settings.max_brake)


def action_from_control(control: Control, settings: ActionSettings) -> np.ndarray:
    """Return the action (2,) float32 whose command is nearest to ``control`` (brake wins)."""
    drive = (-control.brake / settings.max_brake if control.brake > 0.0
             else control.throttle / settings.max_throttle)
    return np.clip(np.array([control.steer / settings.max_steer, drive], dtype=np.float32),
                   -1.0, 1.0)
