# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Settings: typed, described, ranged values, declared once as frozen dataclasses.

The same declarations become ROS parameters (``av_td3_ros.ros.parameters``), the
reference page of the parameters, and the check of a YAML file that is read
without ROS. A section is a dataclass whose fields are made by :func:`setting`;
a group is a dataclass whose fields are sections (made by :func:`section`), and its
parameters are named ``section.field`` as ROS 2 names nested parameters.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from pathlib import Path
from typing import Any, get_type_hints, Iterator, Mapping, Sequence, Type, TypeVar

import yaml

T = TypeVar('T')

_SCALARS = (bool, int, float, str)
_LISTS = {'tuple[int, ...]': int, 'tuple[float, ...]': float, 'tuple[str, ...]': str}


class SettingsError(ValueError):
    """A setting has a wrong name, type or value; the message names it and the remedy."""


@dataclasses.dataclass(frozen=True)
class Declaration:
    """
    One setting as declared.

    ``type`` is bool, int, float or str, the element's type where ``is_list``. ``ge`` and ``le``
    are inclusive bounds of the value (of each element of a list). ``read_only`` settings cannot
    change while a node runs.
    """

    name: str
    type: type  # noqa: A003
    is_list: bool
    default: Any
    description: str
    ge: float | None
    le: float | None
    choices: tuple[str, ...]
    read_only: bool


def setting(default: Any, description: str, *, ge: float | None = None, le: float | None = None,
            choices: Sequence[str] = (), read_only: bool = True) -> Any:
    """Declare a dataclass field with its description (with unit) and its inclusive range."""
    return dataclasses.field(default=default, metadata={
        'description': description, 'ge': ge, 'le': le, 'choices': tuple(choices),
        'read_only': read_only})


def section(cls: Type[T]) -> T:
    """Declare a dataclass field that is a nested section of settings."""
    return dataclasses.field(default_factory=cls)


def declarations(cls: type, prefix: str = '') -> Iterator[Declaration]:
    """Yield every setting of a settings dataclass, nested ones as ``section.field``."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from declarations(kind, f'{prefix}{field.name}.')
            continue
        is_list = kind not in _SCALARS
        element = _LISTS[str(kind).replace('typing.', '').replace('Tuple', 'tuple')] \
            if is_list else kind
        meta = field.metadata
        yield Declaration(prefix + field.name, element, is_list, field.default,
                          meta['description'], meta['ge'], meta['le'], meta['choices'],
                          meta['read_only'])


def flatten(mapping: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Turn nested mappings into one with dotted names; dotted names may be given already."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def check(declaration: Declaration, value: Any) -> Any:
    """
    Return ``value`` in the declared type, or raise :class:`SettingsError`.

    Integers are taken for floats, sequences for lists; nothing else is converted, so that a
    quoted number or a float for a count is reported rather than guessed at.
    """
    if declaration.is_list:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise SettingsError(f'{declaration.name} must be a list of '
                                f'{declaration.type.__name__}, not {value!r}')
        return tuple(_check_scalar(declaration, item) for item in value)
    return _check_scalar(declaration, value)


def _check_scalar(declaration: Declaration, value: Any) -> Any:
    name = declaration.name
    kind: Any = declaration.type
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        article = 'an' if kind is int else 'a'
        raise SettingsError(f'{name} must be {article} {kind.__name__}, not {value!r}')
    if kind is float and not math.isfinite(value):
        raise SettingsError(f'{name} must be finite, not {value!r}')
    low, high = declaration.ge, declaration.le
    if (low is not None and value < low) or (high is not None and value > high):
        raise SettingsError(f'{name} is {value!r}, but must be '
                            + (f'between {low:g} and {high:g}' if None not in (low, high)
                               else f'at least {low:g}' if low is not None
                               else f'at most {high:g}'))
    if declaration.choices and value not in declaration.choices:
        raise SettingsError(f'{name} is {value!r}, but must be one of '
                            + ', '.join(declaration.choices))
    return value


def build(cls: Type[T], values: Mapping[str, Any] | None = None, *, where: str = '') -> T:
    """
    Make the settings dataclass ``cls`` from nested or dotted ``values``.

    What ``values`` leaves out keeps its default. Raises :class:`SettingsError`, starting with
    ``where`` (a file, a node), for a name that no setting has (with the nearest one that
    exists) and for a value of a wrong type or out of range.
    """
    flat = flatten(values or {})
    known = {d.name: d for d in declarations(cls)}
    start = f'{where}: ' if where else ''
    for name in flat:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise SettingsError(f'{start}there is no setting {name!r}'
                                + (f'; did you mean {near[0]!r}?' if near else ''))
    try:
        checked = {name: check(known[name], value) for name, value in flat.items()}
    except SettingsError as error:
        raise SettingsError(start + str(error)) from None
    return _assemble(cls, checked, '')


def _assemble(cls: Type[T], flat: Mapping[str, Any], prefix: str) -> T:
    hints = get_type_hints(cls)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        kind, name = hints[field.name], prefix + field.name
        if dataclasses.is_dataclass(kind):
            fields[field.name] = _assemble(kind, flat, f'{name}.')
        elif name in flat:
            fields[field.name] = flat[name]
    return cls(**fields)


def as_dict(settings: Any) -> dict[str, Any]:
    """Return settings as nested plain dicts and lists, fit for YAML and for a checkpoint."""
    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return list(value) if isinstance(value, tuple) else value
    return plain(settings)


def read_parameter_file(path: str | Path, node_name: str) -> dict[str, Any]:
    """
    Read the parameters of one node from a ROS 2 parameter file, without ROS.

    Sections whose key is ``/**``, the node's name, or a path that ends in it (``/**/name``)
    apply, later ones over earlier ones. Returns dotted names. Raises :class:`SettingsError`
    where the file cannot be read or is not a ROS 2 parameter file.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise SettingsError(f'cannot read parameters from {path}: {reason}') from None
    if not isinstance(document, Mapping):
        raise SettingsError(f'{path} is not a ROS 2 parameter file: it has no node sections')
    found: dict[str, Any] = {}
    for key, content in document.items():
        if not isinstance(content, Mapping) or set(content) != {'ros__parameters'}:
            raise SettingsError(
                f"{path}: section {key!r} must hold 'ros__parameters' and nothing else")
        parameters = content['ros__parameters'] or {}
        if not isinstance(parameters, Mapping):
            raise SettingsError(f"{path}: 'ros__parameters' of section {key!r} must hold "
                                f'names and values, not {parameters!r}')
        if str(key) == '/**' or str(key).rsplit('/', 1)[-1] == node_name:
            found.update(flatten(parameters))
    return found
