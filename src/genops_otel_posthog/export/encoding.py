"""An event as the bytes that lie in the outbox and travel: made once, where the span ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from genops_otel_posthog.export.event import Event

_json: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))
_EXACT: Final = 2**53  # integers that every reader of JSON reads as they are


def encode(event: Event, properties: bytes | None = None) -> bytes:
    """The event as JSON in UTF-8, as PostHog's batch API takes it.

    Args:
        event: The event.
        properties: Its properties as JSON, where they are known.

    Raises:
        TypeError: A value is not of JSON.
        ValueError: A number is not of JSON, or a text is not Unicode.
    """
    body: dict[str, Any] = {
        "event": event.name,  # first, because destinations tell events about AI by how the bytes begin
        "distinct_id": event.distinct_id,
        "uuid": event.uuid,
        "timestamp": event.timestamp,
    }
    if properties is not None:
        return _encode(body)[:-1] + b',"properties":' + properties + b"}"
    body["properties"] = event.properties
    try:
        return _encode(body)
    except TypeError:  # integers beyond 64 bits, which only the standard library takes
        return _encode_slowly(body)


def encode_plain(properties: Mapping[str, Any]) -> bytes | None:
    """Properties as JSON, ``None`` where something in them may have to be repaired before.

    Args:
        properties: Values of JSON. Numbers that are not finite may be taken as null.
    """
    try:
        encoded = _encode_strictly(properties)
    except (TypeError, ValueError):  # integers beyond 53 bits, half a surrogate pair, no number
        return None
    return None if b"\\" in encoded and b"\\u0000" in encoded else encoded


def _encode_slowly(body: Any) -> bytes:
    return _json.encode(body).encode()


def _encode_strictly_and_slowly(properties: Mapping[str, Any]) -> bytes:
    if any(type(value) is int and not -_EXACT < value < _EXACT for value in properties.values()):
        raise ValueError("an integer is too large")
    return _encode_slowly(properties)


def _encoders() -> tuple[Callable[[Any], bytes], Callable[[Any], bytes]]:
    """What encodes anything, and what refuses what is not plain."""
    try:
        orjson = import_module("orjson")  # ten times as fast
    except ImportError:
        return _encode_slowly, _encode_strictly_and_slowly
    dumps, option = orjson.dumps, orjson.OPT_STRICT_INTEGER
    return dumps, lambda properties: dumps(properties, None, option)


_encode, _encode_strictly = _encoders()
