# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All findings about a graph, as text and as JSON."""

from __future__ import annotations

import dataclasses
import json

from av_td3_ros.setup_check import streams, wiring
from av_td3_ros.setup_check.facts import ERROR, Facts, Finding, OK, WARNING

_ORDER = (ERROR, WARNING, OK)


def judge(facts: Facts) -> list[Finding]:
    """Return all findings, the worst first."""
    found = [*wiring.judge(facts), *streams.judge(facts)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))


def as_text(facts: Facts, findings: list[Finding]) -> str:
    """Return one line a finding and one that sums them up."""
    errors, warnings = (sum(f.level == level for f in findings) for level in (ERROR, WARNING))
    return '\n'.join([*map(str, findings), f'/carla/{facts.role}: {errors} errors, '
                      f'{warnings} warnings'])


def as_json(facts: Facts, findings: list[Finding]) -> str:
    """Return the same as a JSON object: role, camera, ok, findings."""
    return json.dumps({
        'role': facts.role, 'camera': facts.camera,
        'ok': not any(f.level == ERROR for f in findings),
        'findings': [dataclasses.asdict(f) for f in findings]}, indent=2)
