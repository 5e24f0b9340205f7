# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The bags' pictures again: stills of single moments, and a video with the commands drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

import cv2
import numpy as np

from av_td3_ros.driving.pictures import read_picture
from av_td3_ros.driving.wire import MessageError
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.evaluation.recording import Recording
from av_td3_ros.evaluation.storage import BagError, Damaged
from av_td3_ros.evaluation.topics import Selection
from av_td3_ros.visualization.video import Video, VideoError

_TO_BGR = {'bgra8': cv2.COLOR_BGRA2BGR, 'rgba8': cv2.COLOR_RGBA2BGR, 'rgb8': cv2.COLOR_RGB2BGR,
           'mono8': cv2.COLOR_GRAY2BGR, 'bgr8': None}
_WIDEST = 800
_STILL = 320
_QUALITY = 75
_RATE = 20.0
_COLOURS = ((235, 99, 37), (38, 38, 220), (200, 200, 200))    # bgr: first, second, driver
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Footage:
    """The pictures of a bag by their number in the recording."""

    def __init__(self, bag: Bag, selection: Selection) -> None:
        topic = selection.chosen['image']
        self._bag, self._type = bag, bag.topics[topic].type
        self._decoder = Decoder([bag.topics[topic]])
        self._entries = bag.order([topic])

    def picture(self, number: int) -> np.ndarray:
        """Return a picture that was used, (H, W, 3) bgr uint8, at most 800 pixels wide."""
        message = self._bag.read(self._entries[number])
        if message.data is None:
            raise Damaged(message.lost)
        picture, encoding = read_picture(self._decoder.decode(self._type, message.data))
        code = _TO_BGR[encoding]
        picture = picture.copy() if code is None else cv2.cvtColor(picture, code)
        if picture.shape[1] > _WIDEST:
            height = round(picture.shape[0] * _WIDEST / picture.shape[1])
            picture = cv2.resize(picture, (_WIDEST, height), interpolation=cv2.INTER_AREA)
        return picture

    def still(self, number: int) -> bytes | None:
        """Return a picture as a small JPEG, None where it cannot be read any more."""
        try:
            picture = self.picture(number)
        except (Damaged, MessageError):
            return None
        width = min(_STILL, picture.shape[1])
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def stills(bags: Sequence[str | Path], selections: Sequence[Selection],
           wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Return JPEGs by bag and picture number."""
    by_bag: dict[int, set[int]] = {}
    for bag, number in wanted:
        by_bag.setdefault(bag, set()).add(number)
    found = {}
    for which in sorted(by_bag):
        with Bag(bags[which]) as bag:
            footage = Footage(bag, selections[which])
            for number in sorted(by_bag[which]):
                jpeg = footage.still(number)
                if jpeg is not None:
                    found[which, number] = jpeg
    return found


def write_video(path: Path, bags: Sequence[str | Path], selections: Sequence[Selection],
                recordings: Sequence[Recording], progress: Callable[[], None] = lambda: None
                ) -> int:
    """
    Write every used picture with the commands drawn in, MPEG-4 in MP4; return their number.

    Raises :class:`.BagError` where it cannot be written whole.
    """
    video = None
    try:
        for which, recording in enumerate(recordings):
            with Bag(bags[which]) as bag:
                footage = Footage(bag, selections[which])
                for number in np.flatnonzero(recording.used).tolist():
                    frame = footage.picture(number)
                    if video is None:
                        # MPEG-4 wants even sides; small pictures leave no room for the bars.
                        scale = max(1, round(480 / frame.shape[1]))
                        video = Video(path, _RATE, (frame.shape[1] * scale // 2 * 2,
                                                    frame.shape[0] * scale // 2 * 2))
                    if (frame.shape[1], frame.shape[0]) != video.size:
                        frame = cv2.resize(frame, video.size, interpolation=cv2.INTER_LINEAR)
                    video.write(draw(frame, recording, number, which))
                    progress()
        if video is not None:
            video.close()
    except VideoError as error:
        raise BagError(str(error)) from None
    finally:
        if video is not None:
            video.release()
    return 0 if video is None else video.frames


def draw(frame: np.ndarray, recording: Recording, number: int, bag: int) -> np.ndarray:
    """Draw commands and facts of a picture into it, (H, W, 3) bgr uint8; return it."""
    height, width = frame.shape[:2]
    unit = width / 800.0
    row = recording.frames[number]
    lines = [(label, recording.actions[number, policy], _COLOURS[policy])
             for policy, label in zip(range(recording.actions.shape[1]), 'AB')]
    lines.append(('driver', recording.driver[number], _COLOURS[2]))
    top = height - round((18 * len(lines) + 10) * unit)
    frame[top:] = (frame[top:] * 0.35).astype(np.uint8)
    frame[:round(26 * unit)] = (frame[:round(26 * unit)] * 0.35).astype(np.uint8)
    _text(frame, f'bag {bag + 1}  picture {number}  {row["stamp"] * 1e-9:.2f} s  '
          f'{3.6 * row["speed"]:.0f} km/h  lateral {row["lateral"]:+.2f} m', 8, 18, unit)
    for line, (label, action, colour) in enumerate(lines):
        y = top + round((18 * line + 17) * unit)
        _text(frame, label, 8, y / unit, unit)
        for left, name, value in ((80, 'steer', action[0]), (440, 'drive', action[1])):
            _bar(frame, left, y, unit, value, colour)
            _text(frame, f'{name} ' + ('-' if not np.isfinite(value) else f'{value:+.2f}'),
                  left + 220, y / unit, unit)
    return frame


def _bar(frame: np.ndarray, left: float, y: int, unit: float, value: Any,
         colour: tuple[int, int, int]) -> None:
    middle, half, thick = (left + 105) * unit, 100 * unit, max(2, round(9 * unit))
    cv2.line(frame, (round(middle), y - thick), (round(middle), y), (255, 255, 255), 1)
    if np.isfinite(value):
        end = middle + half * float(np.clip(value, -1.0, 1.0))
        cv2.rectangle(frame, (round(min(middle, end)), y - thick + 1),
                      (round(max(middle, end)), y - 1), colour, -1)


def _text(frame: np.ndarray, text: str, x: float, y: float, unit: float) -> None:
    cv2.putText(frame, text, (round(x * unit), round(y * unit)), _FONT, 0.45 * unit,
                (255, 255, 255), max(1, round(unit)), cv2.LINE_AA)
