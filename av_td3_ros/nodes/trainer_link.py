# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node's side of the training node: experience out, weights and progress in."""

from __future__ import annotations

from collections import deque
import json
import secrets
import time
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np
from rclpy.node import Node
from std_msgs.msg import String, UInt64MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger

from av_td3_ros.driving.action import ACTION_SIZE
from av_td3_ros.driving.driver import Transition
from av_td3_ros.driving.image import SIZE, STACK
from av_td3_ros.driving.observation import Observation, VECTOR_SIZE
from av_td3_ros.learning.policy import Policy, PolicyRefused
from av_td3_ros.nodes.beside import Beside
from av_td3_ros.ros import experience, qos, weights
from av_td3_ros.ros.diagnostics import ERROR, OK, Report, WARN
from av_td3_ros.ros.throttled import Warnings


class _Outcome(NamedTuple):
    """What became of weights: when they came, and why they were refused, empty where taken."""

    version: int
    at: float
    refusal: str


class _Loaded(NamedTuple):
    """Weights that came: a policy, or why there is none."""

    version: int
    policy: Policy | None
    refusal: str


class TrainerLink:
    """
    A vehicle's stream to the training node, and the policy that comes back.

    :attr:`policy` is replaced as a whole by each version of the weights that is newer and fits;
    any other is refused, counted, and changes nothing. What has no header or an old version is
    refused as it comes; of the rest, while others are loaded, the newest are kept for next, and
    the ones before them for where the newest are refused. ``heard`` is called after weights, also
    refused ones, and after an answer to this vehicle's own experience. Without ``training`` there
    is no experience, and only weights come in. ``patience``: s that a load may take in all.
    """

    def __init__(self, node: Node, trainer: str, policy: Policy, warnings: Warnings, *,
                 training: bool, heard: Callable[[], None], patience: float) -> None:
        self.policy = policy
        self.progress: weights.Progress | None = None
        self.own_progress: weights.Progress | None = None
        self.version = self.refused_count = 0
        self._refused = 0
        self._refusal = ''      # why weights were refused last
        self._outcomes: deque[_Outcome] = deque(maxlen=64)
        self._used_since = time.monotonic()
        self._unheard = 0       # experience sent while nobody listened
        self._node, self._trainer, self._warnings = node, trainer, warnings
        self._training, self._heard, self._patience = training, heard, patience
        self._stream, self._sequence = secrets.randbits(62), 0
        self._loading = Beside(node, 'weights', self._load, self._take,
                               good=lambda loaded: loaded.policy is not None)
        self._weights = node.create_subscription(
            UInt8MultiArray, f'{trainer}/weights', self._on_weights, qos.WEIGHTS)
        self._subscriptions = [self._weights]
        self._publishers = []
        if training:
            self._experience = node.create_publisher(
                UInt8MultiArray, f'{trainer}/experience', qos.EXPERIENCE)
            self._task = node.create_publisher(String, f'{trainer}/task', qos.TASK)
            self._publishers = [self._experience, self._task]
            self._subscriptions.append(node.create_subscription(
                UInt64MultiArray, f'{trainer}/progress', self._on_progress, qos.PROGRESS))

    def destroy(self) -> None:
        """Take every endpoint away."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)
        self._loading.destroy()

    @property
    def connected(self) -> bool:
        """Whether a training node takes the experience."""
        # Who merely looks on, as the visualization does, publishes no weights.
        return (self._training and self._experience.get_subscription_count() > 0
                and self._node.count_publishers(self._weights.topic_name) > 0)

    @property
    def ready(self) -> bool:
        """Whether a training node listens and is heard."""
        return self.connected and self.progress is not None and self.version > 0

    @property
    def last_sent(self) -> int:
        """Return the running number of the experience sent last."""
        return self._sequence - 1

    def describe_task(self, role: str, task: Mapping[str, Any]) -> None:
        """Tell the training node what this vehicle learns."""
        if self._training:
            self._task.publish(String(data=json.dumps(
                {'stream': self._stream, 'role': role, **task})))

    def send(self, transitions: list[Transition]) -> None:
        """Send experience, each with its running number."""
        if not self.connected:
            self._unheard += len(transitions)
        for transition in transitions:
            item = experience.Experience(self._stream, self._sequence, self.version, transition)
            self._experience.publish(UInt8MultiArray(data=experience.encode(item)))
            self._sequence += 1

    def answered(self, sequence: int) -> bool:
        """Whether the learner has taken that experience, and the weights that it made are here."""
        progress = self.own_progress
        return (progress is not None and progress.sequence >= sequence
                and progress.version <= max(self.version, self._refused))

    def outcome(self, version: int, since: float) -> str | None:
        """
        Return why weights are not driven with, empty where they are; None where none came.

        That is of weights of that version or, since only the newest are kept on the way, a later
        one, which came after ``since`` on the steady clock. It may be called in any thread.
        """
        found = [item for item in self._outcomes.copy()
                 if item.version >= version and item.at >= since]
        if any(not item.refusal for item in found):
            return ''
        return found[-1].refusal if found else None

    def await_loaded(self, call: Callable[[], Trigger.Response]) -> Trigger.Response:
        """Answer a load once the vehicle drives with what was loaded, or it is known that not."""
        begun = time.monotonic()
        answer = call()
        loaded = weights.version_in(answer.message)
        if not answer.success or not loaded:
            return answer
        while (refusal := self.outcome(loaded, begun)) is None:
            if time.monotonic() - begun > self._patience:
                refusal = 'its weights have not reached the policy node'
                break
            time.sleep(0.01)
        if refusal:
            answer.success = False
            answer.message += f'; but the vehicle does not drive with it: {refusal}'
        return answer

    def _on_weights(self, message: UInt8MultiArray) -> None:
        version = 0
        try:
            new = weights.decode(message.data)
            version = new.version
            self._check_newer(version)
        except (weights.WeightsError, PolicyRefused) as error:
            self._take(_Loaded(version, None, str(error)))
            return
        # Beside the driving: those of a large encoder take longer to check than a tick lasts.
        self._loading.submit(new)

    def _load(self, new: weights.Weights) -> _Loaded:
        """Make a policy of weights if they are for what this node sees and does."""
        version = new.version
        try:
            self._check_newer(version)
            policy, present = Policy(), self.policy.info
            info = policy.load(new.policy)
            if present is not None and info.architecture != present.architecture:
                raise PolicyRefused(f'they are for the encoder {info.architecture}, and the '
                                    f'present ones for {present.architecture}')
            check_fit(policy)
        except PolicyRefused as error:
            return _Loaded(version, None, str(error))
        except Exception as error:  # whatever it is: the present ones are driven with still
            return _Loaded(version, None, f'{type(error).__name__}: {error!a}')
        return _Loaded(version, policy, '')

    def _check_newer(self, version: int) -> None:
        if version <= self.version:
            raise PolicyRefused(f'version {version} is not newer than {self.version}')

    def _take(self, loaded: _Loaded) -> None:
        """Use loaded weights, or say why not; a callback of the node."""
        version, policy, refusal = loaded
        try:
            if policy is None:
                raise PolicyRefused(refusal)
            self._check_newer(version)
            # In one assignment: a decision is of the old weights or of the new ones.
            self.policy, self._used_since = policy, time.monotonic()
            self.version = version
        except PolicyRefused as error:
            refusal = str(error)
            if version > self.version:
                self._refused = version     # is not waited for
            self.refused_count += 1
            self._refusal = refusal
            self._warnings.warn('refused weights', 'weights refused, the present ones are kept: '
                                f'{refusal}')
        self._outcomes.append(_Outcome(version, time.monotonic(), refusal))
        self._heard()

    def _on_progress(self, message: UInt64MultiArray) -> None:
        try:
            self.progress = progress = weights.decode_progress(message.data)
        except weights.WeightsError as error:
            self._warnings.warn('progress', f'not used: {error}')
            return
        if progress.stream == self._stream:
            self.own_progress = progress
            self._heard()

    def report_weights(self) -> Report:
        """Report the policy in use."""
        info = self.policy.info
        refused = {'refused': self.refused_count, 'refused_last': self._refusal}
        if info is None:
            return Report(ERROR, 'no weights', refused)
        return Report(OK, f'iteration {info.total_it}', {
            'version': self.version, 'iteration': info.total_it,
            'age': time.monotonic() - self._used_since, 'architecture': info.architecture,
            **refused})

    def report_experience(self) -> Report:
        """Report what was sent, and whether anybody takes it."""
        answered = self.own_progress.sequence if self.own_progress is not None else 'none'
        values = {'sent': self._sequence, 'lost': self._unheard, 'answered_last': answered,
                  'stream': self._stream}
        if self._training and not self.connected:
            return Report(WARN, f'no training node at {self._trainer}', values)
        return Report(OK, 'sent' if self._training else 'not training', values)


def check_fit(policy: Policy) -> None:
    """Raise PolicyRefused for a policy of other observations or actions than the node's."""
    blank = Observation(image=np.zeros((STACK, SIZE, SIZE), np.uint8),
                        vector=np.zeros(VECTOR_SIZE, np.float32))
    try:
        action = policy.act(blank)
    except (ValueError, TypeError, RuntimeError) as error:
        raise PolicyRefused(f'the policy does not take this observation: {error}') from None
    if action.shape != (ACTION_SIZE,):
        raise PolicyRefused(f'the policy gives {action.size} actions, not {ACTION_SIZE}')
