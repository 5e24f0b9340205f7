# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node needs before it is configured: weights, the task they drive in, routes."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from rclpy.exceptions import NameValidationException
from rclpy.validate_full_topic_name import validate_full_topic_name

from av_td3_ros.driving.start import Plan
from av_td3_ros.driving.task import TaskSettings, trained_task
from av_td3_ros.learning.checkpoint import CheckpointError
from av_td3_ros.learning.policy import Policy, PolicyRefused
from av_td3_ros.learning.policy_file import policy_config
from av_td3_ros.nodes.paths import expand
from av_td3_ros.nodes.plans import file_plans
from av_td3_ros.nodes.policy_settings import PolicySettings
from av_td3_ros.nodes.trainer_link import check_fit
from av_td3_ros.settings import SettingsError
from av_td3_ros.simulation.maps import town_path, TownError


class Prepared(NamedTuple):
    """A policy, without weights where none were given, its task, and routes where a file has."""

    policy: Policy
    task: TaskSettings
    plans: Callable[[int], Plan] | None


def prepare(settings: PolicySettings, logger: Any) -> Prepared:
    """Load and verify what the settings name; raise SettingsError with one sentence otherwise."""
    policy, task, plans = Policy(), settings.task, None
    if settings.shadow and settings.training:
        raise SettingsError('shadow: who commands nobody has nothing to learn from; training is '
                            'for a policy that drives')
    try:
        if settings.checkpoint:
            checkpoint = expand('checkpoint', settings.checkpoint)
            info = policy.load_checkpoint(checkpoint)
            check_fit(policy)
            task = trained_task(policy_config(checkpoint), settings.task)
            logger.info(f'drives with {checkpoint}, iteration {info.total_it}')
            if task != settings.task:
                logger.info('observation and action are as the checkpoint was trained, not as in '
                            'the parameters')
        if settings.routes_file:
            plans = file_plans(expand('routes_file', settings.routes_file))
        if settings.training and settings.town:
            _check_town(settings.town)
        for parameter in ('trainer', 'camera', 'guard'):
            _check_name(parameter, getattr(settings, parameter))
    except (CheckpointError, PolicyRefused, SettingsError) as error:
        raise SettingsError(' '.join(str(error).split())) from None
    return Prepared(policy, task, plans)


def _check_town(given: str) -> None:
    try:
        there = town_path(given).is_file()
    except (TownError, OSError) as error:
        raise SettingsError(f'town: {error}') from None
    if not there:
        raise SettingsError(f'town: {given} is no file')


def _check_name(parameter: str, name: str) -> None:
    """Raise SettingsError, naming the parameter, unless topics can be made beneath ``name``."""
    try:
        validate_full_topic_name(name if name.startswith('/') else f'/{name}')
    except NameValidationException as error:
        raise SettingsError(f'{parameter}: {error}') from None
