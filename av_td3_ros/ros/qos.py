# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Quality of service: the profile of every kind of topic, with its reason.

Every endpoint of the CARLA ROS bridge is reliable: a best-effort publisher never matches its
subscriptions, and a volatile publisher never matches a transient-local subscription. So each
topic has one profile here that both of its ends use, and who merely looks on too: a best-effort
reader of a stream is no kindness to the others. With Fast DDS over shared memory (2.14), one that
is killed costs the reliable readers a message half a second later; a reliable one costs nothing.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int, *, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE))


STREAM = _reliable(10)
"""
Everything that flows: images, odometry, states, events, ``/clock``, commands, goals.

This is the bridge's plain ``qos_profile=10``. Reliable since the bridge's subscriptions demand
it, and since a lost command costs a second of waiting in synchronous mode.
"""

LATEST = _reliable(1)
"""
A subscription of a stream of which only the newest sample matters.

It matches :data:`STREAM`; a reader that falls behind gets the newest picture rather than a
backlog of stale ones.
"""

PICTURES = _reliable(6)
"""
A subscription of pictures each of which is to be answered.

It matches :data:`STREAM`, and keeps what comes within 0.3 s at 20 Hz: a driver has been stopping
for want of a new picture by then, and each that waits takes 1.9 MB at 800x600.
"""

FILM = _reliable(100)
"""
A subscription of pictures by who looks on, and would rather be late than miss one.

It matches :data:`STREAM`; 190 MB at 800x600 where nothing is taken in.
"""

INFO = _reliable(10, latched=True)
"""What is said once and holds: ``vehicle_info``, ``world_info``; late joiners get it."""

ROUTE = _reliable(1, latched=True)
"""``waypoints``: the newest route holds until the next; late joiners get just that one."""

OVERRIDE = _reliable(1, latched=True)
"""
``vehicle_control_manual_override``: the newest word holds, also for a bridge that starts later.

The bridge's subscription is transient local, so a volatile publisher would never match it.
"""

DIAGNOSTICS = _reliable(10)
"""``/diagnostics``: what aggregators and rqt subscribe with."""

EXPERIENCE = _reliable(1000)
"""
``~/experience`` of the training node: small and many; every one counts.

Deep enough for ten seconds of several vehicles while the learner writes a checkpoint; what is
lost all the same is noticed by its sequence number.
"""

WEIGHTS = _reliable(1, latched=True)
"""``~/weights`` of the training node: only the newest matters, also to who starts later."""

PROGRESS = _reliable(50)
"""``~/progress`` of the training node: small answers to the experience."""

TASK = _reliable(32, latched=True)
"""``~/task`` of the training node: each vehicle says once what it learns; trainers may be late."""

PROFILES = (STREAM, LATEST, PICTURES, FILM, INFO, ROUTE, OVERRIDE, DIAGNOSTICS, EXPERIENCE,
            WEIGHTS, PROGRESS, TASK)
"""All of them; parameters override each where it is used (:mod:`av_td3_ros.ros.endpoints`)."""
