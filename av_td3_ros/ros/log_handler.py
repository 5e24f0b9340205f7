# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What rooms without ROS log, in the log of a node."""

from __future__ import annotations

import logging

from rclpy.node import Node


def forward_logging(node: Node, name: str = 'av_td3_ros') -> None:
    """Pass what Python's loggers below ``name`` say on to the node's logger."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.addHandler(_RosHandler(node))


class _RosHandler(logging.Handler):
    """Hands Python's log records to a node's logger."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def emit(self, record: logging.LogRecord) -> None:
        logger, text = self._node.get_logger(), record.getMessage()
        # rclpy allows one severity for each calling line.
        if record.levelno >= logging.ERROR:
            logger.error(text)
        elif record.levelno >= logging.WARNING:
            logger.warning(text)
        else:
            logger.info(text)
