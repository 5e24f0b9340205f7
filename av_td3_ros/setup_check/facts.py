# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was seen of a running graph, without ROS types, and what is found about it."""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping

ERROR, WARNING, OK = 'error', 'warning', 'ok'


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One publisher or subscription: its node's full name, type and QoS."""

    node: str
    type: str  # noqa: A003
    reliable: bool = True
    latched: bool = False


@dataclasses.dataclass(frozen=True)
class Topic:
    """Who publishes and who subscribes to a topic."""

    publishers: tuple[Endpoint, ...] = ()
    subscriptions: tuple[Endpoint, ...] = ()


@dataclasses.dataclass(frozen=True)
class Sample:
    """
    One message: its stamp in ns (None where its type has none), frame, and further fields.

    ``fields`` are named as in the message, but for an odometry's ``child``, a path's number of
    ``points``, and a camera's focal length ``fx``.
    """

    stamp: int | None = None
    frame: str = ''
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Facts:
    """
    A graph as seen for ``seconds`` of wall time.

    ``nodes`` are full names, as often as there are such nodes. ``samples`` are what came on each
    topic, oldest first. ``parameters`` are those that a node told when asked, by its name.
    """

    role: str
    camera: str
    seconds: float
    nodes: tuple[str, ...] = ()
    topics: Mapping[str, Topic] = dataclasses.field(default_factory=dict)
    samples: Mapping[str, tuple[Sample, ...]] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def topic(self, name: str) -> Topic:
        """Return who is at a topic; nobody, where it does not exist."""
        return self.topics.get(name, Topic())

    def seen(self, name: str) -> tuple[Sample, ...]:
        """Return what came on a topic."""
        return self.samples.get(name, ())

    def of_vehicle(self, name: str) -> str:
        """Return the full name of a topic of the vehicle."""
        return f'/carla/{self.role}/{name}'


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line: how bad it is, what it is about, what is so, and what to do about it."""

    level: str
    subject: str
    text: str
    remedy: str = ''

    def __str__(self) -> str:
        remedy = f' -> {self.remedy}' if self.remedy else ''
        return f'{self.level.upper():7} {self.subject}: {self.text}{remedy}'
