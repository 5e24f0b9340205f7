# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Messages that no honest node sends: for each type that the nodes take, a function that makes one.

Each takes a random generator, and a good message where it spoils one. None of them may be driven
by, learned from, or crash anybody. ``None`` of :func:`cut` aside, all are valid messages of their
type; :func:`cut` gives bytes that break off in the middle of one.
"""

import copy
import json
import math
import struct
import zlib

from builtin_interfaces.msg import Time
from carla_msgs.msg import CarlaEgoVehicleControl, CarlaStatus, CarlaWorldInfo
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
import numpy as np
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float32, String, UInt64MultiArray, UInt8MultiArray

from av_td3_ros.ros import experience, weights
from av_td3_ros.ros.images import make_image

NUMBERS = (math.nan, math.inf, -math.inf, 1e308, -1e308, 1e155, 1e18, 5e-324)
WHOLE = (0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 62, 2 ** 63, 2 ** 64 - 1)
TEXTS = ('', 'x' * 70_000, 'odom', '\n\r\t', 'ü☃𐍈', '{}', '%s%n', '../..', 'map ')
MARK = 'hostile'    # frame of commands that are made here


def pick(rng, items):
    """Return one of some items as it is."""
    return items[int(rng.integers(len(items)))]


def absurd_stamp(rng):
    """Return a stamp that no simulation is at; many are no time at all."""
    return Time(sec=pick(rng, (-2 ** 31, -1, 2 ** 31 - 1, 10 ** 9,
                               int(rng.integers(10 ** 7, 10 ** 8)))),
                nanosec=pick(rng, (0, 1, 999_999_999, 10 ** 9, 2 ** 32 - 1)))


def image(rng, stamp):
    """Return an image that may not be used, in one of many ways; ``stamp`` in ns."""
    made = make_image(rng.integers(0, 256, (20, 24, 4), dtype=np.uint8), 'bgra8', stamp, 'x')
    way = rng.integers(8)
    if way == 0:
        made.encoding = str(rng.choice(['8UC4', '16UC1', 'bayer_rggb8', 'yuv422', 'rgba16', '',
                                        'bgr9', 'x' * 200]))
    elif way == 1:
        made.step = int(rng.integers(0, 4 * made.width))
    elif way == 2:
        made.data = made.data[:int(rng.integers(0, len(made.data)))]
    elif way == 3:
        made.width = int(rng.choice([0, 1, 2 ** 31, made.width + 1]))
    elif way == 4:
        made.height = int(rng.choice([0, 2 ** 32 - 1, made.height + 1, made.height - 1]))
    elif way == 5:
        # Bytes of another channel count.
        made.encoding = str(rng.choice(['bgr8', 'rgb8', 'mono8']))
        made.step = made.width * 3 - 1 if made.encoding != 'mono8' else made.width - 1
    elif way == 6:
        made.step = int(rng.integers(4 * made.width + 1, 2 ** 32))
    else:
        made.data = b''
    return made


def stray_image(rng):
    """Return a picture that is well but for its stamp."""
    made = make_image(rng.integers(0, 256, (84, 96, 4), dtype=np.uint8), 'bgra8', 0, 'x')
    made.header.stamp = absurd_stamp(rng)
    return made


def odometry(rng, good):
    """Return an odometry with a value, frame or stamp that is none."""
    made = copy.deepcopy(good)
    pose, twist = made.pose.pose, made.twist.twist
    way = rng.integers(5)
    if way == 0:
        setattr(pose.position, pick(rng, 'xyz'), pick(rng, NUMBERS))
    elif way == 1:
        setattr(pose.orientation, pick(rng, 'xyzw'), pick(rng, NUMBERS))
    elif way == 2:
        twist.linear.x, twist.linear.y = pick(rng, NUMBERS), pick(rng, NUMBERS)
        twist.angular.z = pick(rng, NUMBERS)
    elif way == 3:
        made.header.frame_id = pick(rng, TEXTS)
    else:
        made.header.stamp = absurd_stamp(rng)
    return made


def path(rng):
    """Return a route that leads nowhere."""
    made = Path()
    made.header.frame_id = 'map' if rng.random() < 0.8 else pick(rng, TEXTS)
    made.header.stamp = absurd_stamp(rng)
    count = pick(rng, (0, 1, 2, 3, 50))
    spoiled = rng.integers(3)
    for number in range(count):
        item = PoseStamped()
        position = item.pose.position
        if spoiled == 1 or spoiled == 2 and number == count // 2:
            position.x, position.y = pick(rng, NUMBERS), pick(rng, NUMBERS)
        made.poses.append(item)
    return made


def clock(rng):
    """Return a time that no simulation is at."""
    return Clock(clock=absurd_stamp(rng))


def status(rng):
    """Return a state of the simulation that makes no sense."""
    return CarlaStatus(frame=pick(rng, WHOLE), fixed_delta_seconds=pick(rng, NUMBERS[:3]),
                       synchronous_mode=bool(rng.integers(2)),
                       synchronous_mode_running=bool(rng.integers(2)))


def heartbeat(rng):
    """Return a heartbeat of somebody who is not well."""
    return DiagnosticStatus(
        level=bytes([int(rng.integers(256))]), name=pick(rng, TEXTS), message=pick(rng, TEXTS),
        hardware_id=pick(rng, TEXTS), values=[
            KeyValue(key=pick(rng, ('hears', '', 'x')), value=pick(rng, ('true', *TEXTS)))
            for _ in range(int(rng.integers(4)))])


def command(rng):
    """Return a command, marked as made here, that nobody may obey."""
    made = CarlaEgoVehicleControl(
        throttle=pick(rng, NUMBERS[:3]), steer=pick(rng, (*NUMBERS[:3], 0.0)),
        brake=pick(rng, (*NUMBERS[:3], 0.0)), gear=pick(rng, (-2 ** 31, 0, 2 ** 31 - 1)))
    made.header.frame_id, made.header.stamp = MARK, absurd_stamp(rng)
    return made


def speed(rng):
    """Return a speed that is none."""
    return Float32(data=pick(rng, NUMBERS[:3]))


def world(rng):
    """Return a map that is none."""
    return CarlaWorldInfo(map_name=pick(rng, TEXTS), opendrive=pick(rng, (
        *TEXTS, '<OpenDRIVE/>', '<OpenDRIVE><road id="1"/></OpenDRIVE>', '<a>' * 5000,
        '<OpenDRIVE><road id="x" length="nan"><planView/></road></OpenDRIVE>')))


def hostile_weights(rng, packed, version):
    """Return weights that may not be used, some with a checksum that is right."""
    way = rng.integers(6)
    if way == 0:
        return UInt8MultiArray(data=rng.bytes(int(rng.integers(0, 300))))
    whole = bytes(weights.encode(version, pick(rng, WHOLE), packed))
    if way == 1:
        return UInt8MultiArray(data=whole[:int(rng.integers(len(whole)))])
    if way == 2:
        torn = bytearray(whole)
        torn[int(rng.integers(weights.HEADER.size, len(torn)))] ^= 1 << int(rng.integers(8))
        return UInt8MultiArray(data=bytes(torn))
    length, = struct.unpack_from('<I', packed, 8)
    header = json.loads(packed[12:12 + length])
    if way == 3:
        text = pick(rng, (b'[' * 900_000, b'{"a":' * 100_000, b'', b'null', b'{"tensors": [1]}'))
    else:
        absurd = (math.inf, math.nan, -1, 0, 10 ** 400, None, '\ud800', [], [math.inf], 'x')
        if way == 4:
            name = pick(rng, ('state_dim', 'action_dim', 'max_action', 'input_channels',
                              'image_shape'))
            header[name] = pick(rng, absurd)
        else:
            tensor = pick(rng, header['tensors'])
            tensor[int(rng.integers(3))] = pick(rng, absurd)
        text = json.dumps(header).encode()
    start = -(-(12 + length) // 64) * 64
    data = packed[:8] + struct.pack('<I', len(text)) + text
    data += bytes(-len(data) % 64) + packed[start:-4]
    return UInt8MultiArray(data=weights.encode(
        version, 0, data + struct.pack('<I', zlib.crc32(data))))


def progress(rng):
    """Return progress of another length, or of values that no learner has."""
    return UInt64MultiArray(data=[pick(rng, WHOLE) for _ in range(pick(rng, (0, 1, 5, 6, 6, 7,
                                                                             100)))])


def hostile_experience(rng, good):
    """Return experience that may not be learned from; ``good`` is an Experience."""
    data = bytearray(experience.encode(good))
    way = rng.integers(5)
    if way == 0:
        return UInt8MultiArray(data=bytes(data[:int(rng.integers(len(data)))]))
    if way == 1:
        data += rng.bytes(int(rng.integers(1, 100)))
    elif way == 2:
        data[:4] = rng.bytes(4)
    elif way == 3:
        data[4 + int(rng.integers(2))] = int(rng.integers(100, 256))
    else:
        # One of the floats: actions, reward, terms, vector.
        first = experience.HEADER.size - 4 * 3
        place = first + 4 * int(rng.integers(3 + 23))
        data[place:place + 4] = struct.pack('<f', pick(rng, NUMBERS[:3]))
    return UInt8MultiArray(data=bytes(data))


def task(rng):
    """Return a description of a task that describes none."""
    return String(data=pick(rng, (
        *TEXTS, '[' * 100_000, '{"a":' * 10_000, '[]', 'null', '{"stream": 1}', '9' * 5000,
        '{"stream": Infinity, "role": "a"}', '{"stream": NaN, "role": []}',
        '{"stream": 1e400, "role": "a"}', '{"stream": "' + '9' * 5000 + '", "role": 1}',
        '{"stream": 3, "role": "a", "reward": [], "episode": 7, "networks": "x"}')))


def cut(rng, message):
    """Return the bytes of a message on the wire up to somewhere before its end."""
    whole = serialize_message(message)
    return whole[:int(rng.integers(4, len(whole)))]
