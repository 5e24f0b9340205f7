# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with real nodes."""

from pathlib import Path
from typing import Iterator

import pytest
from support import Graph, make_graph


@pytest.fixture
def ros(tmp_path: Path) -> Iterator[Graph]:
    """Give a test its own ROS domain and the means to start nodes in it."""
    yield from make_graph(tmp_path)
