# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The learner's thread: order, lockstep, the ratio, failures, and the end."""

from concurrent.futures import wait
import threading
import time

import pytest

from av_td3_ros.learning.td3 import LearningStopped
from av_td3_ros.learning.worker import LearnerWorker


class FakeLearner:
    """Owes updates as it is told, and notes in which order things happen."""

    def __init__(self):
        self.due, self.done, self.events = 0, 0, []
        self.slow = 0.0
        self.failure = None
        self.forgiven = 0

    def add(self, updates=1):
        self.due += updates
        self.events.append('add')

    def update(self):
        time.sleep(self.slow)
        if self.failure is not None:
            raise self.failure
        self.due -= 1
        self.done += 1
        self.events.append('update')
        return {'loss': 1.0}

    def forgive(self, most):
        excess = max(int(self.due - most), 0)
        self.due -= excess
        self.forgiven += excess
        return excess


@pytest.fixture
def make():
    made = []

    def worker(lockstep=False, on_update=lambda learner, report: None):
        learner = FakeLearner()
        made.append(LearnerWorker(learner, lockstep=lockstep, on_update=on_update))
        return learner, made[-1]
    yield worker
    for one in made:
        assert one.close(timeout=10.0)


def until(condition, timeout=10.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, 'the deadline passed'
        time.sleep(0.002)


def test_jobs_are_done_in_order_and_their_results_come_back(make):
    learner, worker = make()
    order = []
    futures = [worker.submit(lambda _, n=n: order.append(n) or n) for n in range(200)]
    assert [future.result(10.0) for future in futures] == list(range(200))
    assert order == list(range(200))


def test_in_lockstep_every_update_is_done_before_the_answer(make):
    learner, worker = make(lockstep=True)
    for number in range(1, 20):
        worker.submit(lambda one: one.add(3)).result(10.0)
        assert learner.done == 3 * number and learner.due == 0
    assert learner.events == ['add', 'update', 'update', 'update'] * 19


def test_in_free_mode_the_answer_does_not_wait_for_updates(make):
    learner, worker = make()
    learner.slow = 0.05
    begun = time.monotonic()
    worker.submit(lambda one: one.add(10)).result(10.0)
    assert time.monotonic() - begun < 0.3
    until(lambda: learner.done == 10)


def test_experience_that_waits_is_taken_before_the_next_update(make):
    learner, worker = make()
    learner.slow = 0.02
    wait([worker.submit(lambda one: one.add(1)) for _ in range(5)], 10.0)
    more = [worker.submit(lambda one: one.add(0)) for _ in range(3)]
    wait(more, 10.0)
    until(lambda: learner.done == 5)
    # No two updates stood between two things that waited.
    last = len(learner.events) - 1 - learner.events[::-1].index('add')
    assert learner.events[:last].count('update') <= 3


@pytest.mark.parametrize('lockstep', [False, True])
def test_what_is_urgent_comes_before_the_next_update(make, lockstep):
    learner, worker = make(lockstep)
    learner.slow = 0.05
    experience = worker.submit(lambda one: one.add(40))
    until(lambda: learner.done >= 1)
    done = worker.submit(lambda one: one.done, urgent=True).result(10.0)
    assert done < 8
    experience.result(10.0)
    until(lambda: learner.done == 40)


@pytest.mark.parametrize('lockstep', [False, True])
def test_an_exception_goes_to_the_caller_and_jobs_go_on(make, lockstep):
    learner, worker = make(lockstep)

    def bad(one):
        raise ValueError('nothing')
    for urgent in (False, True):
        with pytest.raises(ValueError, match='nothing'):
            worker.submit(bad, urgent=urgent).result(10.0)
    assert worker.submit(lambda one: 5).result(10.0) == 5 and worker.failure is None


@pytest.mark.parametrize('lockstep', [False, True])
@pytest.mark.parametrize('failure, said', [
    (LearningStopped('the critic'), 'the critic'), (RuntimeError('boom'), 'RuntimeError: boom')])
def test_an_update_that_fails_stops_learning_but_not_the_jobs(make, lockstep, failure, said):
    learner, worker = make(lockstep)
    learner.failure = failure
    worker.submit(lambda one: one.add(2)).result(10.0)
    until(lambda: worker.failure is not None)
    assert worker.failure == said
    assert worker.submit(lambda one: 'saved', urgent=True).result(10.0) == 'saved'
    # After a load that mends it, learning goes on.
    learner.failure = None
    worker.submit(lambda one: worker.forget_failure(), urgent=True).result(10.0)
    until(lambda: learner.done == 2)


def test_a_report_that_fails_does_not_end_the_thread(make):
    def report(learner, losses):
        raise OSError(28, 'No space left on device')
    learner, worker = make(on_update=report)
    worker.submit(lambda one: one.add(1)).result(10.0)
    until(lambda: worker.failure is not None)
    assert 'No space left' in worker.failure
    assert worker.submit(lambda one: 1).result(10.0) == 1


def test_what_a_slow_machine_cannot_make_up_is_forgiven_and_counted(make):
    learner, worker = make()
    worker.submit(lambda one: one.add(5000)).result(10.0)
    until(lambda: worker.skipped > 0)
    until(lambda: learner.due == 0)
    assert learner.done + learner.forgiven == 5000 and worker.skipped == learner.forgiven > 3900


def test_closing_does_what_is_queued_then_the_last_job_and_leaves_updates(make):
    learner, worker = make()
    learner.slow = 0.01
    order, gate = [], threading.Event()
    worker.submit(lambda one: gate.wait(10.0))
    for number in range(20):
        worker.submit(lambda one, n=number: (one.add(50), order.append(n)))
    gate.set()
    assert worker.close(lambda one: order.append('last'), timeout=10.0)
    assert order == [*range(20), 'last']
    assert learner.done < 100
    with pytest.raises(RuntimeError, match='ended'):
        worker.submit(lambda one: 1).result(1.0)


def test_closing_tells_when_it_was_not_done_in_time():
    worker = LearnerWorker(FakeLearner(), lockstep=False, on_update=lambda *_: None)
    gate = threading.Event()
    worker.submit(lambda one: gate.wait(10.0))
    assert not worker.close(timeout=0.05)
    gate.set()
    assert worker.close(timeout=10.0)


def test_many_threads_may_submit(make):
    learner, worker = make(lockstep=True)

    def add():
        for _ in range(100):
            worker.submit(lambda one: one.add(1))
    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.submit(lambda one: None).result(10.0)
    assert learner.done == 800
