# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The training node: learns from the experience of any number of policy nodes.

The executor's threads take messages and wait for services; the learner has a thread of its own
(:class:`~av_td3_ros.learning.worker.LearnerWorker`), through whose queue everything goes.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, TimeoutError as FutureTimeout
import json
import sys
import time
from typing import Any, Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String, UInt64MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger

from av_td3_ros.driving.driver import Kind
from av_td3_ros.learning.background import BackgroundSaver
from av_td3_ros.learning.checkpoint import CheckpointError, CheckpointNotFound
from av_td3_ros.learning.checkpoint_folder import CheckpointFolder
from av_td3_ros.learning.learner import Learner
from av_td3_ros.learning.policy import export_policy
from av_td3_ros.learning.replay import ReplayError
from av_td3_ros.learning.telemetry.event_file import EventFileError
from av_td3_ros.learning.worker import LearnerWorker
from av_td3_ros.nodes.paths import expand
from av_td3_ros.nodes.training_record import TrainingRecord
from av_td3_ros.nodes.training_settings import (OTHER_SECTIONS, TASK_SECTIONS,
                                                TrainingNodeSettings)
from av_td3_ros.ros import experience, qos, weights
from av_td3_ros.ros.diagnostics import Diagnostics, ERROR, OK, Report, WARN
from av_td3_ros.ros.endpoints import Endpoints
from av_td3_ros.ros.log_handler import forward_logging
from av_td3_ros.ros.middleware import stay_out_of_shared_memory
from av_td3_ros.ros.parameters import declare, given
from av_td3_ros.ros.process import run
from av_td3_ros.settings import as_dict, SettingsError

# The policy node gives up after 4.5 s by default and promises an answer within 5 s.
_SERVICE_SECONDS = 4.0
_END_SECONDS = 6.0


class TrainingNode(Endpoints, Node):
    """Learner of the vehicles that name it."""

    def __init__(self) -> None:
        super().__init__('av_td3_trainer')
        forward_logging(self)
        self.settings = s = declare(self, TrainingNodeSettings, self._on_parameters)
        self._root = expand('checkpoint_dir', s.checkpoint_dir)
        try:
            self._folder = CheckpointFolder(self._root, s.retention)
            self._learner = Learner(
                s.learner, self._config({}), other_sections=OTHER_SECTIONS,
                replay_directory=self._root / 'replay')
        except SettingsError:
            raise
        except (CheckpointError, ReplayError, MemoryError, OSError, ValueError) as error:
            raise SettingsError(f'checkpoint_dir {s.checkpoint_dir}: {error}') from None
        self._saver = BackgroundSaver(self._folder)
        self._versions = weights.VersionCounter()
        self._ledger = experience.StreamLedger()
        self._tasks: dict[int, dict[str, Any]] = {}
        self._unopened = 0
        self._losses: dict[str, float] = {}
        self._endings: dict[str, int] = {}
        self._updates_at_publication = 0
        self._start()
        self._record = self._make_record()
        self._worker = LearnerWorker(self._learner, lockstep=s.lockstep,
                                     on_update=self._on_update)
        self._weights = self.create_publisher(UInt8MultiArray, '~/weights', qos.WEIGHTS)
        self._progress = self.create_publisher(UInt64MultiArray, '~/progress', qos.PROGRESS)
        self._worker.submit(self._publish_weights)
        self._experience = self.create_subscription(
            UInt8MultiArray, '~/experience', self._on_experience, qos.EXPERIENCE)
        self.create_subscription(String, '~/task', self._on_task, qos.TASK)
        waiting = ReentrantCallbackGroup()
        self.create_service(Trigger, '~/save_checkpoint', self._on_save, callback_group=waiting)
        self.create_service(Trigger, '~/load_checkpoint', self._on_load, callback_group=waiting)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._publish_progress, clock=steady)
        if s.save_every > 0.0:
            self.create_timer(s.save_every, self._save_by_itself, clock=steady)
        self._diagnostics = Diagnostics(self, {
            'learning': self._report_learning, 'experience': self._report_experience})

    def _start(self) -> None:
        """Resume, or start from a checkpoint, or from scratch; say which."""
        s, log = self.settings, self.get_logger()
        if s.resume:
            try:
                loaded = self._learner.load(self._folder)
                self._learner.abandon_all()
                log.info(f'resumed from {loaded.path} at iteration {loaded.total_it}')
                return
            except CheckpointNotFound:
                pass
            except CheckpointError as error:
                raise SettingsError(
                    f'cannot resume: {error}; start with resume:=false to begin anew, or with '
                    'another checkpoint_dir') from None
        if s.checkpoint:
            try:
                self._learner.start_from(expand('checkpoint', s.checkpoint))
            except CheckpointError as error:
                raise SettingsError(f'checkpoint: {error}') from None
            log.info(f'starts from {s.checkpoint}, iteration {self._learner.agent.total_it}')
        else:
            log.info('starts from scratch')

    def _make_record(self) -> TrainingRecord | None:
        folder = self.settings.log_dir
        try:
            return TrainingRecord(expand('log_dir', folder), self._learner) if folder else None
        except (EventFileError, OSError) as error:
            raise SettingsError(f'log_dir {folder}: {error}; empty writes none') from None

    def destroy_node(self) -> None:
        """Save, and end the learner."""
        last = self._save_last if self.settings.save_at_end else None
        if not self._worker.close(last, _END_SECONDS):
            self.get_logger().error('the last save did not end in time')
        self._saver.close()
        self._learner.close()
        if self._record is not None:
            self._record.close()
        super().destroy_node()

    def _save_last(self, learner: Learner) -> None:
        try:
            saved = self._folder.save(learner.agent, evaluation=learner.recent_return,
                                      **learner.parts({}))
        except CheckpointError as error:
            self.get_logger().error(f'the last save failed: {error}')
        else:
            self.get_logger().info(f'saved {saved.path} at iteration {saved.total_it}')

    def _config(self, task: dict[str, Any]) -> dict[str, Any]:
        plain = as_dict(self.settings)
        kept = ('algorithm', 'networks', 'training')
        return {**{name: plain[name] for name in kept}, **task}

    # Experience

    def _on_task(self, message: String) -> None:
        try:
            task = json.loads(message.data)
            stream, role = int(task.pop('stream')), str(task.pop('role'))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            self.get_logger().warning('a description of a task cannot be read',
                                      throttle_duration_sec=5.0)
            return
        task = {name: task[name] for name in TASK_SECTIONS if isinstance(task.get(name), dict)}
        others = [other for known, other in self._tasks.items() if known != stream]
        if others and others[-1] != task:
            different = [name for name in TASK_SECTIONS
                         if task.get(name) != others[-1].get(name)]
            self.get_logger().warning(
                f'{role} learns another task than the vehicle before it: its '
                f'{", ".join(different)} differ; one policy cannot learn both')
        self._tasks[stream] = task
        self._worker.submit(lambda learner: learner.agent.config.update(task))

    def _on_experience(self, message: UInt8MultiArray) -> None:
        try:
            item = experience.decode(message.data)
        except experience.ExperienceError as error:
            self.get_logger().warning(f'experience refused: {error}', throttle_duration_sec=5.0)
            return
        if self._versions.heed(item.weights):
            self.get_logger().warning(
                f'a vehicle drives with weights {item.weights}, newer than all of this node: its '
                'clock was set back; going on from there', throttle_duration_sec=5.0)
            self._worker.submit(self._publish_weights)
        receipt = self._ledger.receive(item)
        stream = self._ledger.index(item.stream)
        if receipt.lost:
            self.get_logger().warning(
                f'{receipt.lost} experiences of vehicle {stream} were lost on the way',
                throttle_duration_sec=5.0)
            self._worker.submit(lambda learner: learner.abandon(stream))
        step = item.transition
        if receipt.accept:
            if step.ending is not None:
                self._endings[step.ending.value] = self._endings.get(step.ending.value, 0) + 1
            future = self._worker.submit(lambda learner: self._take(learner, stream, item))
        else:
            # In lockstep, who sent it waits for the answer all the same.
            future = self._worker.submit(lambda learner: None)
        if self.settings.lockstep:
            future.add_done_callback(lambda done: self._answer(done, item))
        else:
            future.add_done_callback(self._report_failure)

    def _take(self, learner: Learner, stream: int, item: experience.Experience) -> None:
        """Store a transition; runs in the learner's thread."""
        step, known = item.transition, True
        if step.kind is Kind.BEGIN:
            learner.begin(stream, step.frame, step.vector)
        elif step.kind is Kind.ABANDON:
            learner.abandon(stream)
        elif stream not in learner.replay.open_episodes:
            self._unopened += 1
            known = False
        else:
            learner.add(stream, step.action, step.reward, step.terminated, step.truncated,
                        step.frame, step.vector)
        if self._record is None:
            return
        if known:
            task = self._tasks.get(item.stream, {})
            self._record.took(stream, item, task.get('observation', {}).get('speed_scale'))
        else:
            self._record.forget(stream)

    def _answer(self, done: Future, item: experience.Experience) -> None:
        """In lockstep, in the learner's thread: tell the vehicle that it may act."""
        self._report_failure(done)
        self._tell_progress(self._learner, item.stream, item.sequence)

    def _report_failure(self, done: Future) -> None:
        if done.exception() is not None:
            self.get_logger().error(f'experience not stored: {done.exception()}',
                                    throttle_duration_sec=5.0)

    # What the vehicles are told

    def _on_update(self, learner: Learner, report: dict[str, float]) -> None:
        for name, value in report.items():
            self._losses[name] = 0.98 * self._losses.get(name, value) + 0.02 * value
        done = learner.agent.total_it
        if done - self._updates_at_publication >= self.settings.publish_every:
            self._publish_weights(learner)

    def _publish_weights(self, learner: Learner) -> None:
        version = self._versions.advance()
        if self._record is not None:
            self._record.published(version)
        self._updates_at_publication = learner.agent.total_it
        data = weights.encode(version, learner.agent.total_it,
                              export_policy(learner.agent, version))
        self._weights.publish(UInt8MultiArray(data=data))

    def _publish_progress(self) -> None:
        self._tell_progress(self._learner, 0, 0)

    def _tell_progress(self, learner: Learner, stream: int, sequence: int) -> None:
        self._progress.publish(UInt64MultiArray(data=weights.encode_progress(weights.Progress(
            stream, sequence, self._versions.value, learner.transitions, learner.agent.total_it,
            int(learner.acting)))))

    # Services

    def _on_parameters(self, settings: TrainingNodeSettings) -> None:
        self.settings = settings

    def _on_save(self, request: Trigger.Request, response: Trigger.Response
                 ) -> Trigger.Response:
        name = self.settings.save_name

        def save(learner: Learner) -> Future:
            return self._saver.save(learner.agent, name, evaluation=learner.recent_return,
                                    **learner.parts({}))
        return self._serve(response, 'save', lambda: self._wait_twice(save), lambda saved: (
            f'saved {saved.path} at iteration {saved.total_it}'))

    def _on_load(self, request: Trigger.Request, response: Trigger.Response
                 ) -> Trigger.Response:
        name = self.settings.load_name or 'latest'

        def load(learner: Learner) -> Any:
            loaded = learner.load(self._folder, name)
            learner.abandon_all()
            self._worker.forget_failure()
            self._publish_weights(learner)
            return loaded, self._versions.value
        return self._serve(response, 'load', lambda: self._wait(
            self._worker.submit(load, urgent=True), _SERVICE_SECONDS),
            lambda found: weights.tell_version('; '.join(
                [f'loaded {found[0].path} at iteration {found[0].total_it}',
                 *found[0].warnings]), found[1]))

    def _wait_twice(self, save: Callable[[Learner], Future]) -> Any:
        """Wait for the learner's thread to take the snapshot, then for the disk."""
        until = time.monotonic() + _SERVICE_SECONDS
        written = self._wait(self._worker.submit(save, urgent=True), _SERVICE_SECONDS)
        return self._wait(written, max(until - time.monotonic(), 0.0))

    def _wait(self, future: Future, seconds: float) -> Any:
        """Return a result; where the caller cannot wait for it, a failure is logged later."""
        try:
            return future.result(seconds)
        except FutureTimeout:
            future.add_done_callback(self._tell_late_failure)
            raise

    def _tell_late_failure(self, done: Future) -> None:
        if done.exception() is not None:
            self.get_logger().error('what was answered before it was done has failed: '
                                    f'{done.exception()}')
        elif isinstance(done.result(), Future):
            done.result().add_done_callback(self._tell_late_failure)

    def _serve(self, response: Trigger.Response, what: str, work: Callable[[], Any],
               describe: Callable[[Any], str]) -> Trigger.Response:
        try:
            response.message = describe(work())
            response.success = True
            self.get_logger().info(response.message)
        except (FutureTimeout, CancelledError):
            response.message = (f'the {what} was not done within {_SERVICE_SECONDS:g} s; it goes '
                                'on, and the log tells how it ended')
        except (CheckpointError, OSError) as error:
            response.message = str(error)
        except Exception as error:  # whatever it is, the caller gets an answer
            response.message = f'{type(error).__name__}: {error}'
        if not response.success:
            self.get_logger().error(f'{what} failed: {response.message}')
        return response

    def _save_by_itself(self) -> None:
        def save(learner: Learner) -> Future:
            return self._saver.save(learner.agent, evaluation=learner.recent_return,
                                    **learner.parts({}))

        def report(done: Future) -> None:
            if done.exception() is not None:
                self.get_logger().error(f'not saved: {done.exception()}')

        def taken(done: Future) -> None:
            report(done)
            if done.exception() is None:
                done.result().add_done_callback(report)
        self._worker.submit(save).add_done_callback(taken)

    # Reports

    def _report_learning(self) -> Report:
        learner = self._learner
        values = {'updates': learner.agent.total_it, 'transitions': learner.transitions,
                  'replay': len(learner.replay), 'owed': learner.due,
                  'skipped_updates': self._worker.skipped, **self._losses}
        if self._worker.failure is not None:
            return Report(ERROR, self._worker.failure, values)
        if not learner.learning:
            return Report(OK, 'gathering experience', values)
        return Report(OK, 'learning', values)

    def _report_experience(self) -> Report:
        ledger = self._ledger
        values = {'received': ledger.received, 'lost': ledger.lost, 'doubled': ledger.doubled,
                  'without_beginning': ledger.headless + self._unopened,
                  'waiting': self._worker.waiting, **self._endings,
                  # Of now: processes that are gone send no more.
                  'vehicles': self.count_publishers(self._experience.topic_name)}
        if ledger.lost:
            return Report(WARN, f'{ledger.lost} experiences were lost', values)
        return Report(OK, 'complete', values)


def main(args: Any = None) -> int:
    """
    Run the node.

    Its death must not hold up a vehicle, so it stays out of shared memory; in lockstep, where the
    simulation waits for each update's weights, these go through it, several times as fast.
    """
    if given('lockstep', 'av_td3_trainer', args) is not True:
        stay_out_of_shared_memory()
    return run(TrainingNode, args=args, threads=4, deadline=_END_SECONDS + 2.0)


if __name__ == '__main__':
    sys.exit(main())
