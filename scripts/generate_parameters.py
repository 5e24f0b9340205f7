# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Writes docs/parameters.md, every parameter of every node, from the declarations of the settings.

Like the files in config/ it is never edited by hand: change the declaration and run this. A test
holds it to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Any, Iterator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'scripts'))

import generate_config as config  # noqa: E402

from av_td3_ros.settings import Declaration, declarations  # noqa: E402

PAGE = ROOT / 'docs' / 'parameters.md'
HEAD = """\
# Parameters

Written by `scripts/generate_parameters.py` from the declarations in the code. The same as
parameter files: [config/training.yaml](../config/training.yaml),
[config/driving.yaml](../config/driving.yaml) and [config/replay.yaml](../config/replay.yaml),
which have all but the recorder's; where these differ from the declared default, it says so. All
are read-only while a node runs, except those marked *live*, which `ros2 param set` changes. A
value of a wrong type or out of range is refused with one sentence, at the start and by
`ros2 param set`; so is a name that does not exist in a `params_file`.
"""


def content() -> str:
    """Return what docs/parameters.md must hold."""
    parts = [HEAD]
    for node, (title, settings, shown) in config.NODES.items():
        name = node.rsplit('/', 1)[-1]
        parts.append(f'## {name}\n\n{title[0].upper() + title[1:]}. In parameter files: '
                     f'`{node}`.\n\n' + '\n'.join(_table(node, settings, shown)) + '\n')
    return '\n'.join(parts)


def _table(node: str, settings: type, shown: tuple[str, ...]) -> Iterator[str]:
    yield '| parameter | type | default | range | meaning |'
    yield '|---|---|---|---|---|'
    for declaration in declarations(settings):
        if shown and declaration.name.split('.')[0] not in shown:
            continue
        name = f'`{declaration.name}`' + ('' if declaration.read_only else ' *live*')
        kind = declaration.type.__name__ + (' list' if declaration.is_list else '')
        default = '; '.join([f'`{config.as_yaml(declaration.default)}`',
                             *_elsewhere(node, declaration)])
        text = declaration.description.rstrip('.')
        cells = (name, kind, default, _range(declaration), text[0].upper() + text[1:])
        yield '| ' + ' | '.join(cell.replace('|', r'\|').replace('<', '&lt;') for cell in cells) \
            + ' |'


def _elsewhere(node: str, declaration: Declaration) -> Iterator[str]:
    """Yield the values that the files in config/ have instead of the default."""
    for name, file in config.FILES.items():
        values: dict[str, Any] = file['values'].get(node, {})
        other = values.get(declaration.name, declaration.default)
        if other != declaration.default:
            yield f'{name.split(".")[0]} `{config.as_yaml(other)}`'


def _range(declaration: Declaration) -> str:
    low, high = declaration.ge, declaration.le
    if declaration.choices:
        return ', '.join(f'`{choice}`' if choice else 'empty' for choice in declaration.choices)
    if low is not None and high is not None:
        return f'{low:g} to {high:g}'
    if low is not None:
        return f'{low:g} or more'
    return f'{high:g} or less' if high is not None else ''


def main() -> int:
    """Write the page; with --check only tell whether it is right."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; status 1 if stale')
    check = parser.parse_args().check
    text = content()
    if PAGE.is_file() and PAGE.read_text(encoding='utf-8') == text:
        return 0
    if check:
        print(f'{PAGE} is not what the declarations say; run scripts/generate_parameters.py',
              file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding='utf-8')
    print(f'wrote {PAGE}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
