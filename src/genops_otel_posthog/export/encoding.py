"""An event as the bytes that lie in the outbox and travel: made once, where the span ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from genops_otel_posthog.export.event import Event

_json: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def encode(event: Event) -> bytes:
    """The event as JSON in UTF-8, as PostHog's batch API takes it.

    Raises:
        TypeError: A value is not of JSON.
        ValueError: A number is not of JSON, or a text is not Unicode.
    """
    body = {
        "event": event.name,  # first, because destinations tell events about AI by how the bytes begin
        "distinct_id": event.distinct_id,
        "uuid": event.uuid,
        "timestamp": event.timestamp,
        "properties": event.properties,
    }
    try:
        return _encode(body)
    except TypeError:  # integers beyond 64 bits, which only the standard library takes
        return _encode_slowly(body)


def _encode_slowly(body: dict[str, Any]) -> bytes:
    return _json.encode(body).encode()


def _fastest() -> Callable[[Any], bytes]:
    try:
        dumps: Callable[[Any], bytes] = import_module("orjson").dumps  # ten times as fast
    except ImportError:
        return _encode_slowly
    return dumps


_encode = _fastest()
