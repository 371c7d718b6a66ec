"""The meters of delivery of the asynchronous client; see ``capture_waists.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from genops_otel_posthog.instrumentation.capture_losses import (
    BEFORE_SEND,
    CLOSED,
    DISABLED,
    ERROR,
    MAX_EVENT_BYTES,
    QUEUE_FULL,
    SEND_OFF,
    TOO_LARGE,
    reason_for_drop,
    safely,
    settle_failed,
    uuids_of,
)
from genops_otel_posthog.instrumentation.captures import DELIVERED, DROPPED, Captures
from genops_otel_posthog.instrumentation.patches import Around, Switch

_TAKEN = "_genops_taken"

immediate_capture: ContextVar[list[bool] | None] = ContextVar("genops_posthog_immediate", default=None)
"""Of a ``capture_immediate`` that is under way: whether PostHog was asked."""


def async_prepare_account(captures: Captures, switch: Switch) -> Around:
    """Around ``AsyncClient._prepare_event(msg, ...) -> (event, uuid)``, both ``None`` when it does not take events."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _prepare_event(self: Any, *args: Any, **kwargs: Any) -> Any:
            prepared = original(self, *args, **kwargs)
            if switch.on:
                if prepared[0] is None:
                    captures.refuse(DISABLED if self.disabled else CLOSED)
                elif not self.send:
                    captures.refuse(SEND_OFF)
            return prepared

        return _prepare_event

    return around


def async_enqueue_account(captures: Captures, switch: Switch) -> Around:
    """Around ``AsyncClient._enqueue_prepared_event(event) -> bool``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _enqueue_prepared_event(self: Any, prepared: Any) -> Any:
            if not switch.on:
                return original(self, prepared)
            try:
                admitted = original(self, prepared)
            except Exception as error:
                captures.refuse(QUEUE_FULL if type(error).__name__ == "QueueFull" else ERROR)
                raise
            if admitted:
                captures.admit(prepared["uuid"])
            else:
                captures.refuse(CLOSED)
            return admitted

        return _enqueue_prepared_event

    return around


def async_get_account(_: Captures, switch: Switch) -> Around:
    """Around ``_AsyncConsumer._get_or_flush(timeout)``, by which it takes events from its queue."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def _get_or_flush(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = await original(self, *args, **kwargs)
            event = getattr(found[0], "event", None)
            if event is not None and switch.on:
                self.__dict__.setdefault(_TAKEN, []).append(event)
            return found

        return _get_or_flush

    return around


def async_next_account(captures: Captures, switch: Switch) -> Around:
    """Around ``_AsyncConsumer.next() -> (batch, stop)``: what it took and does not return is dropped."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def next_batch(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = await original(self, *args, **kwargs)
            if switch.on:
                safely(drop, self, found[0])
            return found

        return next_batch

    def drop(consumer: Any, batch: list[Any]) -> None:
        taken = consumer.__dict__.pop(_TAKEN, [])
        carryover = getattr(consumer, "_carryover", None)
        kept = Counter(uuids_of(batch))
        carried = uuids_of(carryover[:1]) if carryover is not None else []
        kept.update(carried)
        for event in taken:
            uuid = event["uuid"]
            if kept[uuid]:
                kept[uuid] -= 1
            else:
                captures.settle([uuid], DROPPED, reason_for_drop(event, MAX_EVENT_BYTES, BEFORE_SEND))

    return around


def async_request_account(captures: Captures, switch: Switch) -> Around:
    """Around ``_AsyncConsumer.request(batch)``, of the worker and of ``capture_immediate``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def request(self: Any, batch: Any) -> Any:
            if not switch.on:
                return await original(self, batch)
            immediate, uuids = immediate_capture.get(), uuids_of(batch)
            if immediate is not None:
                immediate.append(True)
                for uuid in uuids:
                    captures.admit(uuid)
            try:
                result = await original(self, batch)
            except Exception as error:
                safely(settle_failed, captures, uuids, error)
                raise
            safely(captures.settle, uuids, DELIVERED)
            return result

        return request

    return around


def async_immediate_account(captures: Captures, switch: Switch) -> Around:
    """Around ``AsyncClient.capture_immediate(...)``, whose event is never queued."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def capture_immediate(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return await original(self, *args, **kwargs)
            asked: list[bool] = []
            token = immediate_capture.set(asked)
            try:
                uuid = await original(self, *args, **kwargs)
            finally:
                immediate_capture.reset(token)
            # Of a client that takes no events `_prepare_event` has told.
            if uuid is None and not asked and self._accepting and not self.disabled:
                captures.refuse(TOO_LARGE if self.before_send is None else BEFORE_SEND)
            return uuid

        return capture_immediate

    return around


#: Where each of them is put: (module of the SDK, name in it, what goes around it).
ASYNC_CAPTURE_WAISTS: tuple[tuple[str, str, Callable[[Captures, Switch], Around]], ...] = (
    ("posthog.async_client", "AsyncClient._prepare_event", async_prepare_account),
    ("posthog.async_client", "AsyncClient._enqueue_prepared_event", async_enqueue_account),
    ("posthog.async_client", "AsyncClient.capture_immediate", async_immediate_account),
    ("posthog._async_consumer", "_AsyncConsumer._get_or_flush", async_get_account),
    ("posthog._async_consumer", "_AsyncConsumer.next", async_next_account),
    ("posthog._async_consumer", "_AsyncConsumer.request", async_request_account),
)
