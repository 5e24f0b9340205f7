# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The traffic's tick, compiled.

Cars follow the Intelligent Driver Model (Treiber, Hennecke, Helbing 2000) behind whatever is
ahead of them on their way: a car, the ego vehicle, or the line of a junction that they may not
enter yet. A junction's lanes are reserved: a car enters once no other car holds a lane that
crosses or joins its own, first come, first served, and only if there is room beyond; after
_PATIENCE seconds the latter is waived, so that no ring of full streets stands for ever.
"""

from __future__ import annotations

import math

from av_td3_ros.jit import compiled

# Rows of the array of cars (F, N). S is the rear axle's distance along its lane in m.
(POSE_X, POSE_Y, POSE_Z, POSE_YAW, SPEED, LENGTH, WIDTH, HEIGHT, S, DESIRED, NEXT_SPEED,
 CAR_ROWS) = range(12)
# Columns of the array of plans (N, P): the lanes ahead, the current one first; how many of them
# may be driven; the lane left behind (or -1); since when the car waits (tick, or 0); its own
# random state.
PATH = 8
GRANTED, BEHIND, SINCE, RANDOM, PLAN_COLUMNS = range(8, 13)
# Entries of the ego vehicle's array: pose, velocity in the map frame, size.
EGO_X, EGO_Y, EGO_YAW, EGO_VX, EGO_VY, EGO_LENGTH, EGO_WIDTH, EGO_SIZE = range(8)

WHEELBASE = 0.6          # of a car's length; the overhangs are a fifth each
_FRONT, _REAR = 0.8, 0.2  # bumpers from the rear axle, in car lengths
_HORIZON = 60.0          # m
_ACCELERATION = 2.0      # m/s^2, IDM's a
_COMFORT = 2.5           # m/s^2, IDM's b
_HARDEST = 8.0           # m/s^2
_HEADWAY = 1.3           # s, IDM's T
_STANDING = 2.0          # m, IDM's s0
_LINE = 1.0              # m kept before a junction's line
_CURVE = 1.5             # m/s^2 for slowing down before curves
_ASK = 25.0              # m before a junction at which a car asks to enter
_CLAIM = 12.0            # m before it, within which a car that waits bars later ones
_PATIENCE = 15.0         # s
_EGO_RANGE = 55.0        # m

_F, _I, _F2, _I2 = 'float64[::1]', 'int64[::1]', 'float64[:, ::1]', 'int64[:, ::1]'


@compiled(f'void(int64, {_F2}, {_I2}, {_F2}, {_F}, {_I})')
def place_car(i, cars, plans, samples, length, first):
    """Set the pose of car ``i`` from the points under its two axles."""
    x0 = y0 = z0 = x1 = y1 = z1 = 0.0
    for axle in range(2):
        s, k = cars[S, i] + axle * WHEELBASE * cars[LENGTH, i], 0
        while k < PATH - 1 and s > length[plans[i, k]]:
            s -= length[plans[i, k]]
            k += 1
        lane = plans[i, k]
        count = first[lane + 1] - first[lane]
        u = min(s / length[lane], 1.0) * (count - 1)
        j = min(int(u), count - 2)
        u -= j
        j += first[lane]
        x1 = samples[0, j] + u * (samples[0, j + 1] - samples[0, j])
        y1 = samples[1, j] + u * (samples[1, j + 1] - samples[1, j])
        z1 = samples[2, j] + u * (samples[2, j + 1] - samples[2, j])
        if axle == 0:
            x0, y0, z0 = x1, y1, z1
    cars[POSE_X, i], cars[POSE_Y, i] = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    cars[POSE_Z, i] = 0.5 * (z0 + z1)
    cars[POSE_YAW, i] = math.atan2(y1 - y0, x1 - x0)


@compiled(f'void(int64, int64, {_I2}, {_I}, {_I})')
def extend_path(i, known, plans, successor_first, successors):
    """Draw the lanes of a car's path after the first ``known`` ones."""
    for k in range(known, PATH):
        before = plans[i, k - 1]
        low, high = successor_first[before], successor_first[before + 1]
        plans[i, RANDOM] = (plans[i, RANDOM] * 1103515245 + 12345) & 0x7fffffff
        plans[i, k] = successors[low + (plans[i, RANDOM] >> 12) % (high - low)]


@compiled(f'float64(int64, {_F2}, {_I2}, {_F2}, {_F}, {_F}, {_I})')
def _speed_limit(i, cars, plans, samples, length, spacing, first):
    """Return the speed that the curves ahead allow."""
    lane = plans[i, 0]
    j = first[lane] + min(int(cars[S, i] / spacing[lane]), first[lane + 1] - first[lane] - 1)
    limit = min(cars[DESIRED, i], samples[3, j])
    ahead = length[lane] - cars[S, i]
    for k in range(1, PATH):
        if ahead > _HORIZON:
            break
        lane = plans[i, k]
        limit = min(limit, math.sqrt(samples[3, first[lane]] ** 2 + 2.0 * _CURVE * ahead))
        ahead += length[lane]
    return limit


@compiled(f'void(int64, {_F2}, {_I2}, {_F}, {_I}, {_I}, {_F}, {_I}, {_I}, {_F})')
def _leader(i, cars, plans, length, sibling_first, siblings, shared, head, link, out):
    """Put the gap to the nearest car ahead (m), its speed and its rear axle's place in out."""
    out[0], out[1], out[2] = math.inf, 0.0, math.inf
    front = _FRONT * cars[LENGTH, i]
    ahead = -cars[S, i]
    for k in range(PATH):
        if ahead > _HORIZON or out[0] < math.inf:
            break
        lane = plans[i, k]
        for b in range(-1, sibling_first[lane + 1] - sibling_first[lane]):
            other, reach = lane, math.inf
            if b >= 0:
                other = siblings[sibling_first[lane] + b]
                reach = shared[sibling_first[lane] + b]
            c = head[other]
            while c >= 0:
                s, rear = cars[S, c], cars[S, c] - _REAR * cars[LENGTH, c]
                if c != i and rear < reach and (k > 0 or s > cars[S, i]
                                                or (s == cars[S, i] and c < i)):
                    gap = ahead + rear - front
                    if gap < out[0]:
                        out[0], out[1], out[2] = gap, cars[SPEED, c], ahead + s
                c = link[c]
        ahead += length[lane]


@compiled(f'void(int64, {_F2}, {_I2}, {_F2}, {_F}, {_F}, {_I}, {_F}, {_F})')
def _ego_gap(i, cars, plans, samples, length, spacing, first, ego, out):
    """
    Put the gap to the ego vehicle on the car's way, and its speed along that way, in ``out``.

    The ego vehicle is three discs along its axis, now and where it will be in 0.5, 1 and 1.5 s.
    Where it will be counts for a car that it comes towards or across; to one that it is behind, it
    is the ego vehicle that has to keep its distance. ``out[2]`` is 1 where the gap is to where it
    is now, else 0.
    """
    out[0], out[1], out[2] = math.inf, 0.0, 0.0
    dx, dy = ego[EGO_X] - cars[POSE_X, i], ego[EGO_Y] - cars[POSE_Y, i]
    if dx * dx + dy * dy > _EGO_RANGE * _EGO_RANGE:
        return
    c, s = math.cos(ego[EGO_YAW]), math.sin(ego[EGO_YAW])
    yaw = cars[POSE_YAW, i]
    ahead = dx * math.cos(yaw) + dy * math.sin(yaw)
    moving = math.hypot(ego[EGO_VX], ego[EGO_VY]) > 0.5
    times = 4 if moving and ahead > 0.0 else 1
    radius = 0.5 * ego[EGO_WIDTH]
    near = (radius + 0.5 * cars[WIDTH, i] + 0.25) ** 2
    front = _FRONT * cars[LENGTH, i]
    at, k = cars[S, i] + front - 0.5, 0
    gone = 0.0
    while gone < _EGO_RANGE - 10.0:
        while k < PATH - 1 and at > length[plans[i, k]]:
            at -= length[plans[i, k]]
            k += 1
        lane = plans[i, k]
        j = first[lane] + min(int(at / spacing[lane]), first[lane + 1] - first[lane] - 2)
        x, y = samples[0, j], samples[1, j]
        for t in range(times):
            for d in range(-1, 2):
                offset = d * 0.36 * ego[EGO_LENGTH]
                ex = ego[EGO_X] + c * offset + 0.5 * t * ego[EGO_VX] - x
                ey = ego[EGO_Y] + s * offset + 0.5 * t * ego[EGO_VY] - y
                if ex * ex + ey * ey < near:
                    tx, ty = samples[0, j + 1] - x, samples[1, j + 1] - y
                    along = (ego[EGO_VX] * tx + ego[EGO_VY] * ty) / max(math.hypot(tx, ty), 1e-9)
                    out[0] = gone - 0.5 - radius
                    out[1] = max(along, 0.0)
                    out[2] = 1.0 if t == 0 else 0.0
                    return
        at += 1.0
        gone += 1.0


@compiled(f'void({_F2}, {_I2}, {_F2}, {_F}, {_I}, {_I}, {_F}, {_F2}, {_I})')
def _count_holds(cars, plans, samples, spacing, first, junction, ego, bounds, hold):
    """Count for every lane the cars, the ego vehicle included, that hold it."""
    hold[:] = 0
    for i in range(plans.shape[0]):
        behind = plans[i, BEHIND]
        if behind >= 0 and junction[behind] and cars[S, i] < _REAR * cars[LENGTH, i]:
            hold[behind] += 1
        for k in range(plans[i, GRANTED]):
            hold[plans[i, k]] += junction[plans[i, k]]
    x, y = ego[EGO_X], ego[EGO_Y]
    c, s = math.cos(ego[EGO_YAW]), math.sin(ego[EGO_YAW])
    for lane in range(len(junction)):
        if (not junction[lane] or x < bounds[lane, 0] - 2.0 or y < bounds[lane, 1] - 2.0
                or x > bounds[lane, 2] + 2.0 or y > bounds[lane, 3] + 2.0):
            continue
        for j in range(first[lane], first[lane + 1] - 1):
            dx, dy = x - samples[0, j], y - samples[1, j]
            if dx * dx + dy * dy < 2.25:
                tx, ty = samples[0, j + 1] - samples[0, j], samples[1, j + 1] - samples[1, j]
                if tx * c + ty * s > 0.7 * spacing[lane]:
                    hold[lane] += 1
                    break


@compiled(f'boolean(int64, int64, {_F2}, {_I2}, {_F}, {_I}, {_I})')
def _room_beyond(i, end, cars, plans, length, head, link):
    """Tell whether the lane after a junction has room for car ``i`` and those before it."""
    if end >= PATH:
        return True
    target, need = plans[i, end], cars[LENGTH, i] + _STANDING
    if length[target] < need + _STANDING:
        return True
    room = length[target]
    c = head[target]
    while c >= 0:
        moving = cars[SPEED, c]
        room = min(room, cars[S, c] - _REAR * cars[LENGTH, c] + moving * moving / 6.0)
        c = link[c]
    for c in range(plans.shape[0]):
        if c != i:
            for k in range(1, plans[c, GRANTED]):
                if plans[c, k] == target and k <= 2:
                    room -= cars[LENGTH, c] + _STANDING
    return room >= need


@compiled(f'void(int64, {_F2}, {_I2}, {_F}, {_I}, {_I}, {_I}, {_I}, {_I}, {_I}, {_I}, {_I}, {_F}, '
          f'int64, float64)')
def _grant(count, cars, plans, length, junction, conflict_first, conflicts, head, link, hold,
           claim, order, line, tick, dt):
    """Let waiting cars into the junctions: those in ``order[:count]``, longest wait first."""
    claim[:] = 0
    patience = int(_PATIENCE / dt)
    for a in range(1, count):
        i, b = order[a], a - 1
        while b >= 0 and (plans[order[b], SINCE] > plans[i, SINCE]
                          or (plans[order[b], SINCE] == plans[i, SINCE] and order[b] > i)):
            order[b + 1] = order[b]
            b -= 1
        order[b + 1] = i
    for a in range(count):
        i = order[a]
        begin = plans[i, GRANTED]
        end = begin
        while end < PATH and junction[plans[i, end]]:
            end += 1
        free = True
        for k in range(begin, end):
            lane = plans[i, k]
            for q in range(conflict_first[lane], conflict_first[lane + 1]):
                if hold[conflicts[q]] > 0 or claim[conflicts[q]] > 0:
                    free = False
        waited = tick - plans[i, SINCE] > patience
        if free and (waited or _room_beyond(i, end, cars, plans, length, head, link)):
            for k in range(begin, end):
                hold[plans[i, k]] += 1
            while end < PATH and not junction[plans[i, end]]:
                end += 1
            plans[i, GRANTED] = end
            plans[i, SINCE] = 0
        elif not free and line[i] < _CLAIM:
            for k in range(begin, end):
                claim[plans[i, k]] += 1


@compiled(f'void({_F2}, {_I2}, {_F}, int64, float64, {_F2}, {_F}, {_F}, {_I}, {_I}, {_F2}, {_I}, '
          f'{_I}, {_I}, {_I}, {_I}, {_I}, {_F}, {_I}, {_I}, {_F2})')
def step_traffic(cars, plans, ego, tick, dt, samples, length, spacing, first, junction, bounds,
                 successor_first, successors, conflict_first, conflicts, sibling_first, siblings,
                 shared, lane_scratch, car_scratch, scratch):
    """Advance all cars by one tick of ``dt`` seconds; the scratch arrays hold nothing."""
    n, lanes = plans.shape[0], len(length)
    head, hold, claim = (lane_scratch[:lanes], lane_scratch[lanes:2 * lanes],
                         lane_scratch[2 * lanes:])
    link, order = car_scratch[:n], car_scratch[n:]
    gaps, speeds, line, out = scratch[0], scratch[1], scratch[2], scratch[3]
    head[:] = -1
    for i in range(n):
        link[i] = head[plans[i, 0]]
        head[plans[i, 0]] = i
    _count_holds(cars, plans, samples, spacing, first, junction, ego, bounds, hold)

    # Who is ahead, and who stands first before a junction.
    waiting = 0
    for i in range(n):
        while plans[i, GRANTED] < PATH and not junction[plans[i, plans[i, GRANTED]]]:
            plans[i, GRANTED] += 1
        _leader(i, cars, plans, length, sibling_first, siblings, shared, head, link, out)
        gaps[i], speeds[i] = out[0], out[1]
        line[i] = math.inf
        if plans[i, GRANTED] < PATH:
            distance = -cars[S, i]
            for k in range(plans[i, GRANTED]):
                distance += length[plans[i, k]]
            line[i] = distance - _FRONT * cars[LENGTH, i]
            reach = max(_ASK, cars[SPEED, i] ** 2 / (2.0 * _COMFORT) + 10.0)
            if line[i] < reach and out[2] > distance:
                if plans[i, SINCE] == 0:
                    plans[i, SINCE] = tick
                order[waiting] = i
                waiting += 1
    if waiting:
        _grant(waiting, cars, plans, length, junction, conflict_first, conflicts, head, link,
               hold, claim, order, line, tick, dt)

    # Speeds from the states of one instant, then all move.
    for i in range(n):
        speed = cars[SPEED, i]
        limit = _speed_limit(i, cars, plans, samples, length, spacing, first)
        pull = max(1.0 - (speed / limit) ** 4, -_COMFORT / _ACCELERATION)
        push, room = 0.0, math.inf
        _ego_gap(i, cars, plans, samples, length, spacing, first, ego, out)
        for obstacle in range(3):
            if obstacle == 0:
                gap, other = gaps[i], speeds[i]
            elif obstacle == 1:
                gap, other = out[0], out[1]
            elif plans[i, GRANTED] < PATH:
                gap, other = line[i] - _LINE + _STANDING, 0.0
                # A car that was let in too late to stop before the line would not be here.
                gap = max(gap, 0.4)
            else:
                continue
            if gap == math.inf:
                continue
            wanted = _STANDING + max(0.0, speed * _HEADWAY + speed * (speed - other) / (
                2.0 * math.sqrt(_ACCELERATION * _COMFORT)))
            push = max(push, (wanted / max(gap, 0.1)) ** 2)
            # No car stops on the spot for what may yet come.
            if obstacle != 1 or out[2] > 0.0:
                room = min(room, gap)
        change = min(max(_ACCELERATION * (pull - push), -_HARDEST), _ACCELERATION)
        speed = max(speed + change * dt, 0.0)
        cars[NEXT_SPEED, i] = min(speed, max(room - 0.3, 0.0) / dt)
    for i in range(n):
        cars[SPEED, i] = cars[NEXT_SPEED, i]
        cars[S, i] += cars[SPEED, i] * dt
        while cars[S, i] > length[plans[i, 0]]:
            cars[S, i] -= length[plans[i, 0]]
            plans[i, BEHIND] = plans[i, 0]
            for k in range(PATH - 1):
                plans[i, k] = plans[i, k + 1]
            plans[i, GRANTED] -= 1
            extend_path(i, PATH - 1, plans, successor_first, successors)
        place_car(i, cars, plans, samples, length, first)
