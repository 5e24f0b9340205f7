# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Installation of av_td3_ros, with colcon (ament_python) and with pip."""

from glob import glob
import os

from setuptools import find_packages, setup

PACKAGE = 'av_td3_ros'
SHARED_FOLDERS = ('config', 'docs', 'launch', 'maps', 'models')


def shared_files():
    """List what goes to ``share/av_td3_ros``, folder by folder, as ``data_files`` wants it."""
    files = [
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
    ]
    for top in SHARED_FOLDERS:
        for folder, _, _ in sorted(os.walk(top)):
            found = sorted(path for path in glob(os.path.join(folder, '*'))
                           if os.path.isfile(path) and not path.endswith(('.pyc', '~')))
            if found:
                files.append((f'share/{PACKAGE}/{folder}', found))
    # Bags of machines without ROS are read by these definitions.
    messages = 'interfaces/carla_msgs/msg'
    files.append((f'share/{PACKAGE}/{messages}', sorted(glob(f'{messages}/*.msg'))))
    return files


setup(
    name=PACKAGE,
    version='0.1.0',
    description='TD3 learns to drive from camera images, on CARLA or an embedded simulator, '
                'in ROS 2',
    maintainer='The av_td3_ros authors',
    maintainer_email='av-td3-ros@users.noreply.github.com',
    license='Apache-2.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['py.typed']},
    data_files=shared_files(),
    python_requires='>=3.10',
    # What ROS installs from its own repositories (rclpy, cv_bridge, messages) is in package.xml,
    # and in requirements/ros-wheels.txt for machines without ROS. OpenCV is in an extra because
    # cv_bridge brings the system's one, which pip does not see.
    install_requires=[
        'setuptools',
        'numpy>=1.21',
        'PyYAML>=5.4',
        'torch>=2.6',
    ],
    extras_require={
        'opencv': ['opencv-python-headless>=4.5'],
        'evaluation': ['lz4>=3.0', 'rosbags>=0.11', 'zstandard>=0.17'],
        'simulation': [
            'carla>=0.9.15',
            'gymnasium>=1.0',
            'networkx>=2.4',
            'numba>=0.57',
            'scenariogeneration>=0.14',
            'scipy>=1.8',
        ],
        'training': ['matplotlib>=3.5', 'tensorboard>=2.8'],
        # For comparisons in benchmarks/ only.
        'benchmarks': ['gymnasium[mujoco]>=1.0', 'stable-baselines3>=2.3'],
        'test': [
            'hypothesis>=6.0',
            'lxml>=4.8',
            'mypy>=1.0',
            'pytest>=6.2',
            'pytest-timeout>=2.1',
            'pytest-xdist>=2.5',
            'types-PyYAML',
        ],
    },
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'check_setup = av_td3_ros.nodes.check_setup:main',
            'compare_runs = av_td3_ros.training.compare_runs:main',
            'evaluate_bag = av_td3_ros.evaluation.evaluate_bag:main',
            'evaluate_policy = av_td3_ros.training.evaluate:main',
            'guard_node = av_td3_ros.nodes.guard:main',
            'inspect_checkpoint = av_td3_ros.learning.inspect_checkpoint:main',
            'player_node = av_td3_ros.nodes.player:main',
            'policy_node = av_td3_ros.nodes.policy:main',
            'record_bag = av_td3_ros.training.record_bag:main',
            'recorder_node = av_td3_ros.nodes.recorder:main',
            'simulator_node = av_td3_ros.nodes.simulator:main',
            'train = av_td3_ros.training.train:main',
            'training_node = av_td3_ros.nodes.training:main',
            'visualization_node = av_td3_ros.nodes.visualization:main',
        ],
    },
)
