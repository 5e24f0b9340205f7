# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What training asks of the bridge: teleports, goals, and a simulation that waits."""

from __future__ import annotations

from carla_msgs.msg import CarlaControl
from geometry_msgs.msg import Pose as PoseMsg, PoseStamped, Twist
from rclpy.node import Node

from av_td3_ros.driving.start import Plan, Request
from av_td3_ros.ros import qos
from av_td3_ros.ros.messages import make_pose, make_stamp, MAP_FRAME


class BridgeControl:
    """Publishers to the bridge; without ``training`` there are none, and nothing is asked."""

    def __init__(self, node: Node, *, training: bool) -> None:
        self._node, self._training = node, training
        self.paused = False
        if not training:
            return
        make = node.create_publisher
        self._transform = make(PoseMsg, 'control/set_transform', qos.STREAM)
        self._velocity = make(Twist, 'control/set_target_velocity', qos.STREAM)
        self._goal = make(PoseStamped, 'goal', qos.STREAM)
        self._run = make(CarlaControl, '/carla/control', qos.STREAM)

    def destroy(self) -> None:
        """Take every endpoint away."""
        if self._training:
            for publisher in (self._transform, self._velocity, self._goal, self._run):
                self._node.destroy_publisher(publisher)

    @property
    def heard(self) -> bool:
        """Whether anybody would obey a pause."""
        return self._training and self._run.get_subscription_count() > 0

    def request(self, request: Request, plan: Plan | None, stamp: int) -> None:
        """Ask for what an episode's start needs; stamp in ns."""
        if plan is None or not self._training:
            return
        if request is Request.TELEPORT:
            self._transform.publish(make_pose(plan.start))
            self._velocity.publish(Twist())
        elif request is Request.GOAL:
            goal = PoseStamped(pose=make_pose(plan.goal))
            goal.header.frame_id = MAP_FRAME
            goal.header.stamp = make_stamp(stamp)
            self._goal.publish(goal)

    def pause(self) -> None:
        """Have the simulation stand still."""
        if not self.paused and self._training:
            self.paused = True
            self._run.publish(CarlaControl(command=CarlaControl.PAUSE))

    def resume(self, *, whether_or_not: bool = False) -> None:
        """Let the simulation go on; ``whether_or_not`` it was paused from here."""
        if (self.paused or whether_or_not) and self._training:
            self.paused = False
            self._run.publish(CarlaControl(command=CarlaControl.PLAY))
