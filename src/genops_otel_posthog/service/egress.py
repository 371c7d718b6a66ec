"""The addresses from which PostHog calls you: webhooks, batch exports, connections of its data warehouse.

They are for rules about what comes *in*. What your application sends *to* PostHog goes to ``us.i.posthog.com`` or
``eu.i.posthog.com``, whose addresses are not fixed: allow those by name.

Source: PostHog's documentation of its data warehouse sources, "Inbound IP addresses", for both regions; the American
ones also stand in its pages about webhooks. PostHog may change them: ``GENOPS_EGRESS_IPS`` replaces them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.service_variables import Network, networks

POSTHOG_EGRESS_IPS_BY_REGION: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "us": ("44.205.89.55", "44.208.188.173", "52.4.194.122"),
        "eu": ("3.75.65.221", "18.197.246.42", "3.120.223.253"),
    }
)
"""PostHog's addresses by the region of its cloud."""

POSTHOG_EGRESS_IPS: Final = POSTHOG_EGRESS_IPS_BY_REGION["us"]
"""Those of PostHog's American cloud, ``app.posthog.com`` and ``us.posthog.com``."""


def egress_networks(region: str | None = None) -> tuple[Network, ...]:
    """The addresses in force: those of ``GENOPS_EGRESS_IPS``, else those that PostHog publishes.

    Args:
        region: ``us`` or ``eu``; both when not given. Does not matter where ``GENOPS_EGRESS_IPS`` is set.

    Raises:
        GenOpsValidationError: There is no such region.
        GenOpsConfigurationError: ``GENOPS_EGRESS_IPS`` cannot be used.
    """
    if region is not None and region not in POSTHOG_EGRESS_IPS_BY_REGION:
        known = ", ".join(POSTHOG_EGRESS_IPS_BY_REGION)
        raise GenOpsValidationError(f"PostHog's cloud has no region {region!r}; it has {known}")
    given = os.environ.get("GENOPS_EGRESS_IPS", "")
    replaced = Settings.from_environ({"GENOPS_EGRESS_IPS": given}).egress_ips
    if replaced is not None:
        return replaced
    regions = POSTHOG_EGRESS_IPS_BY_REGION if region is None else (region,)
    return networks(",".join(ip for name in regions for ip in POSTHOG_EGRESS_IPS_BY_REGION[name]))


def is_posthog_egress_ip(ip: str, region: str | None = None, *, ips: Iterable[str] | None = None) -> bool:
    """Whether a request comes from PostHog, by the address of its sender.

    Ask it for the address of the connection. A header such as ``X-Forwarded-For`` says what its sender likes, unless a
    proxy of your own has written it.

    Args:
        ip: The address, IPv4 or IPv6; an IPv4 one in the clothes of IPv6 (``::ffff:…``) is taken for what it is.
        region: ``us`` or ``eu``; both when not given.
        ips: Addresses and networks to compare with, in place of those in force.

    Returns:
        ``False`` also for what is no address.

    Raises:
        GenOpsValidationError: There is no such region.
        GenOpsConfigurationError: ``GENOPS_EGRESS_IPS`` cannot be used.
        ValueError: One of ``ips`` is neither an address nor a network.
    """
    allowed = egress_networks(region) if ips is None else networks(",".join(ips))
    try:
        address = ip_address(ip.strip())
    except (ValueError, AttributeError):
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allowed)
