"""One request and its answer, free of the web framework, so that endpoints are plain functions in a worker thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from genops_otel_posthog.receiver.store import Transaction

if TYPE_CHECKING:
    from genops_otel_posthog.receiver.faults import FaultRule


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived.

    Attributes:
        id: of its row in ``requests``.
        at: when it arrived, aware, UTC.
        path: without a trailing slash.
        headers: by lower-case name.
        body: as sent, still compressed.
        over_quota: resources whose billing limit is reached, by a fault rule.
        event_faults: rules that decide the v1 result of single events.
    """

    id: int
    at: datetime
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    over_quota: frozenset[str] = frozenset()
    event_faults: tuple[FaultRule, ...] = ()


@dataclass(slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        note: for the request log: why it was refused, or what was dropped.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    note: str | None = None


Endpoint = Callable[[Call, Transaction], Reply]
"""Judges one request and writes what is kept of it."""


def json_reply(
    content: object, status: int = 200, *, headers: Mapping[str, str] | None = None, note: str | None = None
) -> Reply:
    """An answer in JSON."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, headers=dict(headers or {}), note=note)


def text_reply(text: str, status: int, *, note: str | None = None) -> Reply:
    """An answer in plain text, as PostHog's older endpoints give it."""
    return Reply(status, text.encode(), "text/plain; charset=utf-8", note=note)
