"""The same for the asynchronous client; see ``durable_waists.py``.

It asks ``before_send`` when its worker comes to an event, in a thread. An event has to be final before it is written,
so here it is asked when the event is captured, unless it is a coroutine function: such events are written when the
worker has asked it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from genops_otel_posthog.instrumentation.async_capture_waists import immediate_capture
from genops_otel_posthog.instrumentation.capture_losses import BEFORE_SEND
from genops_otel_posthog.instrumentation.captures import DROPPED, Captures
from genops_otel_posthog.instrumentation.durable import DurableCaptures, patience_of
from genops_otel_posthog.instrumentation.durable_waists import kept_of
from genops_otel_posthog.instrumentation.patches import Around, Switch

_LATER: Final = object()


def keep_prepared(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``AsyncClient._enqueue_prepared_event(event) -> bool``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _enqueue_prepared_event(self: Any, prepared: Any) -> Any:
            if not switch.on or self._closed or not self._accepting:
                return original(self, prepared)
            kept = kept_of(durable, self)
            if kept is None:
                return original(self, prepared)
            event = prepared if self.before_send is None else _asked(self, prepared)
            if event is None:
                durable.captures.settle((prepared["uuid"],), DROPPED, BEFORE_SEND)
                return True
            if event is _LATER:
                return original(self, prepared)
            # What it cannot take now is offered again by the worker.
            return True if durable.keep(kept, event) else original(self, prepared)

        return _enqueue_prepared_event

    return around


def _asked(client: Any, prepared: dict[str, Any]) -> Any:
    """The event as ``before_send`` wants it, ``None`` when it does not; :data:`_LATER` when it cannot be asked now."""
    callback = client.before_send
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__):
        return _LATER
    uuid = prepared["uuid"]
    try:
        result = callback(dict(prepared))
        if inspect.iscoroutine(result):
            result.close()  # it has not begun: the worker asks again, and waits
            return _LATER
        if result is None:
            return None
        if not isinstance(result, dict):
            raise TypeError("before_send must return a dict or None")
        return {**import_module("posthog.client").clean(result), "uuid": uuid}
    except Exception as error:
        client.log.error("Error in before_send callback (%s)", type(error).__name__)  # as the SDK does
        return None


def keep_requested(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``_AsyncConsumer.request(batch)``, of the worker and of ``capture_immediate``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def request(self: Any, batch: Any) -> Any:
            kept = kept_of(durable, self) if switch.on else None
            if kept is None:
                return await original(self, batch)
            immediate = immediate_capture.get()
            left = [event for event in batch if not _keep(durable, durable.captures, kept, event, immediate)]
            if left:
                durable.passed_by(len(left))
                return await original(self, left)
            if immediate is not None:
                await asyncio.to_thread(kept.flush, self.timeout, self.timeout)
            return None

        return request

    return around


def _keep(durable: DurableCaptures, captures: Captures, kept: Any, event: Any, immediate: list[bool] | None) -> bool:
    if not durable.keep(kept, event):
        return False
    if immediate is not None:
        immediate.append(True)
        captures.admit(event["uuid"])  # it never was in a queue
    return True


def wait_in_async_flush(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``AsyncClient.flush(timeout_seconds=10)``, which ``join`` and ``shutdown`` call."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def flush(self: Any, timeout_seconds: float | None = 10) -> Any:
            began = time.monotonic()
            result = await original(self, timeout_seconds)
            if switch.on and asyncio.current_task() not in self._worker_tasks:
                left = None if timeout_seconds is None else max(0.0, timeout_seconds - (time.monotonic() - began))
                await asyncio.to_thread(durable.flush, self.api_key, self.host, left, patience_of(self))
            return result

        return flush

    return around


def deliver_for_client(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``AsyncClient._register_duplicate_client()``, the last thing that its constructor does."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _register_duplicate_client(self: Any) -> Any:
            if switch.on and self.send and not self.disabled:
                durable.kept_by(self, only_if_waiting=True)
            return original(self)

        return _register_duplicate_client

    return around


#: Where each of them is put: (module of the SDK, name in it, what goes around it).
ASYNC_DURABLE_WAISTS: tuple[tuple[str, str, Callable[[DurableCaptures, Switch], Around]], ...] = (
    ("posthog.async_client", "AsyncClient._register_duplicate_client", deliver_for_client),
    ("posthog.async_client", "AsyncClient._enqueue_prepared_event", keep_prepared),
    ("posthog.async_client", "AsyncClient.flush", wait_in_async_flush),
)

#: The same, above the account of what is sent.
DURABLE_SENDER_WAISTS: tuple[tuple[str, str, Callable[[DurableCaptures, Switch], Around]], ...] = (
    ("posthog._async_consumer", "_AsyncConsumer.request", keep_requested),
)
