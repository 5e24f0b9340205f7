# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The fault table's short form: each row once or a few times, over real processes.

The machine that runs this may be busy, so times are held to six times their bounds here; the long
form, benchmarks/faults.py, holds them to the bounds themselves.
"""

import signal

import fault_rows as rows
import fault_rows_hostile as hostile_rows
import fault_rows_stack as stack_rows
import pytest
from rig import Rig
from support import make_graph

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]
BUSY = 6.0
GUARD_DEADLINE = 0.6


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    yield from make_graph(tmp_path_factory.mktemp('faults'))


@pytest.fixture(scope='module')
def rig(graph, tmp_path_factory):
    # So busy that the driver is held up for longer than the guard's deadline, now and then.
    return Rig(graph, tmp_path_factory.mktemp('weights'), guard_parameters={
        'deadline': GUARD_DEADLINE, 'alive_deadline': 2.0}, **{'gate.steer_rate': 0.0})


@pytest.mark.parametrize('name', list(rows.INPUT_FAULTS))
def test_an_input_fails(rig, name):
    assert rows.input_fault(rig, name)['brake_s'] < BUSY * rows.input_bound(name)


def test_the_guard_is_killed(rig):
    assert rows.guard_dies(rig)['warning_s'] < BUSY * rows.BOUNDS['guard_warning']


def test_weights_are_swapped(rig):
    rig.weights_publisher = rows.weights_publisher(rig)
    rows.swaps(rig, 10, pace=0.25)


@pytest.mark.parametrize('how', [signal.SIGSTOP, signal.SIGKILL])
def test_the_policy_node_is_killed_or_hangs(rig, how):
    assert rows.policy_dies(rig, how)['brake_s'] < BUSY * rows.BOUNDS['policy'] + GUARD_DEADLINE


def test_malformed_images_and_messages(rig):
    figures = hostile_rows.malformed(rig, 330)
    assert figures['commands_from_them'] == 0 and figures['refused_heard'] > 0


# The training side

@pytest.fixture(scope='module')
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp('training')
    graphs = make_graph(folder)
    try:
        yield stack_rows.Training(next(graphs), folder)
    finally:
        next(graphs, None)


def test_the_clock_jumps_and_pauses(training):
    figures = stack_rows.clock(training, (3600.0, 0.0, 'zero', 0.0))
    assert figures['sent_while_paused'] == 0


def test_the_training_node_is_killed(training):
    figures = stack_rows.trainer_dies(training, 2)
    assert figures['connected_again_s'] < BUSY * rows.BOUNDS['trainer_back']
    # Ticks are missed where this machine does not come to answering them, while it starts the
    # next training node beside other tests.
    assert figures['missed'] <= 0.5 * figures['ticks']


def test_names_that_lead_out_of_the_checkpoint_folder(training, tmp_path):
    figures = stack_rows.paths(training, tmp_path)
    assert figures['refused'] == figures['names']


def test_a_checkpoint_folder_that_is_none(training, tmp_path):
    # Each starts a process; the others are in test_checkpoint_folder.py.
    assert stack_rows.roots(training.ros, tmp_path / 'roots', 3)['roots_refused'] == 3


def test_saves_while_driving_leave_nothing_behind(training):
    figures = stack_rows.saves(training, 6)
    # The middleware may start a thread of its own meanwhile; a leak would be one a save.
    assert figures['saves'] >= 4
    assert figures['threads_grown'] <= 2 and figures['files_grown'] <= 2
    assert figures['memory_grown'] < 10.0


@pytest.fixture
def another(tmp_path):
    yield from make_graph(tmp_path)


def test_malformed_messages_while_training(another, tmp_path):
    figures = hostile_rows.malformed_training(another, tmp_path, 150)
    assert figures['learned_from_them'] == 0 and figures['weights_refused'] > 0
