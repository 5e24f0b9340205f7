# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way from bags and checkpoints to a result, without a command line."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
import time
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from av_td3_ros.driving.reading import MessageError, read_odometry
from av_td3_ros.driving.route import Route, RouteError
from av_td3_ros.driving.task import TaskSettings, trained_task
from av_td3_ros.evaluation.alignment import RECEIVED
from av_td3_ros.evaluation.bag import Bag
from av_td3_ros.evaluation.definitions import Decoder
from av_td3_ros.evaluation.judgement import BagFacts, judge, Judged, LABELS
from av_td3_ros.evaluation.recording import Recording
from av_td3_ros.evaluation.replay import Candidate, Replay
from av_td3_ros.evaluation.robustness import robustness, Sample
from av_td3_ros.evaluation.storage import BagError, Damaged
from av_td3_ros.evaluation.topics import select, Selection
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy
from av_td3_ros.learning.policy_file import policy_config

RECORDED, DRIVEN = 'recorded', 'driven'


@dataclasses.dataclass(frozen=True)
class Options:
    """
    How bags are read.

    topics: names by kind (:data:`.topics.KINDS`) where they are not to be found. route:
    'recorded', or 'driven' to take the way that the vehicle took as the route. pairing: of
    pictures and odometry, empty to find out. closed_loop: the bags were driven by what is judged.
    disturbed: pictures of each bag on which the policies are disturbed, 0 for none. threads: 2 to
    read bags in a second thread, which changes no result.
    """

    role: str = ''
    topics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    route: str = RECORDED
    pairing: str = ''
    closed_loop: bool = False
    disturbed: int = 0
    threads: int = 1


@dataclasses.dataclass
class Assessment:
    """A result, and what it was made from; ``timing`` in s varies from run to run."""

    result: dict[str, Any]
    recordings: list[Recording]
    selections: list[Selection]
    timing: dict[str, Any]


def load_candidate(path: str | Path, label: str) -> tuple[Candidate, Judged]:
    """Return a checkpoint's policy; raises CheckpointError or SettingsError."""
    policy = Policy()
    info = policy.load_checkpoint(path)
    if info.state_dim != 535 or info.action_dim != 2 or info.architecture is None:
        raise CheckpointError(f'{path} is not a policy for pictures and the vector state of 23')
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    settings = trained_task(policy_config(path), TaskSettings())
    return Candidate(label, policy.act, settings), Judged(digest.hexdigest(), info.total_it)


def choose_topics(bag: Bag, options: Options) -> Selection:
    """Return the topics of the vehicle to judge; raise :class:`.BagError`."""
    counts = np.bincount(bag.index['topic'], minlength=len(bag.topics))
    selection = select(bag.topics, counts.tolist(), role=options.role, mapping=options.topics)
    if 'route' not in selection.chosen and options.route == RECORDED:
        raise BagError(f'{bag.name} has no route (nav_msgs/msg/Path); to take the way that the '
                       'vehicle took for its route, give --route driven')
    return selection


def driven_route(bag: Bag, selection: Selection) -> Route:
    """Return the way that the vehicle took as a route, points 1 m apart or more."""
    topic = selection.chosen['odometry']
    decoder = Decoder(bag.topics)
    points: list[tuple[float, float]] = []
    for message in bag.messages(bag.order([topic])):
        try:
            if message.data is None:
                continue
            pose = read_odometry(decoder.decode(bag.topics[topic].type, message.data)).pose
        except (Damaged, MessageError):
            continue
        if not points or np.hypot(pose.x - points[-1][0], pose.y - points[-1][1]) >= 1.0:
            points.append((pose.x, pose.y))
    try:
        return Route(np.array(points).reshape(-1, 2))
    except RouteError as error:
        raise BagError(f'{bag.name}: the way of the vehicle is no route: {error}') from None


def assess(paths: Sequence[str | Path], checkpoints: Sequence[str | Path], options: Options,
           progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
           heard: Mapping[int, Sequence[np.ndarray]] | None = None) -> Assessment:
    """
    Judge checkpoints by bags.

    ``progress`` is called with a bag's number of messages and returns what to call for each.
    ``heard``: judge the commands that a running node with the one checkpoint gave for the
    pictures of the one bag (:meth:`.Recording.heard`) in place of those found here.
    Raises :class:`.BagError`, CheckpointError or SettingsError, each with one sentence.
    """
    loaded = [load_candidate(path, label) for path, label in zip(checkpoints, LABELS)]
    recordings, selections, facts = [], [], []
    samples: list[Sample] = []
    timing: dict[str, Any] = {'decisions': {}, 'bags': []}
    took: list[list[float]] = [[] for _ in loaded]
    for path in paths:
        begun = time.monotonic()
        with Bag(path) as bag:
            selection = choose_topics(bag, options)
            route = driven_route(bag, selection) if options.route == DRIVEN else None
            replay = Replay(bag, selection, [candidate for candidate, _ in loaded],
                            pairing=options.pairing, route=route,
                            threads=options.threads)
            replay.progress = progress(len(replay))
            if options.disturbed:
                samples.append(Sample(replay.pictures, options.disturbed, len(loaded)))
                replay.seen = samples[-1].take
            recording = replay.run()
            if heard is not None:
                timing['largest_difference_live'] = recording.heard(
                    heard, 'time' if replay.pairing == RECEIVED else 'stamp')
            recordings.append(recording)
            selections.append(selection)
            facts.append(BagFacts(
                {kind: bag.topics[number].name for kind, number in selection.chosen.items()},
                replay.pairing, tuple(bag.losses), options.route))
            for own, more in zip(took, replay.times):
                own += more
        seconds = time.monotonic() - begun
        timing['bags'].append({'seconds': seconds,
                               'pictures_per_second': recording.count / max(seconds, 1e-9)})
    for label, own in zip(LABELS, took):
        timing['decisions'][label] = {} if not own else dict(zip(
            ('p50_ms', 'p95_ms', 'p99_ms'), (np.percentile(own, [50, 95, 99]) * 1e3).tolist()))
    result = judge(recordings, facts, [judged for _, judged in loaded],
                   closed_loop=options.closed_loop)
    if samples:
        result['robustness'] = robustness([candidate.act for candidate, _ in loaded], LABELS[
            :len(loaded)], samples)
    return Assessment(result, recordings, selections, timing)
