"""What the text of an environment variable may be.

One function per kind of value; each raises ``ValueError`` with the reason why a text is not one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import project_key_problem
from genops_otel_posthog.settings.once import WarnOnce

warn_once = WarnOnce(logging.getLogger("genops_otel_posthog.settings"), limit=50)

POLICIES = ("advisory", "enforced", "strict")
#: Names that the guide and its examples use for the three policies.
POLICY_ALIASES = {"basic": "advisory", "standard": "enforced", "enhanced": "strict"}

#: The fields of an owner that may travel between services unless others are named: none that identifies a person.
BAGGAGE_FIELDS = ("team", "project", "customer_id", "cost_center", "feature")

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


def text(value: str) -> str:
    """Any text."""
    return value


def switch(value: str) -> bool:
    """``true`` or ``false``, also ``1``/``0``, ``yes``/``no`` and ``on``/``off``, in any case."""
    lowered = value.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("it is neither true nor false")


def choice(*allowed: str) -> Callable[[str], str]:
    """One of ``allowed``, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return value.lower()

    return parse


def names(*allowed: str) -> Callable[[str], frozenset[str]]:
    """Some of ``allowed``, separated by commas, in any case; ``all`` or ``none``."""

    def parse(value: str) -> frozenset[str]:
        given = {name.strip().lower() for name in value.split(",")} - {""}
        if given == {"none"}:
            return frozenset()
        if given == {"all"}:
            return frozenset(allowed)
        unknown = sorted(given - set(allowed))
        if unknown:
            shown = ", ".join(repr(name[:40]) for name in unknown[:5])
            raise ValueError(f"{shown} is not among {', '.join(allowed)} (or all, or none)")
        if not given:
            raise ValueError(f"it names nothing; give some of {', '.join(allowed)}, or none")
        return frozenset(given)

    return parse


def names_or_switch(usual: tuple[str, ...], *allowed: str) -> Callable[[str], frozenset[str]]:
    """Like :func:`names`; ``true`` stands for the ``usual`` ones and ``false`` for none."""
    parse_names = names(*allowed)

    def parse(value: str) -> frozenset[str]:
        lowered = value.lower()
        if lowered in _TRUE:
            return frozenset(usual)
        return frozenset() if lowered in _FALSE else parse_names(value)

    return parse


def policy(value: str) -> str:
    """One of :data:`POLICIES`; a name of :data:`POLICY_ALIASES` is taken with a warning."""
    lowered = value.lower()
    meant = POLICY_ALIASES.get(lowered, lowered)
    if meant not in POLICIES:
        aliases = ", ".join(f"{alias} = {name}" for alias, name in POLICY_ALIASES.items())
        raise ValueError(f"it must be one of {', '.join(POLICIES)} (also {aliases})")
    if meant != lowered:
        warn_once("the policy", f"Governance policy {lowered!r} is read as {meant!r}; write {meant!r}")
    return meant


def parse_tags(value: str) -> dict[str, str]:
    """Tags written as ``k=v,k=v``.

    Raises:
        ValueError: A part has no ``=`` or no key, or a key is given twice.
    """
    tags: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, equals, tag = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise ValueError(f"{part[:40]!r} is not key=value")
        if key in tags:
            raise ValueError(f"{key[:40]!r} is given twice")
        tags[key] = tag
    return tags


def project_key(value: str) -> str:
    """A PostHog project key.

    Raises:
        ValueError: PostHog would refuse it. The message names at most four characters at each end of the key.
    """
    problem = project_key_problem(value)
    if problem is not None:
        raise ValueError(problem)
    if not value.startswith("phc_"):
        warn_once(
            "the key",
            "The PostHog project key does not start with 'phc_' as they do today; if nothing arrives, compare it with "
            "the key in PostHog: Settings, Project, General",
        )
    return value


def host(value: str) -> str:
    """The URL of an ingestion host: PostHog's own (``https://us.i.posthog.com``, ``eu.posthog.com``, …) or another one.

    Returns:
        The URL without a slash at its end. A name without scheme gets ``https://``, a loopback one ``http://``.

    Raises:
        ValueError: It is not the URL of a host. The message repeats no part that may be a credential.
    """
    if not value.isprintable() or " " in value:
        raise ValueError("it holds a space or a control character")
    url = value
    if "://" not in url:
        name = url.partition("/")[0]
        if "." not in name and not _is_loopback(name.partition(":")[0]):
            raise ValueError("it does not begin with https://")
        url = f"{'http' if _is_loopback(name.partition(':')[0]) else 'https'}://{url}"
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("its address or its port cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("it does not begin with https:// or http://")
    if not name:
        raise ValueError("it names no host")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name or a password; PostHog knows only the project key")
    if parts.query or parts.fragment:
        raise ValueError("it goes on after the address with ? or #")
    if parts.path.strip("/") and name.endswith(".posthog.com"):
        raise ValueError("it goes on after the address, which only a proxy of your own can need, not PostHog's hosts")
    if parts.scheme == "http" and not _is_loopback(name):
        warn_once(
            "the host",
            f"PostHog host http://{name} is not encrypted, so everybody on the way can read the project key and what "
            "the events say about people; use https",
        )
    return url.rstrip("/")


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
