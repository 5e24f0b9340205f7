# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The fault table's rows about clock, training node, life cycle and long runs."""

import os
from pathlib import Path
import time

from carla_msgs.msg import CarlaControl, CarlaEgoVehicleControl, CarlaStatus
from lifecycle_msgs.msg import Transition as Change
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from stack import (CAMERA, Diagnosed, EGO, hear_experience, LEARNER, Lifecycle, LOCKSTEP, POLICY,
                   Service, START, TRAINER)
from std_msgs.msg import String, UInt8MultiArray

from av_td3_ros.driving.driver import Kind
from av_td3_ros.ros import qos, weights
from av_td3_ros.ros.messages import read_stamp

STEP = 500_000_000      # ns; the longest that a transition may span


class Training:
    """A training vehicle behind relays for pictures, odometry and clock; the learner may die."""

    WHAT = ('image', 'odometry', 'clock')

    def __init__(self, ros, folder):
        from rig import constant_agent
        self.ros, self.folder = ros, folder
        checkpoint = folder / 'training_constant.pth'
        constant_agent(0.0).save_checkpoint(checkpoint)
        self.heard = hear_experience(ros)
        self.commands = []
        ros.node.create_subscription(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd',
                                     self._on_command, qos.STREAM)
        self.carla = ros.subscribe(CarlaStatus, '/carla/status')
        self.ticks = []
        ros.node.create_subscription(
            Odometry, f'{EGO}/relayed_odometry',
            lambda message: self.ticks.append(read_stamp(message.header.stamp)), qos.STREAM)
        self.versions = []
        ros.node.create_subscription(UInt8MultiArray, f'{TRAINER}/weights', self._on_weights,
                                     qos.WEIGHTS)
        self.simulator = ros.start('simulator', {'camera.width': 96, 'camera.height': 84})
        for what in self.WHAT:
            ros.start('relay_node.py', {'what': what})
        self.policy = ros.start(
            'policy', {'training': True, 'explore': False, 'checkpoint': checkpoint,
                       'camera': 'relayed', 'episode.max_duration': 20.0},
            arguments=['-r', 'odometry:=relayed_odometry', '-r', '/clock:=/relayed_clock'])
        self._modes = [ros.publisher(String, f'/relay/{what}', timeout=START)
                       for what in self.WHAT]
        self.control = ros.publisher(CarlaControl, '/carla/control', timeout=START)
        self.trainer = None

    def _on_command(self, message):
        self.commands.append((read_stamp(message.header.stamp), message))

    def _on_weights(self, message):
        self.versions.append((weights.decode(message.data).version, time.monotonic()))

    def mode(self, mode):
        for publish in self._modes:
            publish(String(data=mode))

    def start_trainer(self):
        self.trainer = self.ros.start('training', {
            **LEARNER, 'checkpoint_dir': str(self.folder / 'checkpoints'), 'save_at_end': False})

    def need_trainer(self):
        """Start the training node where no row has done so yet."""
        if self.trainer is None:
            self.start_trainer()

    def learn(self, count=20, timeout=START):
        """Wait for so many more transitions within episodes."""
        def steps():
            return sum(item.transition.kind is Kind.STEP for item in self.heard)
        wanted = steps() + count
        self.ros.wait_for(lambda: steps() >= wanted, f'{count} transitions', timeout)

    def check_transitions(self):
        """Hold every transition to one episode and a short time; return the longest, s."""
        longest, before = 0, None
        for item in self.heard:
            now = item.transition
            if now.kind is Kind.STEP and before is not None:
                assert before.kind is not Kind.ABANDON and before.ending is None
                assert before.episode == now.episode
                span = now.stamp - before.stamp
                assert 0 < span <= STEP, f'a transition over {span * 1e-9:.2f} s'
                longest = max(longest, span)
            before = now
        assert [item.sequence for item in self.heard] == list(
            range(self.heard[0].sequence, self.heard[0].sequence + len(self.heard)))
        return longest * 1e-9


def clock(training, offsets=(3600.0, 0.0, 'zero', 0.0)):
    """
    Set the clock by offsets in s, or to 'zero', pause and resume; no transition may span it.

    The offsets are of the simulation's own time.
    """
    training.learn()
    figures, present = {'clock_set': len(offsets)}, 0.0
    for offset in offsets:
        count, before = len(training.commands), training.ticks[-1]
        if offset == 'zero':
            # What is stamped before zero from here on is held back by the relays.
            offset = present - before * 1e-9
        training.mode(f'offset:{offset}')
        by = offset - present
        training.ros.wait_for(
            lambda: (training.ticks[-1] - before) * 1e-9 / by > 0.5, f'the jump by {by:.1f} s',
            START)
        present = offset
        training.learn()
        # Nothing older than what was under way goes out after the first command of the new time.
        stamps = [stamp for stamp, _ in training.commands[count:]]
        jumps = [abs(b - a) > 1_000_000_000 for a, b in zip(stamps, stamps[1:])]
        assert sum(jumps) <= 1, 'a stale command after the jump'
    training.control(CarlaControl(command=CarlaControl.PAUSE))
    training.ros.wait_for(
        lambda: training.carla and not training.carla[-1].synchronous_mode_running, 'the pause')
    # What was under way arrives; then nothing goes out.
    deadline, count = time.monotonic() + 15.0, -1
    while count != (count := len(training.commands) + len(training.heard)):
        assert time.monotonic() < deadline, 'it goes on while the simulation is paused'
        training.ros.spin(1.0)
    training.ros.spin(1.5)
    figures['sent_while_paused'] = len(training.commands) + len(training.heard) - count
    assert not figures['sent_while_paused']
    training.control(CarlaControl(command=CarlaControl.PLAY))
    training.learn()
    figures['longest_transition_s'] = round(training.check_transitions(), 3)
    assert 'the clock' in training.policy.output
    return figures


def trainer_dies(training, times):
    """Kill the learner again and again; the vehicle misses no tick and keeps its weights."""
    worst_back, missed, count = 0.0, 0, 0
    # The drive is under way: until the processes have found each other, ticks have no command.
    training.learn()
    for _ in range(times):
        known = len(training.versions)
        if training.trainer is not None:
            training.trainer.kill()
        first = len(training.ticks)
        training.ros.spin(1.0)
        training.start_trainer()
        training.ros.wait_for(lambda: len(training.versions) > known, 'weights', 2 * START)
        version, at = training.versions[known]
        training.ros.wait_for(
            lambda: training.heard and training.heard[-1].weights >= version,
            'the vehicle to use the new weights', START)
        worst_back = max(worst_back, time.monotonic() - at)
        training.learn(5)
        # Commands come in order: with that of the last tick, or of a later one, all are here.
        last = training.ticks[-1]
        training.ros.wait_for(lambda: training.commands[-1][0] >= last, 'the last command', START)
        answered = {stamp for stamp, _ in training.commands}
        window = [stamp for stamp in training.ticks[first:] if stamp <= last]
        missed += sum(stamp not in answered for stamp in window)
        count += len(window)
    used = [item.weights for item in training.heard]
    assert used == sorted(used), 'the weights went back'
    training.check_transitions()
    return {'kills': times, 'ticks': count, 'missed': missed,
            'connected_again_s': round(worst_back, 3)}


def bad_names(root: Path, outside: Path):
    """Lay traps in a checkpoint folder, and return names that must be refused."""
    root.mkdir(parents=True, exist_ok=True)
    (root / 'link.pth').symlink_to(outside / 'target.pth')
    (root / 'folder').symlink_to(outside)
    (root / 'device.pth').symlink_to('/dev/null')
    os.mkfifo(root / 'fifo.pth')
    return ['../escape.pth', '..', str(outside / 'absolute.pth'), '/dev/null', 'a/../../b.pth',
            'link.pth', 'folder/x.pth', 'device.pth', 'fifo.pth', 'x' * 5000 + '.pth',
            # A string of ROS ends at NUL: this one arrives as '..'.
            '..\0x', '../escape\0.pth']


def bad_roots(folder: Path):
    """Lay traps, and return values of checkpoint_dir that must be refused."""
    folder.mkdir()
    (folder / 'file').write_bytes(b'untouched')
    os.mkfifo(folder / 'fifo')
    (folder / 'device').symlink_to('/dev/null')
    (folder / 'nowhere').symlink_to(folder / 'missing' / 'folder')
    (folder / 'loop').symlink_to(folder / 'loop')
    return [folder / 'file', folder / 'fifo', '/dev/null', folder / 'device', folder / 'loop',
            f'{folder}/file/../root', folder / 'nowhere', '~nobody-here/x',
            f'{folder}/' + 'x' * 300]


def roots(ros, folder, count=100):
    """Start training nodes with roots that are none; they must end, and touch nothing."""
    bad = bad_roots(folder)[:count]
    before, refused = snapshot(folder), 0
    for root in bad:
        process = ros.start('training', {**LEARNER, 'checkpoint_dir': root, 'save_at_end': False})
        code = process.wait(START)
        said = process.output.strip().splitlines()
        # It is said in a sentence, without a traceback.
        assert code == 2 and 'checkpoint_dir' in said[-1], (root, code, said)
        assert 'Traceback' not in process.output
        refused += 1
        ros.processes.remove(process)
    assert snapshot(folder) == before
    return {'roots': len(bad), 'roots_refused': refused}


def snapshot(folder: Path):
    """Return what a folder holds, names, sizes and times."""
    return sorted((str(path.relative_to(folder)), path.lstat().st_size, path.lstat().st_mtime_ns)
                  for path in folder.rglob('*'))


def paths(training, outside):
    """Ask the training node to save to and load from where it must not."""
    training.need_trainer()
    ros = training.ros
    names = bad_names(training.folder / 'checkpoints', outside)
    (outside / 'victim.pth').write_bytes(b'untouched')
    before = snapshot(outside)
    parameters = ros.node.create_client(SetParameters, f'{TRAINER}/set_parameters')
    ros.wait_for(parameters.service_is_ready, 'the parameter service', START)
    refused, taken = 0, []
    for parameter, action in (('save_name', 'save_checkpoint'), ('load_name', 'load_checkpoint')):
        service = Service(ros, f'{TRAINER}/{action}')
        for name in names:
            future = parameters.call_async(SetParameters.Request(parameters=[
                Parameter(parameter, value=name).to_parameter_msg()]))
            ros.wait_for(future.done, f'{parameter} {name[:40]!r}', START)
            if not future.result().results[0].successful:
                refused += 1
                continue
            answer = service(START)
            refused += not answer.success
            if answer.success:
                taken.append((parameter, name, answer.message))
    assert snapshot(outside) == before and not taken, taken
    assert training.trainer.code is None
    return {'names': 2 * len(names), 'refused': refused, 'touched_outside': 0}


def resources(pid):
    """Return a process's threads, open files and memory in MiB."""
    status = Path(f'/proc/{pid}/status').read_text()
    field = {line.split(':')[0]: line.split()[1] for line in status.splitlines() if ':' in line
             and len(line.split()) > 1}
    return {'threads': int(field['Threads']), 'files': len(os.listdir(f'/proc/{pid}/fd')),
            'memory': int(field['VmRSS']) / 1024}


def life_cycles(ros, checkpoint, times):
    """Go through the whole life cycle again and again; return what it left behind."""
    process = ros.start('policy', {'autostart': False, 'checkpoint': checkpoint})
    lifecycle = Lifecycle(ros)

    def turn():
        for change, state in ((Change.TRANSITION_CONFIGURE, 'inactive'),
                              (Change.TRANSITION_ACTIVATE, 'active'),
                              (Change.TRANSITION_DEACTIVATE, 'inactive'),
                              (Change.TRANSITION_CLEANUP, 'unconfigured')):
            assert lifecycle.change(change) and lifecycle.state == state
    warm = min(10, max(times // 4, 2))
    for _ in range(warm):
        turn()
    before = resources(process.pid)
    for _ in range(times - warm):
        turn()
    after = resources(process.pid)
    assert process.stop() == 0
    return {'cycles': times, **{f'{name}_grown': round(after[name] - before[name], 2)
                                for name in before}}


def saves(training, count):
    """Save while the vehicle drives, again and again; return what the policy node grew by."""
    training.need_trainer()
    ros = training.ros
    parameters = ros.node.create_client(SetParameters, f'{TRAINER}/set_parameters')
    ros.wait_for(parameters.service_is_ready, 'the parameter service', START)
    future = parameters.call_async(SetParameters.Request(parameters=[
        Parameter('save_name', value='again').to_parameter_msg()]))
    ros.wait_for(future.done, 'the name to be set', START)
    save = Service(ros, f'{POLICY}/save_checkpoint')
    done, before = 0, None
    for number in range(count):
        training.learn(3)
        done += save(START).success
        if number == 1:
            before = resources(training.policy.pid)
    after = resources(training.policy.pid)
    assert done, 'no save succeeded'
    return {'saves': done, **{f'{name}_grown': round(after[name] - before[name], 2)
                              for name in before}}


def endurance(ros, folder, simulated, checkpoint):
    """Drive and save as fast as it goes; return how memory, threads, files and latency drift."""
    diagnosed = Diagnosed(ros)
    stamps = []
    ros.node.create_subscription(
        Odometry, f'{EGO}/odometry', lambda m: stamps.append(read_stamp(m.header.stamp)),
        qos.LATEST)
    processes = {
        'simulator': ros.start('simulator', {**CAMERA, **LOCKSTEP, 'vehicles': 4}),
        'trainer': ros.start('training', {
            **LEARNER, 'checkpoint_dir': str(folder / 'checkpoints'), 'save_at_end': False}),
        'guard': ros.start('guard'),
        'policy': ros.start('policy', {'training': True, 'checkpoint': checkpoint,
                                       'expect_guard': True})}
    save = Service(ros, f'{POLICY}/save_checkpoint')
    ros.wait_for(lambda: stamps and stamps[-1] > 5e9, 'the drive', START)
    # What the first of all loads and starts is no growth.
    save(30.0)
    begun, saves, marks = stamps[-1], 0, []
    share = simulated / 10.0
    for part in range(11):
        ros.wait_for(lambda: stamps[-1] - begun >= part * share * 1e9, 'the drive to go on',
                     max(600.0, 4.0 * share))
        figures = diagnosed.fresh('av_td3_policy: driving')
        marks.append({'latency': float(figures.get('latency_p99_ms', 'nan')), **{
            name: resources(process.pid) for name, process in processes.items()}})
        saves += save(30.0).success
    # The first parts load what is loaded lazily.
    first, last = marks[2], marks[-1]
    half = [mark['latency'] for mark in marks[2:6]], [mark['latency'] for mark in marks[-4:]]
    drift = sum(half[1]) / max(sum(half[0]), 1e-9) - 1.0
    return {'simulated_s': round((stamps[-1] - begun) * 1e-9), 'saves': saves,
            **{f'{name}_{what}_grown': round(last[name][what] - first[name][what], 2)
               for name in processes for what in last[name]},
            'latency_p99_ms': round(last['latency'], 2), 'latency_drift': round(drift, 3)}


# What a process may grow by; a leak would be one a tick or a save. The trainer's memory of what
# was driven fills up meanwhile: 1000 pictures of 7 kB.
GROWTH = {'threads': 0, 'files': 2, 'memory': 20.0}


def flat(figures, growth=None):
    """Whether no process of the endurance row grew."""
    growth = GROWTH if growth is None else growth
    grown = {key: value for key, value in figures.items() if key.endswith('_grown')}
    assert len(grown) == 4 * len(GROWTH), grown
    return all(value <= growth[key.split('_')[1]] for key, value in grown.items())
