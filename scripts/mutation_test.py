#!/usr/bin/env python3
# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Mutation testing of the command gate, which tells how sharp its tests are.

The mutants are cosmic-ray's (pip install cosmic-ray); each is tested in a fork of a process that
has everything loaded, which is many times as fast as cosmic-ray's own runs. Every mutant that the
tests do not notice is printed; the exit status is 1 where fewer than 95 % are killed. Mutants of
annotations, which nothing evaluates, are left out.
"""

import argparse
import ast
import contextlib
import importlib.util
import itertools
import json
import os
from pathlib import Path
import signal
import sys
import types

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
NEEDED = 0.95


def mutants(path):
    """Yield each mutant of a module: where and what it is, and its source."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names
    source = path.read_text(encoding='utf-8')
    original, unread = dump(source), annotations(source)
    for name in operator_names():
        if get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        places = [position for node in ast_nodes(get_ast(source))
                  for position in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            mutated = mutate_code(source, operator, occurrence)
            if start not in unread and mutated is not None and dump(mutated) not in (
                    original, ''):
                yield f'{path.name}:{start[0]}:{start[1]} {name.split("/")[-1]}', mutated


def dump(source):
    """Return what a source means, empty where it is not Python: some mutants are not."""
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ''


def annotations(source):
    """Return the places (line, column) of all annotations."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for part in (getattr(node, 'annotation', None), getattr(node, 'returns', None)):
            if part is not None:
                found |= {(line, column) for line in range(part.lineno, part.end_lineno + 1)
                          for column in range(part.col_offset, part.end_col_offset + 1)}
    return found


def cases(function):
    """Yield the arguments of each case of a test function, by its parametrize marks."""
    tables = []
    for mark in getattr(function, 'pytestmark', ()):
        if mark.name == 'parametrize':
            names = [name.strip() for name in mark.args[0].split(',')]
            tables.append([dict(zip(names, value if len(names) > 1 else [value]))
                           for value in mark.args[1]])
    for combination in itertools.product(*tables):
        yield {name: value for part in combination for name, value in part.items()}


def run_tests(path):
    """Run every test of a module that needs no fixtures; the first that fails raises."""
    spec = importlib.util.spec_from_file_location('tests', path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).parent))
    spec.loader.exec_module(module)
    # Examples first: they are quick.
    tests = [value for name, value in vars(module).items() if name.startswith('test_')]
    for test in sorted(tests, key=lambda test: hasattr(test, 'pytestmark')):
        for arguments in cases(test):
            test(**arguments)


def survives(name, source, tests, limit):
    """Whether the tests pass with a module that has another source, in a fork."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return status == 0
    signal.alarm(limit)
    status = 1
    with contextlib.suppress(BaseException):
        module = types.ModuleType(name)
        sys.modules[name] = module
        parent, _, leaf = name.rpartition('.')
        setattr(sys.modules[parent], leaf, module)
        exec(compile(source, name, 'exec'), module.__dict__)  # noqa: S102
        run_tests(tests)
        status = 0
    os._exit(status)


def main():
    """Mutate, test, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--module', default='av_td3_ros/driving/safety/gate.py')
    parser.add_argument('--tests', default='test/driving/test_gate.py')
    parser.add_argument('--limit', type=int, default=120, help='of one test run, s')
    options = parser.parse_args()
    try:
        import cosmic_ray  # noqa: F401
    except ImportError:
        return 'cosmic-ray is needed: pip install cosmic-ray'
    os.chdir(ROOT)
    path = Path(options.module)
    name = '.'.join(path.with_suffix('').parts)
    # Loaded once for all forks.
    importlib.import_module('pytest')
    importlib.import_module('numpy')
    importlib.import_module(name)
    if not survives(name, path.read_text(encoding='utf-8'), options.tests, options.limit):
        return 'the tests fail without any mutation'
    alive, count = [], 0
    for count, (where, source) in enumerate(mutants(path), 1):
        if count % 20 == 0:
            print(f'{count} mutants, {len(alive)} survived', file=sys.stderr, flush=True)
        if survives(name, source, options.tests, options.limit):
            alive.append(where)
            print('survived:', where, flush=True)
    rate = 1.0 - len(alive) / max(count, 1)
    print(json.dumps({'module': options.module, 'mutants': count, 'killed': count - len(alive),
                      'rate': round(rate, 4)}))
    return 0 if count and rate >= NEEDED else 1


if __name__ == '__main__':
    sys.exit(main())
