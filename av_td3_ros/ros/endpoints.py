# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Endpoints whose quality of service can be overridden, and which say with whom they do not match.

What a node makes with a profile of :mod:`av_td3_ros.ros.qos` has the read-only parameters
``qos_overrides.<topic>.<publisher or subscription>.<depth, reliability or durability>``, named as
rclpy and rclcpp name them. An endpoint of ours that cannot talk to another says so: with its
topic, the node at the other end, and the parameter that mends it.
"""

from __future__ import annotations

import copy
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.qos import (qos_check_compatible, qos_policy_name_from_kind, QoSCompatibility,
                       QoSPolicyKind, QoSProfile)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from av_td3_ros.ros import qos
from av_td3_ros.ros.compatibility import event_callbacks
from av_td3_ros.settings import SettingsError

# Not history: with keep_all, a reader that hangs would hold up who publishes.
POLICIES = (QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
# The other end is known of before its node's name: times to look for that, and how far apart, s.
_LOOKS, _LOOK = 10, 0.3
# What both ends get along with: what a publisher must offer, what a subscription must ask for.
_REMEDY = {'RELIABILITY': ('reliable', 'best_effort'),
           'DURABILITY': ('transient_local', 'volatile')}


class Endpoints:
    """To be named before ``Node`` among a node's bases."""

    def create_publisher(self, *arguments: Any, **options: Any) -> Any:
        """Make a publisher as ``Node`` does; a profile of ours can be overridden."""
        return self._make('create_publisher', 'publisher', arguments, options)

    def create_lifecycle_publisher(self, *arguments: Any, **options: Any) -> Any:
        """Make a publisher that is silent while the node is not active, likewise."""
        return self._make('create_lifecycle_publisher', 'publisher', arguments, options)

    def create_subscription(self, *arguments: Any, **options: Any) -> Any:
        """Make a subscription, likewise."""
        return self._make('create_subscription', 'subscription', arguments, options)

    def _make(self, how: str, side: str, arguments: tuple[Any, ...], options: dict[str, Any]
              ) -> Any:
        # The profile is the last of what is given without a name: message, topic, callback.
        if len(arguments) > 2 and any(arguments[-1] is named for named in qos.PROFILES):
            profile, options = self._overridable(side, arguments[1], arguments[-1], options)
            arguments = (*arguments[:-1], profile)
        try:
            return getattr(super(), how)(*arguments, **options)
        except (InvalidQosOverridesError, RuntimeError) as error:
            if 'verrid' not in str(error):
                raise
            full = self.resolve_topic_name(arguments[1])  # type: ignore[attr-defined]
            raise SettingsError(f'qos_overrides.{full}: {error}') from None

    def _overridable(self, side: str, topic: str, profile: Any, options: dict[str, Any]
                     ) -> tuple[Any, dict[str, Any]]:
        # What is overridden is written into the profile.
        profile = copy.copy(profile)
        publisher_events, subscription_events = event_callbacks()
        events = publisher_events if side == 'publisher' else subscription_events

        def incompatible(event: Any) -> None:
            self._tell_later(side, topic, profile,
                             qos_policy_name_from_kind(event.last_policy_kind))
        return profile, {
            'event_callbacks': events(incompatible_qos=incompatible),
            'qos_overriding_options': QoSOverridingOptions(POLICIES, callback=_check), **options}

    def _tell_later(self, side: str, topic: str, profile: QoSProfile, policy: str) -> None:
        """Log with whom an endpoint does not match once the name of that node is known."""
        node: Any = self
        left = _LOOKS

        def look() -> None:
            nonlocal left
            left -= 1
            names = self._misfits(side, node.resolve_topic_name(topic), profile)
            if left and not (names and all('UNKNOWN' not in name for name in names)):
                return
            node.destroy_timer(timer)
            self._tell(side, node.resolve_topic_name(topic), names, policy)
        timer = node.create_timer(_LOOK, look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _misfits(self, side: str, topic: str, profile: QoSProfile) -> list[str]:
        """Return the nodes whose other ends of a topic do not fit this one."""
        node: Any = self
        ours = side == 'publisher'
        others = (node.get_subscriptions_info_by_topic if ours
                  else node.get_publishers_info_by_topic)(topic)
        return sorted({f'{end.node_namespace.rstrip("/")}/{end.node_name}' for end in others
                       if _incompatible(*((profile, end.qos_profile) if ours
                                          else (end.qos_profile, profile)))})

    def _tell(self, side: str, topic: str, names: list[str], policy: str) -> None:
        node: Any = self
        ours = side == 'publisher'
        other = 'subscription' if ours else 'publisher'
        who = f'the {other} of ' + (', '.join(names) if names else 'a node not known yet')
        offered, asked = _REMEDY.get(policy, ('the same', 'the same'))
        own, its = (offered, asked) if ours else (asked, offered)
        node.get_logger().error(
            f'{topic}: {who} does not fit this {side}, by its {policy.lower()}: no message goes '
            f'between them. Either make that {other} {its}, or start this node with the parameter '
            f'qos_overrides.{topic}.{side}.{policy.lower()} set to {own}.')


def _incompatible(publisher: QoSProfile, subscription: QoSProfile) -> bool:
    return qos_check_compatible(publisher, subscription)[0] == QoSCompatibility.ERROR


def _check(profile: QoSProfile) -> SetParametersResult:
    if not 1 <= profile.depth <= 100000:
        return SetParametersResult(successful=False,
                                   reason=f'depth {profile.depth} is not from 1 to 100000')
    return SetParametersResult(successful=True)
