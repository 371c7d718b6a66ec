"""The environment variables of the service and of its analytics."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from genops_otel_posthog.settings.variable import Variable

Network: TypeAlias = "IPv4Network | IPv6Network"

#: Where analytics can be kept, with the form of the address.
ANALYTICS_URLS: Final = {
    "sqlite": "sqlite:///path/to/file",
    "postgresql": "postgresql://user@host/database",
    "postgres": "postgresql://user@host/database",
    "mongodb": "mongodb://host:27017/database",
    "mongodb+srv": "mongodb+srv://host/database",
    "memory": "memory://",
}

_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
_A_DAY_MS = 86_400_000
MOST_EVENTS_AT_ONCE: Final = 10_000


def whole_number(smallest: int, largest: int, unit: str) -> Callable[[str], int]:
    """A whole number of something from ``smallest`` to ``largest``."""

    def parse(value: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(value) or not smallest <= int(value) <= largest:
            raise ValueError(f"it is not a whole number of {unit} from {smallest} to {largest:,}")
        return int(value)

    return parse


def networks(value: str) -> tuple[Network, ...]:
    """IP addresses and networks, separated by commas."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    try:
        found = tuple(dict.fromkeys(ip_network(part, strict=False) for part in parts))
    except ValueError:
        raise ValueError("it holds what is neither an IP address nor a network such as 10.0.0.0/8") from None
    if not found:
        raise ValueError("it names no address")
    return found


def analytics_url(value: str) -> str:
    """Where analytics are kept. The messages repeat no part of it, for it may hold a password."""
    scheme, separator, rest = value.partition("://")
    driver = scheme.lower() if scheme.lower() in ANALYTICS_URLS else scheme.partition("+")[0].lower()
    if not separator or driver not in ANALYTICS_URLS:
        known = ", ".join(f"{name}://" for name in ANALYTICS_URLS if name != "postgres")
        raise ValueError(f"it begins with none of {known}")
    if not value.isprintable():
        raise ValueError("it holds a control character")
    if driver != "memory" and not rest.strip("/"):
        raise ValueError(f"it is not of the form {ANALYTICS_URLS[driver]}")
    return value


def debug_patterns(value: str) -> tuple[str, ...]:
    """What ``DEBUG`` names, in the way of Node's ``debug``: patterns separated by commas or spaces."""
    return tuple(dict.fromkeys(re.split(r"[\s,]+", value.strip(" ,"))))


SERVICE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "POSTHOG_FLUSH_AT",
        "flush_at",
        "Events that `PostHogService` sends at once; 20 when not given.",
        "–",
        "50",
        whole_number(1, MOST_EVENTS_AT_ONCE, "events"),
    ),
    Variable(
        "POSTHOG_FLUSH_INTERVAL",
        "flush_interval_ms",
        "Longest time that `PostHogService` waits for that many, in milliseconds; 10000 when not given.",
        "–",
        "5000",
        whole_number(1, _A_DAY_MS, "milliseconds"),
    ),
    Variable(
        "GENOPS_ANALYTICS_URL",
        "analytics_url",
        "Where the analytics service keeps interactions, sessions and states: `memory://`, `sqlite:///path`, "
        "`postgresql://…` or `mongodb://…`. Not given: nowhere, they only become events.",
        "–",
        "mongodb://localhost:27017/analytics",
        analytics_url,
        secret=True,
    ),
    Variable(
        "GENOPS_EGRESS_IPS",
        "egress_ips",
        "IP addresses and networks from which PostHog calls you, in place of those that it publishes.",
        "–",
        "44.205.89.55,10.1.0.0/16",
        networks,
    ),
    Variable(
        "DEBUG",
        "debug",
        "What is logged in detail, as in Node's `debug`: `posthog*` for the PostHog SDK, `genops*` for this package, "
        "`-…` for what is not. Acted on by `PostHogService`; other values are other programs'.",
        "–",
        "posthog*,-genops*",
        debug_patterns,
    ),
)
