"""Why the SDK did not deliver an event, as a short, stable word."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from genops_otel_posthog.instrumentation.captures import DELIVERED, FAILED, Captures

_logger = logging.getLogger(__name__)

MAX_EVENT_BYTES: Final = 900 * 1024
"""What the SDK sends at most, where its sender does not say so itself."""

QUEUE_FULL: Final = "queue_full"
BEFORE_SEND: Final = "before_send"
DISABLED: Final = "disabled"
SEND_OFF: Final = "send_off"
CLOSED: Final = "closed"
UNAVAILABLE: Final = "unavailable"
ERROR: Final = "error"
TOO_LARGE: Final = "too_large"
UNSERIALISABLE: Final = "unserialisable"
SHUTDOWN: Final = "shutdown"
REJECTED: Final = "rejected"
EXHAUSTED: Final = "retries_exhausted"

_KINDS: Final = (
    ("Timeout", "timeout"),  # before the next: a connection may time out, too
    ("ConnectionError", "connection_failed"),
    ("TimeoutException", "timeout"),
    ("TransportError", "connection_failed"),
)
"""Errors of requests, then of httpx, by the name of a class of theirs."""


def reason_of(error: BaseException) -> str:
    """Why a request failed."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"http_{status}"
    names = {kind.__name__ for kind in type(error).__mro__}
    return next((reason for name, reason in _KINDS if name in names), ERROR)


def is_of_a_request(error: BaseException) -> bool:
    """Whether a request was made, and this is how it failed."""
    return hasattr(error, "status") or reason_of(error) != ERROR


def outcomes(error: BaseException, uuids: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """What became of the events of a request that failed: uuids by state and reason.

    Capture v1 answers for each event: a request that fails may have delivered most of them. Its error names those that
    PostHog refused and those that were to be sent again once too often; the others of a request that was answered
    well are delivered.
    """
    refused = {uuid for uuid, _ in getattr(error, "drops", None) or ()}
    exhausted = set(getattr(error, "retry_exhausted", None) or ())
    status = getattr(error, "status", None)
    well_answered = isinstance(status, int) and 200 <= status < 300 and bool(refused or exhausted)
    others = (DELIVERED, "") if well_answered else (FAILED, reason_of(error))
    found: dict[tuple[str, str], list[str]] = {}
    for uuid in uuids:
        outcome = others
        if uuid in refused:
            outcome = FAILED, REJECTED
        elif uuid in exhausted:
            outcome = FAILED, EXHAUSTED
        found.setdefault(outcome, []).append(uuid)
    return found


def reason_for_drop(event: object, most_bytes: int, otherwise: str) -> str:
    """Why the SDK's sender left out an event that it had taken from the queue.

    Args:
        event: The event.
        most_bytes: What the sender takes.
        otherwise: What it is when the event could be sent.
    """
    try:
        size = len(json.dumps(event, cls=sys.modules["posthog.request"].DatetimeSerializer).encode())
    except (TypeError, ValueError, OverflowError, RecursionError):
        return UNSERIALISABLE
    return TOO_LARGE if size > most_bytes else otherwise


def uuids_of(batch: Any) -> list[str]:
    """The uuids of events as the SDK sends them."""
    return [event["uuid"] for event in batch if isinstance(event, dict) and "uuid" in event]


def settle_failed(captures: Captures, uuids: Sequence[str], error: BaseException) -> None:
    """Counts what became of the events of a request that failed."""
    for (state, reason), found in outcomes(error, uuids).items():
        captures.settle(found, state, reason)


def safely(step: Callable[..., None], *given: Any) -> None:
    """Counts. What fails at that must not fail for the application."""
    try:
        step(*given)
    except Exception:
        _logger.exception("A captured event could not be counted; the event itself is not affected")
