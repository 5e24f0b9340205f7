# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small bags of a car that follows a bend, written without a simulator."""

import math

import numpy as np
import torch

from av_td3_ros.driving.frames import Control, Pose, VehicleState
from av_td3_ros.evaluation.bag_writer import BridgeBag
from av_td3_ros.learning.policy_file import save_policy
from av_td3_ros.learning.td3 import TD3Agent

TICK = 50_000_000
SPEED = 8.0
STRAIGHT = 20.0
RADIUS = 30.0


def on_path(distance, lateral=0.0):
    """Return the pose at an arc length of a straight line that goes over into a left bend."""
    if distance < STRAIGHT:
        x, y, yaw = distance, 0.0, 0.0
    else:
        yaw = (distance - STRAIGHT) / RADIUS
        x, y = STRAIGHT + RADIUS * math.sin(yaw), RADIUS * (1.0 - math.cos(yaw))
    return Pose(x - lateral * math.sin(yaw), y + lateral * math.cos(yaw), 0.0, yaw)


def route(length=90.0):
    """Return the path's points, 1 m apart, (N, 2)."""
    return np.array([on_path(float(s))[:2] for s in np.arange(0.0, length)])


def state(number):
    """Return the car's state at a tick."""
    distance = SPEED * 0.05 * number
    lateral = 0.3 * math.sin(0.1 * number)
    turning = SPEED / RADIUS if distance >= STRAIGHT else 0.0
    return VehicleState(number * TICK, on_path(distance, lateral), (SPEED, 0.0), turning)


def control(number):
    """Return what the recorded driver commands at a tick."""
    bend = SPEED * 0.05 * number >= STRAIGHT
    return Control(steer=(-0.15 if bend else 0.0) + 0.02 * math.sin(0.3 * number), throttle=0.4)


def picture(number, size=(24, 18)):
    """Return a picture that no other tick has, (H, W, 4) uint8."""
    return np.random.default_rng(number).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)


def write_tick(bag, number, *, command=True, status=True, odometry=True, size=(24, 18)):
    """Write one tick in the bridge's order."""
    now = state(number)
    if status:
        bag.status(now, (0.0, 0.0, 0.0), control(number - 1))
    if odometry:
        bag.odometry(now)
    bag.image(now.stamp, picture(number, size))
    if command:
        bag.command(now.stamp, control(number))


def make_bag(path, ticks=60, *, size=(24, 18), command=True, status=True, odometry=True,
             with_route=True, after=None, **kind):
    """Write a bag of some ticks; ``after(bag, number)`` may write more at each."""
    with BridgeBag(path, **kind) as bag:
        if with_route:
            bag.route(TICK, route())
        for number in range(1, ticks + 1):
            write_tick(bag, number, command=command, status=status, odometry=odometry, size=size)
            if after is not None:
                after(bag, number)
    return path


def make_policy(path, seed=0, bias=0.0):
    """Save a policy of random weights whose steering is shifted by about ``bias``."""
    torch.manual_seed(seed)
    agent = TD3Agent(535, 2, 1.0, config={'networks': {
        'actor': {'hidden_layers': [16, 16]}, 'critic': {'hidden_layers': [16, 16]}}}, seed=seed)
    with torch.no_grad():
        agent.actor.fc3.bias[0] += bias
    save_policy(agent, path, {})
    return path
