# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ego vehicle: a bicycle model with tyre and actuator limits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from av_td3_ros.driving.frames import Control, Pose
from av_td3_ros.settings import setting
from av_td3_ros.simulation.bicycle import (
    BRAKE, LAST_AX, PARAMETERS, STATE_SIZE, STEER, step_bicycle, THROTTLE, VX, VY, X, Y, YAW,
    YAW_RATE)

_SUBSTEP = 0.005    # s; the tyres' stiffest mode stays well damped with it down to 1 m/s


@dataclasses.dataclass(frozen=True)
class VehicleSettings:
    """
    The figures of a mid-size car (a 1.5 t saloon of 4.7 m with some 100 kW).

    With these it reaches 50 km/h in 4.2 s and 100 km/h in 9 s, brakes with 8 m/s^2 on average
    from 50 km/h, turns within 11 m from kerb to kerb, and corners with up to 8.5 m/s^2, where
    the front slides first; the tests measure them. Its centre of mass is the centre of its box.
    """

    length: float = setting(4.70, 'Length of the car in m.', ge=1.0, le=20.0)
    width: float = setting(1.86, 'Width of the car without mirrors in m.', ge=0.5, le=4.0)
    height: float = setting(1.46, 'Height of the car in m.', ge=0.5, le=5.0)
    mass: float = setting(1500.0, 'Mass in kg.', ge=200.0, le=20000.0)
    yaw_inertia: float = setting(2600.0, 'Moment of inertia about z in kg m^2.', ge=100.0,
                                 le=200000.0)
    front_axle: float = setting(1.35, 'From the centre forward to the front axle in m.', ge=0.3,
                                le=6.0)
    rear_axle: float = setting(1.40, 'From the centre back to the rear axle in m.', ge=0.3,
                               le=6.0)
    track: float = setting(1.58, 'Distance of the left and right wheels in m.', ge=0.4, le=3.0)
    wheel_radius: float = setting(0.33, 'Radius of the wheels in m.', ge=0.1, le=1.0)
    centre_height: float = setting(0.52, 'Height of the centre of mass in m.', ge=0.1, le=2.0)
    front_stiffness: float = setting(105000.0, 'Cornering stiffness of the front axle in N/rad.',
                                     ge=10000.0, le=1000000.0)
    rear_stiffness: float = setting(120000.0, 'Cornering stiffness of the rear axle in N/rad.',
                                    ge=10000.0, le=1000000.0)
    friction: float = setting(0.95, 'Coefficient of friction of the tyres.', ge=0.1, le=2.0)
    front_grip: float = setting(0.92, 'Lateral grip of the front axle over that of the rear one; '
                                'below 1 the car understeers at the limit.', ge=0.5, le=1.2)
    max_steer_angle: float = setting(0.606, 'Steer angle at the wheels for steer 1 in rad.',
                                     ge=0.05, le=1.3)
    steer_rate: float = setting(1.0, 'Largest rate of the steer angle in rad/s.', ge=0.05,
                                le=20.0)
    drive_force: float = setting(5400.0, 'Largest driving force in N.', ge=100.0, le=100000.0)
    power: float = setting(100000.0, 'Largest engine power in W.', ge=1000.0, le=1000000.0)
    reverse_speed: float = setting(9.0, 'Largest speed in reverse in m/s.', ge=0.5, le=30.0)
    brake_force: float = setting(12000.0, 'Brake force at full brake in N.', ge=1000.0,
                                 le=200000.0)
    engine_brake: float = setting(450.0, 'Drag of the engine without throttle in N.', ge=0.0,
                                  le=20000.0)
    rolling: float = setting(0.012, 'Coefficient of rolling resistance.', ge=0.0, le=0.2)
    drag_area: float = setting(0.65, 'Drag coefficient times frontal area in m^2.', ge=0.0,
                               le=20.0)
    throttle_lag: float = setting(0.15, 'Time constant of the engine in s.', ge=0.001, le=5.0)
    brake_lag: float = setting(0.06, 'Time constant of the brakes in s.', ge=0.001, le=5.0)
    stability: float = setting(4000.0, 'Largest yaw moment of the stability control in N m; 0 '
                               'switches it off.', ge=0.0, le=100000.0)

    @property
    def wheelbase(self) -> float:
        """Distance of the axles in m."""
        return self.front_axle + self.rear_axle


class Vehicle:
    """
    A car that obeys CARLA's vehicle command.

    The model is the dynamic bicycle with a simplified magic formula (Pacejka 2012, section 4.3)
    for the lateral forces, limited by the friction circle that driving and braking leave, and
    with load transfer between the axles, and a stability control that holds a tail which breaks
    away, unless the hand brake locked it; below 4 m/s it fades into the kinematic bicycle, which
    is exact where tyres do not slip and stable at standstill. Throttle and brake act through
    first-order lags, the steering through a rate limit and CARLA's default steering curve
    (less angle at speed). Positive steer turns right. The road is level to the model.

    ``state`` is the array of :mod:`bicycle`; angles are radians counter-clockwise, velocities
    m/s in the body frame (x forward, y left).
    """

    def __init__(self, settings: VehicleSettings | None = None) -> None:
        """Make a vehicle at rest at the map's origin."""
        self.settings = settings or VehicleSettings()
        self.state = np.zeros(STATE_SIZE)
        self._parameters = np.array([getattr(self.settings, name) for name in PARAMETERS])

    def reset(self, pose: Pose) -> None:
        """Put the vehicle at rest at a pose, its actuators released."""
        self.state[:] = 0.0
        self.place(pose)

    def place(self, pose: Pose) -> None:
        """Move the vehicle, leaving its velocity in the map frame and its actuators."""
        vx, vy = self.map_velocity
        self.state[X], self.state[Y], self.state[YAW] = pose.x, pose.y, pose.yaw
        self.set_map_velocity(vx, vy)

    def step(self, control: Control, dt: float) -> None:
        """
        Advance by ``dt`` seconds under a command.

        Values out of range are clipped as CARLA clips them; raises ValueError for values that
        are not finite.
        """
        throttle, steer, brake = control.throttle, control.steer, control.brake
        if not math.isfinite(throttle + steer + brake):
            raise ValueError(f'a command must be finite, not {control}')
        if control.manual_gear_shift:
            gear = (control.gear > 0) - (control.gear < 0)
        else:
            gear = -1 if control.reverse else 1
        step_bicycle(self.state, self._parameters, float(throttle), float(steer), float(brake),
                     bool(control.hand_brake), gear, dt, max(1, round(dt / _SUBSTEP)))

    @property
    def x(self) -> float:
        """Position of the centre in the map frame in m."""
        return float(self.state[X])

    @property
    def y(self) -> float:
        """Position of the centre in the map frame in m."""
        return float(self.state[Y])

    @property
    def yaw(self) -> float:
        """Heading in rad, counter-clockwise, in [-pi, pi)."""
        return float(self.state[YAW])

    @property
    def velocity(self) -> tuple[float, float]:
        """Velocity in the body frame in m/s: forward, left."""
        return float(self.state[VX]), float(self.state[VY])

    @property
    def map_velocity(self) -> tuple[float, float]:
        """Velocity in the map frame in m/s."""
        _, _, yaw, vx, vy = self.state[:YAW_RATE].tolist()
        c, s = math.cos(yaw), math.sin(yaw)
        return c * vx - s * vy, s * vx + c * vy

    def set_map_velocity(self, vx: float, vy: float, yaw_rate: float | None = None) -> None:
        """Set the velocity in the map frame in m/s, and the yaw rate in rad/s where given."""
        c, s = math.cos(self.state[YAW]), math.sin(self.state[YAW])
        self.state[VX], self.state[VY] = c * vx + s * vy, c * vy - s * vx
        if yaw_rate is not None:
            self.state[YAW_RATE] = yaw_rate

    @property
    def yaw_rate(self) -> float:
        """Yaw rate in rad/s, counter-clockwise."""
        return float(self.state[YAW_RATE])

    @property
    def speed(self) -> float:
        """Magnitude of the velocity in m/s."""
        return math.hypot(self.state[VX], self.state[VY])

    @property
    def steer_angle(self) -> float:
        """Steer angle at the front wheels in rad, counter-clockwise (left) positive."""
        return float(self.state[STEER])

    @property
    def actuators(self) -> tuple[float, float]:
        """Throttle and brake that act at this moment, in [0, 1]."""
        return float(self.state[THROTTLE]), float(self.state[BRAKE])

    @property
    def longitudinal_acceleration(self) -> float:
        """Forward acceleration of the last substep in m/s^2."""
        return float(self.state[LAST_AX])
