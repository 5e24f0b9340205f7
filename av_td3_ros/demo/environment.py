# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demonstration's private corner of ROS: a domain of its own that stays on this host."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
import random
import socket
import time
from typing import Iterable

from av_td3_ros.resources import PACKAGE, share_directory
from av_td3_ros.ros.compatibility import keep_on_this_host
from av_td3_ros.ros.middleware import profiles_for_images

# The discovery ports of higher domains lie where Linux gives ports to anyone.
DOMAINS = range(1, 101)
_SHARED_MEMORY = Path('/dev/shm')
_CLAIMS: list[socket.socket] = []


def free_domain(domains: Iterable[int] = DOMAINS) -> int:
    """
    Return a random one of ``domains`` in which no process on this host takes part.

    It is claimed as long as this process lives; where all are taken, any one is returned.
    """
    candidates = list(domains)
    random.SystemRandom().shuffle(candidates)
    for domain in candidates:
        claim = claim_domain(domain)
        if claim is not None:
            _CLAIMS.append(claim)
            return domain
    return candidates[0]


def claim_domain(domain: int) -> socket.socket | None:
    """
    Return what keeps a domain claimed until it is closed or the process ends; None if it is taken.

    By whoever claimed it so, in whatever folders and under whatever name, or takes part in it. A
    child of ``os.fork`` holds its parent's claims too, no other does.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # Without a file: like DDS's ports, of this host or container, and gone with the process.
        claim.bind(f'\0av_td3_ros.domain.{domain}')
    except OSError:
        claim.close()
        return None
    if _is_quiet(domain):
        return claim
    claim.close()
    return None


def _is_quiet(domain: int) -> bool:
    """Tell whether no process on this host listens where those of a domain find each other."""
    try:
        open_ports = Path('/proc/net/udp').read_text()
    except OSError:
        return True
    # DDSI-RTPS 9.6.1.1: every participant of a domain listens on its multicast port.
    return f':{7400 + 250 * domain:04X} ' not in open_ports


def enter_private_domain(logs: Path) -> dict[str, str]:
    """
    Set this process's environment for a private domain, and return it for children.

    Discovery stays on this host, the middleware gets the package's profile, and ROS writes its own
    logs into ``logs``. ``AV_TD3_DOMAIN_ID`` names another domain than a random one.
    """
    for name in ('ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER'):
        os.environ.pop(name, None)
    os.environ.update(
        ROS_DOMAIN_ID=os.environ.get('AV_TD3_DOMAIN_ID') or str(free_domain()),
        ROS_LOG_DIR=str(logs / 'ros'), RCUTILS_COLORIZED_OUTPUT='0',
        RCUTILS_LOGGING_USE_STDOUT='1',
        PYTHONUNBUFFERED='1', OMP_NUM_THREADS='1', **profiles_for_images({}))
    keep_on_this_host()
    environment = dict(os.environ)
    root = share_directory()
    if (root / PACKAGE).is_dir():
        # A checkout runs from wherever the demonstration is called.
        environment['PYTHONPATH'] = os.pathsep.join(
            filter(None, [str(root), environment.get('PYTHONPATH', '')]))
    return environment


def remove_stale_segments(since: float, folder: Path = _SHARED_MEMORY) -> int:
    """
    Remove shared memory of Fast DDS participants that were killed; return how many segments.

    A participant holds a lock on ``<segment>_el`` as long as it lives. Only what was made at or
    after ``since`` (wall clock, s) by this user is looked at.
    """
    removed = 0
    for lock in folder.glob('fastrtps_*_el'):
        segment = lock.with_name(lock.name[:-3])
        try:
            state = lock.stat()
            if state.st_uid != os.getuid() or state.st_ctime < since:
                continue
            with lock.open('rb+') as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                segment.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
                removed += 1
        except OSError:
            continue
    return removed


def remove_ports(domain: int, folder: Path = _SHARED_MEMORY) -> None:
    """Remove the shared memory of a domain's ports on which nobody listens any more."""
    first = 7400 + 250 * domain
    for port in range(first, first + 250):
        segment, mutex = (folder / name for name in (
            f'fastrtps_port{port}', f'sem.fastrtps_port{port}_mutex'))
        # One listener holds the first lock, several share the second.
        locks = [folder / f'fastrtps_port{port}_{kind}' for kind in ('el', 'sl')]
        try:
            for lock in filter(Path.exists, locks):
                with lock.open('rb+') as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (segment, mutex, *locks):
                path.unlink(missing_ok=True)
        except OSError:
            continue


def now() -> float:
    """Return the wall clock, s, as files are stamped with it."""
    return time.time()
