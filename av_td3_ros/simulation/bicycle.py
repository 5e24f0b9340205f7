# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The equations of the ego vehicle, compiled: the single-track model with limited tyres."""

from __future__ import annotations

import math

from av_td3_ros.jit import compiled

# The state: map position (m) and yaw (rad), body velocity (m/s), yaw rate (rad/s), the steer
# angle at the wheels (rad, left positive), throttle and brake as they act (0 to 1), and the
# longitudinal acceleration of the last substep (m/s^2), from which the axle loads follow.
X, Y, YAW, VX, VY, YAW_RATE, STEER, THROTTLE, BRAKE, LAST_AX = range(10)
STATE_SIZE = 10

# The settings that the equations use, in the order of the parameter array.
PARAMETERS = (
    'mass', 'yaw_inertia', 'front_axle', 'rear_axle', 'centre_height', 'front_stiffness',
    'rear_stiffness', 'friction', 'front_grip', 'max_steer_angle', 'steer_rate', 'drive_force',
    'power', 'reverse_speed', 'brake_force', 'engine_brake', 'rolling', 'drag_area',
    'throttle_lag', 'brake_lag', 'stability')

_G = 9.81              # m/s^2
_AIR = 1.2             # kg/m^3
_SHAPE = 1.3           # C of the magic formula for lateral force
_SLIDING = 0.85        # friction of a locked wheel over that of a rolling one
_TAIL = 0.08           # rad of slip at the rear axle above which stability control acts
_KINEMATIC = 1.0       # m/s; below, the tyres do not slip
_DYNAMIC = 4.0         # m/s; above, only the tyre model counts


@compiled('float64(float64, float64, float64, float64, float64, float64)')
def _lateral_force(sideways, along, load, stiffness, friction, longitudinal):
    """Return the lateral force (N) of an axle in its wheels' frame."""
    limit = friction * load
    slip = math.atan2(sideways, abs(along))
    pure = -limit * math.sin(_SHAPE * math.atan(stiffness * slip / (_SHAPE * limit)))
    left = 1.0 - (longitudinal / limit) ** 2
    return pure * math.sqrt(max(left, 0.01))


@compiled('float64(float64)')
def _steering_curve(speed):
    """Return the share of the steer angle left at a speed (m/s): CARLA's default curve."""
    kmh = 3.6 * speed
    if kmh < 20.0:
        return 1.0 - 0.1 * kmh / 20.0
    if kmh < 60.0:
        return 0.9 - 0.1 * (kmh - 20.0) / 40.0
    return 0.8 - 0.1 * min(kmh - 60.0, 60.0) / 60.0


@compiled('void(float64[::1], float64[::1], float64, float64, float64, boolean, int64, float64, '
          'int64)')
def step_bicycle(state, parameters, throttle, steer, brake, hand_brake, gear, dt, substeps):
    """
    Advance ``state`` in place by ``dt`` seconds in ``substeps`` equal steps.

    ``steer`` is CARLA's, positive to the right; ``gear`` is 1 forward, -1 reverse, 0 neutral.
    """
    (mass, inertia, lf, lr, height, front_stiffness, rear_stiffness, friction, front_grip,
     max_steer, steer_rate, drive_force, power, reverse_speed, brake_force, engine_brake, rolling,
     drag_area, throttle_lag, brake_lag, stability) = (
        parameters[0], parameters[1], parameters[2], parameters[3], parameters[4],
        parameters[5], parameters[6], parameters[7], parameters[8], parameters[9],
        parameters[10], parameters[11], parameters[12], parameters[13], parameters[14],
        parameters[15], parameters[16], parameters[17], parameters[18], parameters[19],
        parameters[20])
    throttle = min(max(throttle, 0.0), 1.0)
    brake = min(max(brake, 0.0), 1.0)
    steer = min(max(steer, -1.0), 1.0)
    h = dt / substeps
    wheelbase = lf + lr
    gas_gain = 1.0 - math.exp(-h / throttle_lag)
    brake_gain = 1.0 - math.exp(-h / brake_lag)
    x, y, yaw = state[X], state[Y], state[YAW]
    vx, vy, rate = state[VX], state[VY], state[YAW_RATE]
    delta, gas, brakes, ax = state[STEER], state[THROTTLE], state[BRAKE], state[LAST_AX]
    for _ in range(substeps):
        wanted = -steer * max_steer * _steering_curve(abs(vx))
        delta += min(max(wanted - delta, -steer_rate * h), steer_rate * h)
        gas += (throttle - gas) * gas_gain
        brakes += (brake - brakes) * brake_gain
        cd, sd = math.cos(delta), math.sin(delta)

        # Axle loads, with the transfer that the last acceleration causes.
        transfer = mass * ax * height / wheelbase
        front = min(max(mass * _G * lr / wheelbase - transfer, 0.1 * mass * _G), 0.9 * mass * _G)
        rear = mass * _G - front

        # Longitudinal forces: the engine on the front wheels, the brakes by load on both axles
        # (as with ABS no wheel locks), the hand brake locks the rear wheels.
        drive = 0.0
        if gear != 0:
            drive = gear * gas * min(drive_force, power / max(abs(vx), 1.0))
            if gear < 0 and vx < -reverse_speed:
                drive = 0.0
        drive = min(max(drive, -friction * front), friction * front)
        braking = min(brakes * brake_force, friction * mass * _G)
        resist = braking + rolling * mass * _G + 0.5 * _AIR * drag_area * vx * vx
        if gear != 0:
            resist += engine_brake * (1.0 - gas) * min(abs(vx) / _KINEMATIC, 1.0)
        front_x = drive - math.copysign(braking * front / (mass * _G), vx)
        rear_x = braking * rear / (mass * _G)

        # Velocities of the axles' middles; lateral forces.
        moment = 0.0
        front_side, rear_side = vy + lf * rate, vy - lr * rate
        front_y = _lateral_force(front_side * cd - vx * sd, vx * cd + front_side * sd, front,
                                 front_stiffness, front_grip * friction, front_x)
        if hand_brake:
            sliding = math.hypot(vx, rear_side)
            locked = _SLIDING * friction * rear
            share = abs(vx) / sliding if sliding > 0.1 else 1.0
            resist += max(locked * share - rear_x, 0.0)
            rear_y = -locked * rear_side / max(sliding, 0.5)
        else:
            rear_y = _lateral_force(rear_side, vx, rear, rear_stiffness, friction, rear_x)
            # Stability control: single wheels are braked against a tail that breaks away.
            tail = math.atan2(rear_side, abs(vx))
            if vx > _DYNAMIC and abs(tail) > _TAIL:
                moment = math.copysign(
                    stability * min((abs(tail) - _TAIL) / _TAIL, 1.0), tail)

        # Longitudinal: resistance can stop the car but never push it, so it stands still.
        before = vx
        vx += h * (drive * cd - front_y * sd) / mass + h * vy * rate
        slowing = h * resist / mass
        vx = 0.0 if abs(vx) <= slowing else vx - math.copysign(slowing, vx)
        ax = (vx - before) / h - vy * rate

        # Lateral: the tyre model at speed, rolling without slip at walking pace, where what
        # friction can change in a substep bounds the change.
        slip_vy = vy + h * ((front_y * cd + drive * sd + rear_y) / mass - before * rate)
        turn = lf * (front_y * cd + drive * sd) - lr * rear_y + moment
        slip_rate = rate + h * turn / inertia
        roll_rate = vx * sd / (cd * wheelbase)
        grip = friction * _G * h
        roll_vy = vy + min(max(lr * roll_rate - vy, -grip), grip)
        spin = friction * mass * _G * 0.5 * wheelbase / inertia * h
        roll_rate = rate + min(max(roll_rate - rate, -spin), spin)
        weight = min(max((abs(vx) - _KINEMATIC) / (_DYNAMIC - _KINEMATIC), 0.0), 1.0)
        vy = roll_vy + weight * (slip_vy - roll_vy)
        rate = roll_rate + weight * (slip_rate - roll_rate)

        c, s = math.cos(yaw + 0.5 * h * rate), math.sin(yaw + 0.5 * h * rate)
        x += h * (c * vx - s * vy)
        y += h * (s * vx + c * vy)
        yaw += h * rate
    yaw = (yaw + math.pi) % (2.0 * math.pi) - math.pi
    state[X], state[Y], state[YAW] = x, y, yaw
    state[VX], state[VY], state[YAW_RATE] = vx, vy, rate
    state[STEER], state[THROTTLE], state[BRAKE], state[LAST_AX] = delta, gas, brakes, ax
