# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the latency of images between two processes, with and without config/fastdds.xml.

A publisher stamps ``sensor_msgs/Image`` messages of 800x600 bgra8 with its monotonic clock at
20 Hz, reliably as the CARLA bridge does; a subscriber in another process compares each with the
same clock on arrival in its callback. Prints JSON: for each profile the 50th and 99th percentile
and the largest latency in ms, the images sent and those received.
"""

import argparse
from array import array
import json
import os
from pathlib import Path
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from av_td3_ros.ros.middleware import PROFILE_VARIABLES  # noqa: E402

PROFILE = ROOT / 'config' / 'fastdds.xml'
TOPIC = 'image_transport_benchmark'


def publish(images, rate, width, height):
    """Publish ``images`` images of random bytes at ``rate`` Hz once somebody listens."""
    import rclpy
    from sensor_msgs.msg import Image
    rclpy.init()
    node = rclpy.create_node('image_transport_publisher')
    publisher = node.create_publisher(Image, TOPIC, 10)
    deadline = time.monotonic() + 30.0
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            sys.exit('no subscriber within 30 s')
        time.sleep(0.05)
    image = Image(width=width, height=height, encoding='bgra8', step=4 * width)
    image.data = array('B', os.urandom(4 * width * height))
    next_time = time.monotonic()
    for _ in range(images):
        next_time += 1.0 / rate
        time.sleep(max(0.0, next_time - time.monotonic()))
        now = time.monotonic_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(image)
    time.sleep(1.0)
    rclpy.shutdown()


def receive(images, timeout):
    """Return the latencies in seconds of up to ``images`` images."""
    import rclpy
    from sensor_msgs.msg import Image
    latencies = []

    def on_image(image):
        now = time.monotonic_ns()
        stamp = image.header.stamp
        latencies.append((now - stamp.sec * 10**9 - stamp.nanosec) / 1e9)

    rclpy.init()
    node = rclpy.create_node('image_transport_subscriber')
    node.create_subscription(Image, TOPIC, on_image, 10)
    deadline = time.monotonic() + timeout
    while len(latencies) < images and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.2)
    rclpy.shutdown()
    return latencies


def measure(profile, options):
    """Run publisher and subscriber as processes under ``profile`` (None: Fast DDS's own)."""
    env = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
           'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp'}
    for name in PROFILE_VARIABLES:
        env.pop(name, None)
        if profile:
            env[name] = str(profile)
    command = [sys.executable, __file__, '--images', str(options.images), '--rate',
               str(options.rate), '--width', str(options.width), '--height', str(options.height)]
    with subprocess.Popen([*command, '--role', 'subscriber'], env=env,
                          stdout=subprocess.PIPE) as subscriber, \
            subprocess.Popen([*command, '--role', 'publisher'], env=env) as publisher:
        output, _ = subscriber.communicate()
        publisher.wait()
    latencies = sorted(1e3 * value for value in json.loads(output))
    if not latencies:
        return {'sent': options.images, 'received': 0}
    return {
        'sent': options.images,
        'received': len(latencies),
        'p50_ms': round(latencies[len(latencies) // 2], 2),
        'p99_ms': round(latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))], 2),
        'max_ms': round(latencies[-1], 2),
    }


def main():
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0].strip())
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--rate', type=float, default=20.0)
    parser.add_argument('--width', type=int, default=800)
    parser.add_argument('--height', type=int, default=600)
    parser.add_argument('--profile', type=Path, action='append',
                        help='profile to compare with the default (config/fastdds.xml)')
    parser.add_argument('--role', choices=('publisher', 'subscriber'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == 'publisher':
        publish(options.images, options.rate, options.width, options.height)
    elif options.role == 'subscriber':
        timeout = 40.0 + 2.0 * options.images / options.rate
        print(json.dumps(receive(options.images, timeout)))
    else:
        results = {'default': measure(None, options)}
        for profile in options.profile or [PROFILE]:
            results[profile.name] = measure(profile, options)
        print(json.dumps({
            'image': f'{options.width}x{options.height} bgra8', 'rate_hz': options.rate,
            'profiles': results}, indent=2))


if __name__ == '__main__':
    main()
