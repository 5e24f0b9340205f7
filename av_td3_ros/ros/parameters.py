# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
ROS parameters from settings dataclasses.

A settings dataclass (:mod:`av_td3_ros.settings`) declares each parameter once: name, type,
default, description, range, and whether it can change while the node runs. :func:`declare` turns
it into typed ROS parameters and returns the dataclass with the values of the parameter file and
the command line. A name that no setting has, a wrong type or a value out of range raises
:class:`~av_td3_ros.settings.SettingsError` with one sentence that names the parameter, and the
node does not start (:func:`av_td3_ros.ros.process.run`).
"""

from __future__ import annotations

import array
import contextlib
import sys
from typing import Any, Callable, Sequence, Type, TypeVar

from rcl_interfaces.msg import (FloatingPointRange, IntegerRange, ParameterDescriptor,
                                SetParametersResult)
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

from av_td3_ros.ros import compatibility
from av_td3_ros.settings import (as_dict, build, check, Declaration, declarations, flatten,
                                 read_parameter_file, SettingsError)

T = TypeVar('T')

# What rclpy declares when it needs it, or not in every distribution: Humble's has no such service.
_OF_RCLPY = ('qos_overrides.', 'start_type_description_service')
_INT64 = 2 ** 63 - 1
_DOUBLE = 1.7976931348623157e308
_ARRAYS = {bool: Parameter.Type.BOOL_ARRAY, int: Parameter.Type.INTEGER_ARRAY,
           float: Parameter.Type.DOUBLE_ARRAY, str: Parameter.Type.STRING_ARRAY}


def descriptor(declaration: Declaration) -> ParameterDescriptor:
    """Return a setting's declaration as ROS describes parameters."""
    described = ParameterDescriptor(description=declaration.description,
                                    read_only=declaration.read_only)
    low, high = declaration.ge, declaration.le
    bounded = low is not None or high is not None
    if bounded and not declaration.is_list:
        if declaration.type is float:
            described.floating_point_range = [FloatingPointRange(
                from_value=float(-_DOUBLE if low is None else low),
                to_value=float(_DOUBLE if high is None else high), step=0.0)]
        elif declaration.type is int:
            described.integer_range = [IntegerRange(
                from_value=int(-_INT64 if low is None else low),
                to_value=int(_INT64 if high is None else high), step=1)]
    if declaration.choices:
        described.additional_constraints = 'one of: ' + ', '.join(declaration.choices)
    elif bounded and declaration.is_list:
        # rcl has no ranges for arrays.
        described.additional_constraints = ' and '.join(
            f'each {word} {bound:g}' for word, bound in (('at least', low), ('at most', high))
            if bound is not None)
    return described


def declare(node: Node, cls: Type[T], changed: Callable[[T], None] | None = None) -> T:
    """
    Declare every setting of ``cls`` on ``node`` and return them as started with.

    Overrides come from parameter files and the command line. An integer is taken for a float, as
    YAML writes ``5`` for ``5.0``; nothing else is converted. Settings that are not ``read_only``
    may be set while the node runs: they are validated, and ``changed`` is called with the whole
    new dataclass. Raises :class:`SettingsError` for a wrong or unknown override.
    """
    known = {d.name: d for d in declarations(cls)}
    settings = build(cls, _overrides(node), where=node.get_name())
    values = flatten(as_dict(settings))
    for name, declaration in known.items():
        value = values[name]
        if isinstance(value, list) and not value:
            # rclpy takes an empty list for bytes; declared by type alone it reads as not set.
            value = _ARRAYS[declaration.type]
        # The override is in the value already, in the declared type.
        node.declare_parameter(name, value, descriptor(declaration), ignore_override=True)
    _Watch(node, cls, values, known, changed)
    return settings


def given(name: str, node_name: str, args: Sequence[str] | None = None) -> Any:
    """
    Return what the command line gives a parameter, None where nothing: before there is a node.

    For what must be chosen before. It knows ``-p`` and ``--params-file``, the later over the
    earlier; what cannot be read is left for the node to complain about.
    """
    found = None
    arguments = list(sys.argv[1:] if args is None else args)
    for option, value in zip(arguments, arguments[1:]):
        if option == '--params-file':
            with contextlib.suppress(SettingsError):
                found = read_parameter_file(value, node_name).get(name, found)
        elif option in ('-p', '--param'):
            of, _, told = value.partition(':=')
            if of.lstrip('/') in (name, f'{node_name}:{name}'):
                # ValueError: a date that is none.
                with contextlib.suppress(yaml.YAMLError, ValueError):
                    found = yaml.safe_load(told)
    return found


def _overrides(node: Node) -> dict[str, Any]:
    """Return the values given to the node, less those that rclpy itself has parameters for."""
    # rclpy has no public way to see what was given but not declared; the attribute is the same
    # from Foxy to Rolling.
    return {name: _plain(parameter.value)
            for name, parameter in node._parameter_overrides.items()
            if not node.has_parameter(name) and not name.startswith(_OF_RCLPY)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (array.array, tuple)) else value


class _Watch:
    """Validates what is set while the node runs, and passes it on."""

    def __init__(self, node: Node, cls: type, values: dict[str, Any],
                 known: dict[str, Declaration], changed: Callable[[Any], None] | None) -> None:
        self._cls, self._known, self._changed = cls, known, changed
        self._values = values
        node.add_on_set_parameters_callback(self._validate)
        self._apply_while_validating = not compatibility.after_parameters_set(node, self._apply)

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            given = {p.name: _plain(p.value) for p in parameters if p.name in self._known}
            for name, value in given.items():
                check(self._known[name], value)
            build(self._cls, {**self._values, **given})
        except SettingsError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._apply_while_validating:
            self._apply(parameters)
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        given = {p.name: _plain(p.value) for p in parameters if p.name in self._known}
        if given:
            self._values.update(given)
            if self._changed is not None:
                self._changed(build(self._cls, self._values))
