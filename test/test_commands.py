# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Every command line in the README, in CONTRIBUTING and in docs/ names what there is.

Of a command of ours: the program, its options, the launch arguments, the settings after ``--set``,
and the files of the repository that it names.
"""

import ast
from pathlib import Path
import re
import shlex

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
PACKAGE = 'av_td3_ros'
BLOCK = re.compile(r'^```bash\n(.*?)^```', re.M | re.S)
OTHERS = {'python', 'tensorboard', 'pip', 'pytest'}     # in .venv/bin, and not ours
FOLDERS = ('benchmarks', 'config', 'maps', 'models', 'scripts', 'test')


def entry_points():
    """Return the file of each console command of setup.py."""
    text = (ROOT / 'setup.py').read_text()
    return {name: ROOT / (module.replace('.', '/') + '.py') for name, module in re.findall(
        r"'(\w+) = ([\w.]+):main'", text)}


def commands():
    """Return page and words of every command line, without comments and variables' values."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding='utf-8')):
            for line in block.replace('\\\n', ' ').splitlines():
                for part in re.split(r'&&|\|\||;|\|', line.split(' #')[0]):
                    if part.strip() and not part.strip().startswith('#'):
                        try:
                            found.append((page.name, shlex.split(part)))
                        except ValueError:
                            found.append((page.name, part.split()))
    return found


COMMANDS = commands()


def options(path):
    """Return the options that a program declares, and the names of settings that it may take."""
    known = set()
    seen, waiting = set(), [path]
    while waiting:
        module = waiting.pop()
        if module in seen or not module.is_file():
            continue
        seen.add(module)
        tree = ast.parse(module.read_text(encoding='utf-8'))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
                known |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
            # Options may be declared by what it imports of the same room.
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 \
                    and node.module.startswith(PACKAGE):
                near = ROOT / (node.module.replace('.', '/') + '.py')
                if near.parent == module.parent:
                    waiting.append(near)
    return known


def program(words):
    """Return the file of ours that a command runs, and its arguments; None for others'."""
    points, first = entry_points(), words[0]
    if first.startswith('.venv/bin/'):
        name, rest = first.rsplit('/', 1)[-1], words[1:]
        if name == 'python' and rest and rest[0].endswith('.py'):
            return ROOT / rest[0], rest[1:]
        if name in points:
            return points[name], rest
        assert name in OTHERS, f'{first} is no command of setup.py'
    elif first in points:
        return points[first], words[1:]
    elif words[:3] == ['ros2', 'run', PACKAGE]:
        assert words[3] in points, f'{words[3]} is no command of setup.py'
        return points[words[3]], words[4:]
    elif first.startswith('scripts/'):
        return ROOT / first, words[1:]
    return None


OURS = [(page, words) for page, words in COMMANDS if program(words)]
LAUNCHED = [(page, words) for page, words in COMMANDS if words[:3] == ['ros2', 'launch', PACKAGE]]


def named(command):
    """Return a test's name for a command."""
    return f"{command[0]}: {' '.join(command[1])}"[:70]


def test_commands_are_found():
    assert len(OURS) > 20 and len(LAUNCHED) > 5
    assert {page for page, _ in COMMANDS} >= {'README.md', 'CONTRIBUTING.md', 'carla.md'}


@pytest.mark.parametrize('words', [
    ['.venv/bin/teach'], ['ros2', 'run', PACKAGE, 'pilot_node'],
    ['.venv/bin/train', '--parameters'], ['.venv/bin/python', 'benchmarks/nothing.py']])
def test_a_command_that_is_not_there_is_found(words):
    with pytest.raises(AssertionError):
        test_programs_and_their_options_are_there(('page', words))


@pytest.mark.parametrize('command', OURS, ids=named)
def test_programs_and_their_options_are_there(command):
    path, arguments = program(command[1])
    assert path.is_file(), f'{path} is not there'
    if path.suffix != '.py':
        return
    if '--ros-args' in arguments:
        arguments = arguments[:arguments.index('--ros-args')]
    given = {word.split('=')[0] for word in arguments if word.startswith('--')}
    unknown = given - options(path) - {'--help'}
    assert not unknown, f'{path.name} has no option {", ".join(sorted(unknown))}'


@pytest.mark.parametrize('command', LAUNCHED, ids=named)
def test_launch_files_and_their_arguments_are_there(command):
    file, *arguments = command[1][3:]
    path = ROOT / 'launch' / file
    assert path.is_file(), f'{path} is not there'
    text = path.read_text() + ''.join(
        (ROOT / PACKAGE / f'{name}.py').read_text() for name in ('launch_common', 'launch_carla'))
    declared = set(re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", text))
    given = {word.split(':=')[0] for word in arguments if ':=' in word}
    assert given <= declared, given - declared


@pytest.mark.parametrize('command', COMMANDS, ids=named)
def test_files_of_the_repository_are_there(command):
    for word in command[1]:
        if re.match(rf"({'|'.join(FOLDERS)})/[\w./-]+$", word):
            assert (ROOT / word).exists(), f'{word} is not there'


def test_services_are_there():
    from test_topics_page import SERVICE, SECTION
    page = (ROOT / 'docs' / 'topics.md').read_text(encoding='utf-8')
    parts = SECTION.split(page)[1:]
    services = {f'{node}/{name[2:]}': f'{package}/srv/{kind}'
                for node, part in zip(parts[::2], parts[1::2])
                for name, package, kind in SERVICE.findall(part)}
    called = [words for _, words in COMMANDS if words[:3] == ['ros2', 'service', 'call']]
    assert called
    for words in called:
        assert services[words[3]] == words[4]


def test_settings_are_there():
    from av_td3_ros.settings import declarations
    from av_td3_ros.training.configuration import RunSettings
    known = {declaration.name for declaration in declarations(RunSettings)}
    given = {words[number + 1].split('=')[0] for _, words in COMMANDS
             for number, word in enumerate(words) if word == '--set' and number + 1 < len(words)}
    assert given and given <= known, given - known
