# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy node in which one transition fails by an exception: FAIL_IN names it."""

import os
import sys

from av_td3_ros.nodes.policy import PolicyNode
from av_td3_ros.ros.process import run

FAILING = os.environ['FAIL_IN']


class FaultyPolicy(PolicyNode):
    """Fails once, after the transition's work is half done."""

    failed = False

    def _fail_in(self, transition):
        if transition == FAILING and not FaultyPolicy.failed:
            FaultyPolicy.failed = True
            raise RuntimeError(f'made to fail in {transition}')

    def on_configure(self, state):
        result = super().on_configure(state)
        self._fail_in('configure')
        return result

    def on_activate(self, state):
        result = super().on_activate(state)
        self._fail_in('activate')
        return result

    def on_deactivate(self, state):
        self._fail_in('deactivate')
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        self._fail_in('cleanup')
        return super().on_cleanup(state)


if __name__ == '__main__':
    sys.exit(run(FaultyPolicy, threads=6))
