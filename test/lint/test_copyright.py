# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every file says whose it is and under which licence, in its first lines."""

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('.ci', 'av_td3_ros', 'benchmarks', 'config', 'interfaces', 'launch', 'requirements',
           'scripts', 'test')
SUFFIXES = {'.cfg', '.cmake', '.ini', '.msg', '.py', '.sh', '.toml', '.txt', '.xml', '.yaml'}
HEADER = re.compile(r'Copyright 20\d\d The av_td3_ros authors\W+SPDX-License-Identifier: '
                    r'Apache-2\.0\b')


def files():
    """Return the files that can carry a comment."""
    found = [path for path in ROOT.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob('*') if path.suffix in SUFFIXES]
    return found


@pytest.mark.linter
def test_every_file_has_its_header():
    missing = [str(path.relative_to(ROOT)) for path in files()
               if not HEADER.search(path.read_text(encoding='utf-8')[:500])]
    assert not missing


@pytest.mark.linter
def test_the_licence_is_here_whole():
    text = (ROOT / 'LICENSE').read_text(encoding='utf-8')
    assert 'Apache License' in text
    assert 'END OF TERMS AND CONDITIONS' in text
