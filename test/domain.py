# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for each test, whatever process runs it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
import random
import time

from av_td3_ros.demo.environment import claim_domain, DOMAINS, remove_ports

SHARED_MEMORY = Path('/dev/shm')
# s; a participant makes its files and locks them in less, and until then looks like a dead one
YOUNG = 10.0


class Domain:
    """
    A ROS domain that no other test on this host uses: ``number``.

    It is free again after :meth:`release` or when the process ends. RuntimeError where none is.
    """

    def __init__(self) -> None:
        for number in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
            claim = claim_domain(number)
            if claim is not None:
                self.number, self._claim = number, claim
                return
        raise RuntimeError('every ROS domain on this host is in use')

    def release(self) -> None:
        """Let others have it, without the shared memory that killed processes leave behind."""
        remove_ports(self.number)
        for lock in SHARED_MEMORY.glob('fastrtps_' + '[0-9a-f]' * 16 + '_el'):
            # Its owner holds the lock for as long as it lives.
            with contextlib.suppress(OSError), open(lock) as file:
                if time.time() - os.fstat(file.fileno()).st_mtime < YOUNG:
                    continue
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name[:-3]).unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        self._claim.close()
