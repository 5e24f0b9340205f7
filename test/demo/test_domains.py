# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Domains for runs of their own: what one has claimed no other gets, from whatever folder."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from av_td3_ros.demo import environment
from av_td3_ros.demo.environment import claim_domain, DOMAINS, free_domain

CHILD = 'import sys; from av_td3_ros.demo.environment import claim_domain; ' \
    'claim = claim_domain(int(sys.argv[1])); print(claim is not None, flush=True); ' \
    'sys.stdin.read()'


@pytest.fixture
def number():
    """Return a domain that nobody has, and none that other tests take."""
    for candidate in range(DOMAINS[-1] + 1, 230):
        claim = claim_domain(candidate)
        if claim is not None:
            claim.close()
            return candidate
    raise RuntimeError('every domain on this host is in use')


def child(number, folder):
    return subprocess.Popen(
        [sys.executable, '-c', CHILD, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path),
                        'TMPDIR': str(folder)})


def test_a_domain_is_claimed_once_until_it_is_let_go(number):
    claim = claim_domain(number)
    assert claim_domain(number) is None
    claim.close()
    again = claim_domain(number)
    assert again is not None
    again.close()


def test_another_process_cannot_have_it_and_its_end_lets_it_go(number, tmp_path):
    with child(number, tmp_path) as process:
        assert process.stdout.readline() == 'True\n'
        assert claim_domain(number) is None
        process.stdin.close()
    claim = claim_domain(number)
    assert claim is not None
    with child(number, tmp_path) as process:
        assert process.stdout.readline() == 'False\n'
    claim.close()


def test_a_domain_with_participants_is_not_free(number):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('127.0.0.1', 7400 + 250 * number))
        assert claim_domain(number) is None
    with contextlib.closing(claim_domain(number)):
        pass


def test_a_free_domain_stays_this_processs(monkeypatch, number):
    monkeypatch.setattr(environment, '_CLAIMS', [])
    assert free_domain([number]) == number
    assert claim_domain(number) is None
    # Where all are taken, any one is better than none.
    assert free_domain([number]) == number
    for claim in environment._CLAIMS:
        claim.close()
