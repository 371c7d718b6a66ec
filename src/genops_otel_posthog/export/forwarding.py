"""Calls to RudderStack, for what happens outside of spans: identify, track, group, and events that others have made.

Every call becomes an event in PostHog's form in the outbox, which delivers it to RudderStack as it does all others: it
is on disk when the function returns, and arrives once RudderStack can be reached. Nothing is sent to PostHog.

The functions of this module use the environment (``RUDDERSTACK_WRITE_KEY``) and one :class:`~.forwarder.Forwarder` of
the process; without a key they do nothing. A forwarder of one's own uses what it is given.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.forwarder import Forwarder, map_posthog_event

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox import Outbox

__all__ = [
    "Forwarder",
    "flush",
    "forward_database_event",
    "forward_posthog_event",
    "group",
    "identify",
    "map_posthog_event",
    "shutdown",
    "track",
]

_logger = logging.getLogger(__name__)

_lock = threading.Lock()
_default: tuple[Forwarder, Outbox] | None = None
_is_off = False


def identify(user_id: str, traits: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None) -> bool:
    """See :meth:`~.forwarder.Forwarder.identify`. ``False`` when forwarding is off."""
    forwarder = _forwarder()
    return forwarder is not None and forwarder.identify(user_id, traits, context)


def track(
    user_id: str,
    event: str,
    properties: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> bool:
    """See :meth:`~.forwarder.Forwarder.track`. ``False`` when forwarding is off."""
    forwarder = _forwarder()
    return forwarder is not None and forwarder.track(user_id, event, properties, context)


def group(
    user_id: str,
    group_id: str,
    traits: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> bool:
    """See :meth:`~.forwarder.Forwarder.group`. ``False`` when forwarding is off."""
    forwarder = _forwarder()
    return forwarder is not None and forwarder.group(user_id, group_id, traits, context)


def forward_posthog_event(event: Mapping[str, Any]) -> bool:
    """See :meth:`~.forwarder.Forwarder.forward_posthog_event`. ``False`` when forwarding is off."""
    forwarder = _forwarder()
    return forwarder is not None and forwarder.forward_posthog_event(event)


def forward_database_event(
    event_type: str,
    *,
    user_id: str | None = None,
    workspace_id: str | None = None,
    organization_id: str | None = None,
    properties: Mapping[str, Any] | None = None,
    trace_id: str | None = None,
    uuid: str | None = None,
    timestamp: datetime | str | None = None,
) -> bool:
    """See :meth:`~.forwarder.Forwarder.forward_database_event`. ``False`` when forwarding is off."""
    forwarder = _forwarder()
    return forwarder is not None and forwarder.forward_database_event(
        event_type,
        user_id=user_id,
        workspace_id=workspace_id,
        organization_id=organization_id,
        properties=properties,
        trace_id=trace_id,
        uuid=uuid,
        timestamp=timestamp,
    )


def flush(timeout: float = 10.0) -> bool:
    """Waits until RudderStack has taken what was forwarded.

    Args:
        timeout: Most seconds.

    Returns:
        Whether it has. What it has not taken is on disk and is sent later.
    """
    made = _default
    return made is None or made[1].flush(timeout)


def shutdown(timeout: float = 10.0) -> bool:
    """Delivers what it can and ends; the next call starts anew, by what the environment says then.

    Args:
        timeout: Most seconds.

    Returns:
        Whether everything has been delivered. What has not is on disk, for the next process.
    """
    global _default, _is_off
    with _lock:
        made, _default, _is_off = _default, None, False
    return made is None or made[1].shutdown(timeout)


def _forwarder() -> Forwarder | None:
    if _is_off:
        return None
    made = _default or _open()
    return None if made is None else made[0]


def _open() -> tuple[Forwarder, Outbox] | None:
    """Makes the forwarder of the environment, or finds that there is none."""
    global _default, _is_off
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    from genops_otel_posthog.export.destinations.registry import named
    from genops_otel_posthog.export.outbox import Outbox
    from genops_otel_posthog.settings import Settings

    with _lock:
        if _default is not None or _is_off:
            return _default
        settings = Settings.from_environ(strict=False)
        if settings.rudderstack_write_key is None:
            _is_off = True
            _logger.info("Nothing is forwarded to RudderStack: RUDDERSTACK_WRITE_KEY is not set")
            return None
        try:
            outbox = Outbox(settings.outbox_path, named(["rudderstack"], settings), quietly=suppress_instrumentation)
        except GenOpsConfigurationError as problem:
            _is_off = True
            _logger.error("Nothing is forwarded to RudderStack: %s", problem)
            return None
        _default = (Forwarder(outbox, trace_id=_current_trace_id), outbox)
        return _default


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _current_trace_id() -> str | None:
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
