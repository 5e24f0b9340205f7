# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The whole of the driving side as processes, with relays to make faults of.

Simulator in real time, policy node, guard, and between bridge and policy a relay for pictures and
one for odometry. The policy is a constant one that goes straight on at throttle, so that what is
applied tells who drives.
"""

import math
import time

from carla_msgs.msg import CarlaEgoVehicleControl, CarlaEgoVehicleStatus
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped, Twist
import numpy as np
from stack import Diagnosed, EGO, small_agent, START
from std_msgs.msg import Bool, String
import torch

from av_td3_ros.driving.frames import Pose
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_pose, read_stamp
from av_td3_ros.simulation.town import default_town, Town

THROTTLE = 0.6
DEADLINE = 0.3      # the watchdogs' default
GOOD_INPUTS = 5


def constant_agent(steer, drive=THROTTLE):
    """Return an agent that always does the same."""
    agent = small_agent()
    with torch.no_grad():
        for layer in (agent.actor.fc1, agent.actor.fc2, agent.actor.fc3):
            layer.weight.zero_()
            layer.bias.zero_()
        agent.actor.fc3.bias.copy_(torch.tensor([math.atanh(steer), math.atanh(drive)]))
    return agent


class Rig:
    """The processes, and what the test hears and says."""

    def __init__(self, ros, folder, *, guard=True, guard_parameters=None, **parameters):
        self.ros = ros
        checkpoint = folder / 'constant.pth'
        constant_agent(0.0).save_checkpoint(checkpoint)
        self.parameters = {'checkpoint': checkpoint, 'camera': 'relayed',
                           'expect_guard': guard, **parameters}
        self._guard_parameters = guard_parameters
        self.status, self.arrivals, self.commands = [], [], []
        node = ros.node
        node.create_subscription(CarlaEgoVehicleStatus, f'{EGO}/vehicle_status', self._on_status,
                                 qos.STREAM)
        node.create_subscription(CarlaEgoVehicleControl, f'{EGO}/vehicle_control_cmd',
                                 self.commands.append, qos.STREAM)
        self.overrides = ros.subscribe(Bool, f'{EGO}/vehicle_control_manual_override', qos.INFO)
        self.beats = ros.subscribe(DiagnosticStatus, f'{EGO}/av_td3_guard/heartbeat', qos.LATEST)
        self.diagnosed = Diagnosed(ros)
        self.simulator = ros.start('simulator', {'camera.width': 96, 'camera.height': 84})
        self.relays = {what: ros.start('relay_node.py', {'what': what})
                       for what in ('image', 'odometry')}
        self.guard = self.policy = None
        if guard:
            self.start_guard()
        self.start_policy()
        town = Town.load(default_town())
        self.start_pose, self.goal_pose, _ = town.sample_route(np.random.default_rng(1), 250.0,
                                                               400.0)
        self._transform = ros.publisher(PoseMsg, f'{EGO}/control/set_transform', timeout=START)
        self._velocity = ros.publisher(Twist, f'{EGO}/control/set_target_velocity', timeout=START)
        self._goal = ros.publisher(PoseStamped, f'{EGO}/goal', timeout=START)
        self._modes = {what: ros.publisher(String, f'/relay/{what}', timeout=START)
                       for what in self.relays}

    def start_guard(self):
        """Start the guard, also again."""
        self.guard = self.ros.start('guard', self._guard_parameters)

    def start_policy(self):
        """Start the policy node, also again."""
        self.policy = self.ros.start('policy', self.parameters,
                                     arguments=['-r', 'odometry:=relayed_odometry'])

    def _on_status(self, message):
        self.status.append(message)
        self.arrivals.append(time.monotonic())

    def mode(self, what, mode):
        """Set a relay's mode."""
        self._modes[what](String(data=mode))

    @property
    def applied(self):
        """What the simulator applies, by its own word."""
        return self.status[-1].control

    @property
    def speed(self):
        return self.status[-1].velocity

    @property
    def drives(self):
        """Whether the policy's throttle is applied."""
        return bool(self.status) and self.applied.throttle > 0.5

    @property
    def braked(self):
        return bool(self.status) and self.applied.brake > 0.2 and self.applied.throttle == 0.0

    def home(self):
        """Bring the car to the start of a long route, at rest."""
        self._transform(make_pose(self.start_pose))
        self._velocity(Twist())
        goal = PoseStamped(pose=make_pose(Pose(*self.goal_pose)))
        goal.header.frame_id = 'map'
        self._goal(goal)

    def drive(self, speed=2.0, timeout=START):
        """Have the policy drive from the start of a route, up to a speed."""
        self.home()
        self.wait_for(lambda: self.drives and self.speed > speed, 'the policy to drive', timeout)

    def wait_for(self, condition, what, timeout=30.0):
        """Wait as the graph does, and fail with what the nodes make of it."""
        try:
            return self.ros.wait_for(condition, what, timeout)
        except AssertionError as error:
            told = [self.diagnosed(part) for part in (
                'av_td3_policy: driving', 'av_td3_policy: watchdogs', 'av_td3_guard: guard')]
            raise AssertionError(f'{error}\n{told}') from None

    def brake_after(self, moment, timeout=30.0):
        """Wait for the brake to be applied; return how long after a moment it was, s."""
        def found():
            return next((at for at, m in zip(self.arrivals, self.status) if at > moment
                         and m.control.brake > 0.2 and m.control.throttle == 0.0), None)
        return self.wait_for(found, 'the brake', timeout) - moment

    def told(self, watchdog):
        """Return a watchdog's state by the newest report."""
        return self.diagnosed.values('av_td3_policy: watchdogs').get(watchdog)

    def stamps(self, since):
        """Return the stamps of the commands from a number on."""
        return [read_stamp(command.header.stamp) for command in self.commands[since:]]
