"""What the text of a variable about budgets, their ledger and their alerts may be.

One function per kind of value; each raises ``ValueError`` with the reason why a text is not one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Final
from urllib.parse import SplitResult, urlsplit

from genops_otel_posthog.money import nano_from_usd, usd_from_nano
from genops_otel_posthog.settings.alert_thresholds import parse_alert_thresholds

#: Where money can be counted, with the form of the address.
LEDGER_URLS: Final = {
    "sqlite": "sqlite:///path/to/file",
    "redis": "redis://host:6379/0",
    "rediss": "rediss://host:6379/0",
    "valkey": "valkey://host:6379/0",
    "valkeys": "valkeys://host:6379/0",
    "unix": "unix:///path/to/socket?db=0",
    "memory": "memory://",
}

_SHARE = re.compile(r"(?P<part>[0-9]{1,6}(\.[0-9]{1,9})?)(/(?P<whole>[0-9]{1,6}))?")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
_PROJECT_KEY_PREFIX = "phc_"


def usd(value: str) -> Decimal:
    """An amount of US dollars, 0 or more and exact to the nano-USD.

    Raises:
        ValueError: It is something else.
    """
    try:
        nano = nano_from_usd(value)
    except ValueError:
        raise ValueError("it is not an amount of US dollars, with up to nine decimals, like 20 or 12.50") from None
    if nano < 0:
        raise ValueError("it is negative; a limit is 0 (nothing may be spent) or more")
    return usd_from_nano(nano)


def share(value: str) -> Fraction:
    """A fraction above 0 and up to 1, as ``1/3`` or ``0.25``."""
    match = _SHARE.fullmatch(value)
    if match is None:
        raise ValueError("it is not a fraction like 1/3 or 0.25")
    part, whole = Fraction(match["part"]), int(match["whole"] or 1)
    if not 0 < part <= whole:
        raise ValueError("it is not above 0 and at most 1")
    return part / whole


def milliseconds(largest: int) -> Callable[[str], int]:
    """A whole number of milliseconds from 0 to ``largest``."""

    def parse(value: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(value) or int(value) > largest:
            raise ValueError(f"it is not a whole number of milliseconds from 0 to {largest:,}")
        return int(value)

    return parse


def names_in_order(value: str) -> tuple[str, ...]:
    """Any names, separated by commas, each once and in the order given; ``none`` alone stands for no name."""
    given = tuple(dict.fromkeys(filter(None, (name.strip() for name in value.split(",")))))
    if not given:
        raise ValueError("it names nothing; give names separated by commas, or none")
    return () if given == ("none",) else given


def any_names(value: str) -> frozenset[str]:
    """Any names, separated by commas; ``none`` alone stands for no name."""
    return frozenset(names_in_order(value))


def thresholds(value: str) -> str:
    """Alert thresholds, as they are written."""
    parse_alert_thresholds(value)
    return value


def ledger_url(value: str) -> str:
    """The URL of a ledger. The messages repeat no part of it, for it may hold a password."""
    parts = _split(value, of_a_file=value.startswith(("sqlite:", "unix:")))
    if parts.scheme not in LEDGER_URLS or "://" not in value:
        raise ValueError(f"it does not begin with one of {', '.join(f'{scheme}://' for scheme in LEDGER_URLS)}")
    form = LEDGER_URLS[parts.scheme]
    if parts.scheme == "memory":
        complete = not (parts.netloc or parts.path.strip("/"))
    elif parts.scheme == "sqlite":
        complete = not parts.netloc and bool(parts.path.strip("/"))
    elif parts.scheme == "unix":
        complete = bool(parts.path.strip("/"))
    else:
        complete = bool(parts.hostname)
    if not complete:
        raise ValueError(f"it is not of the form {form}")
    return value


def webhook(value: str) -> str:
    """The URL that alerts are posted to. The messages repeat no part of it: such URLs are often secrets themselves."""
    parts = _split(value)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it does not begin with https:// or http://")
    if not parts.hostname:
        raise ValueError("it names no host")
    return value


def personal_key(value: str) -> str:
    """A personal API key of PostHog. The messages repeat no part of it."""
    if value.startswith(_PROJECT_KEY_PREFIX):
        raise ValueError(
            "it is a project key; create a personal API key (phx_…) in PostHog: Settings, Personal API keys"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("it holds a space or a character that no key holds")
    return value


def _split(value: str, *, of_a_file: bool = False) -> SplitResult:
    if not value.isprintable() or (" " in value and not of_a_file):
        raise ValueError("it holds a space or a control character")
    try:
        parts = urlsplit(value)
        _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its address or its port cannot be read") from None
    return parts
