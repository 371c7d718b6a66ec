"""Any value as the text of an attribution field, without ever raising.

A field ends up in span attributes, metric labels, HTTP headers and a column of a database, so it must be short,
printable and encodable. The application must not break over it, so what is odd is repaired and what has no text is left
out, with one warning each. Warnings never repeat a value that may identify a customer or a person.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from enum import Enum
from uuid import UUID

from genops_otel_posthog.settings.once import WarnOnce

MAX_LENGTH = 256
"""Longest value in characters. Percent-encoded, it still fits into one member of a W3C baggage header (4096 bytes)."""

MAX_TAG_KEY_LENGTH = 64
"""Longest key of a tag in characters."""

MAX_TAGS = 32
"""Most tags of one owner: each is an attribute of every span, and OpenTelemetry keeps 128 of those."""

warn_once = WarnOnce(logging.getLogger("genops_otel_posthog.attribution"))

# Half a surrogate pair breaks the encoding of a whole OTLP batch and, in the baggage, of outgoing requests; the
# databases behind PostHog cannot hold NUL; line ends and other control characters forge log lines.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_TAG_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_MEMORY_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

# What dashboards and chargeback rely on, with words for it and whether a message may show a value that differs.
_USUAL_FORMS: dict[str, tuple[re.Pattern[str], str, bool]] = {
    "team": (re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*"), "lower-case words joined by - or _", True),
    "environment": (
        re.compile(r"(production|staging|development|test|local|prod|dev|ci)([-_].+)?"),
        "production, staging, development, test or local, perhaps with an ending as in production-eu",
        True,
    ),
    "customer_id": (
        re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?"),
        "letters and digits, with _ . : - between them",
        False,
    ),
    "feature": (re.compile(r".{2,50}"), "2 to 50 characters", False),
}


def clean_value(field: str, value: object) -> str | None:
    """The text of a value, ``None`` when nothing is given.

    Args:
        field: The field it is for, or ``tag <key>``.
        value: Text is stripped, made printable and cut; integers, UUIDs and enumeration members are common and taken as
            their text, in tags booleans and other numbers too; anything else that has a text is taken with a warning.
    """
    if type(value) is str:
        text = value
    elif value is None:
        return None
    else:
        try:
            found = _text_of(field, value)
        except Exception as error:  # a proxy without its object, a __str__ that fails
            kind = type(value).__name__
            _warn(field, f"is of type {kind}, whose text cannot be had ({type(error).__name__}); it is left out")
            return None
        if found is None:
            return None
        text = found
    text = text.strip()
    if not text:
        return None
    if len(text) > MAX_LENGTH:
        _warn(field, f"is longer than {MAX_LENGTH} characters and is cut; use a short, stable name")
        text = text[:MAX_LENGTH].rstrip()
    if not text.isprintable():
        printable = _UNSAFE.sub("\ufffd", text)
        if printable != text:
            _warn(field, "holds characters that cannot be printed or encoded; each is replaced by U+FFFD")
            text = printable
    usual = _USUAL_FORMS.get(field)
    if usual is not None and usual[0].fullmatch(text) is None:
        shown = f"is {text[:60]!r}, which" if usual[2] else "has a value that"
        _warn(field, f"{shown} is not of the usual form ({usual[1]}); it is used as it is")
    return text


def clean_tags(tags: object) -> dict[str, str]:
    """The tags with clean keys and values, at most :data:`MAX_TAGS` of them, in the order given."""
    if tags is None:
        return {}
    try:
        # A list, because another thread may be changing the mapping.
        entries = list(tags.items()) if isinstance(tags, Mapping) else None
    except Exception as error:
        _warn("tags", f"are of type {type(tags).__name__}, which cannot be read ({type(error).__name__}); none is used")
        return {}
    if entries is None:
        _warn("tags", f"are of type {type(tags).__name__} and not a mapping like {{'platform': 'ios'}}; none is used")
        return {}
    cleaned: dict[str, str] = {}
    for key, value in entries:
        name = _clean_tag_key(key)
        text = clean_value(f"tag {name}", value) if name else None
        if text is None or name is None:
            continue
        if len(cleaned) == MAX_TAGS and name not in cleaned:
            warn_too_many_tags()
            break
        cleaned[name] = text
    return cleaned


def warn_too_many_tags() -> None:
    """Says that tags have been left out because there are too many."""
    _warn("tags", f"are more than {MAX_TAGS}; the rest is left out. Give what varies as a tag's value, not as its key")


def _clean_tag_key(key: object) -> str | None:
    text = key.strip() if type(key) is str else clean_value("tag", key)
    if not text:
        return None
    name = _NOT_IN_TAG_KEY.sub("_", text[:MAX_TAG_KEY_LENGTH])
    if name != text:
        rule = f"up to {MAX_TAG_KEY_LENGTH} letters, digits and _ . -"
        _warn("tags", f"have a key that is read as {name!r}; a key is {rule}")
    return name


def _text_of(field: str, value: object) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)  # the text itself, whatever a subclass makes of it
    if isinstance(value, bool) and field.startswith("tag"):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        # How data frames say "missing".
        _warn(field, "is not a number (NaN or infinite); it is left out")
        return None
    if isinstance(value, (bytes, bytearray)):
        _warn(field, "is bytes, read as UTF-8; give a string")
        return value.decode("utf-8", "replace")
    text = str(value)
    if callable(value) or _MEMORY_ADDRESS.search(text):
        _warn(field, f"is of type {type(value).__name__}, which has no text of its own; it is left out. Give a string")
        return None
    quiet = isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool))
    if not quiet and not (field.startswith("tag") and isinstance(value, float)):
        _warn(field, f"is of type {type(value).__name__} and taken as its text; give a string")
    return str.__str__(text)


def _warn(field: str, problem: str) -> None:
    warn_once("tags" if field.startswith("tag") else field, f"Attribution: {field} {problem}")
