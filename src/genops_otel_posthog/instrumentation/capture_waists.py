"""The meters of delivery: where the SDK's client takes an event, loses it, and hands it to PostHog.

They watch and change nothing. All of them are beneath the other meters (see ``waists.py``): what budgets refuse never
comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from genops_otel_posthog.instrumentation.capture_losses import (
    BEFORE_SEND,
    CLOSED,
    DISABLED,
    ERROR,
    MAX_EVENT_BYTES,
    QUEUE_FULL,
    SEND_OFF,
    SHUTDOWN,
    UNAVAILABLE,
    is_of_a_request,
    reason_for_drop,
    reason_of,
    safely,
    settle_failed,
    uuids_of,
)
from genops_otel_posthog.instrumentation.captures import DELIVERED, DROPPED, FAILED, Captures
from genops_otel_posthog.instrumentation.patches import Around, Switch

_TAKEN = "_genops_taken"


def enqueue_account(captures: Captures, switch: Switch) -> Around:
    """Around ``Client._enqueue(msg, ...) -> uuid or None``: what the SDK took and what it refused."""
    admit = captures.admit

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        tells_of_callback = "before_send_drops" in signature(original).parameters

        def _enqueue(*args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(*args, **kwargs)
            client = args[0]
            if tells_of_callback and client.before_send is not None and kwargs.get("before_send_drops") is None:
                kwargs["before_send_drops"] = []
            try:
                uuid = original(*args, **kwargs)
            except Exception as error:
                safely(raised, client, error)
                raise
            if uuid is None or client.sync_mode or not client.send:
                safely(not_queued, client, uuid, kwargs)
            else:
                admit(uuid)
            return uuid

        return _enqueue

    def raised(client: Any, error: Exception) -> None:
        if client.sync_mode and is_of_a_request(error):
            captures.admit_and_settle(FAILED, reason_of(error))
        else:
            captures.refuse(ERROR)

    def not_queued(client: Any, uuid: str | None, kwargs: Mapping[str, Any]) -> None:
        if uuid is None:
            captures.refuse(_refusal(client, kwargs))
        elif not client.send:
            captures.refuse(SEND_OFF)
        else:
            captures.admit(uuid)
            if captures.is_pending(uuid):  # and not in the outbox
                captures.settle([uuid], DELIVERED)

    return around


def _refusal(client: Any, kwargs: Mapping[str, Any]) -> str:
    """Why the SDK did not take an event."""
    if client.disabled:
        return DISABLED
    lane = kwargs.get("lane") or getattr(client, "_analytics_lane", None)
    if lane is not None and lane._closed:
        return CLOSED
    if lane is not None and not lane.available:
        return UNAVAILABLE
    if kwargs.get("before_send_drops"):
        return BEFORE_SEND
    # Older SDKs, and a callback that raised while the queue was full, leave it at this.
    queue = client.queue if lane is None else lane.queue
    return QUEUE_FULL if client.before_send is None or queue.full() else BEFORE_SEND


class _WatchedQueue:
    """A queue that remembers what was taken from it, for SDKs whose consumer asks it directly."""

    def __init__(self, queue: Any, taken: list[Any]) -> None:
        self._queue = queue
        self._taken = taken

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As of the queue."""
        item = self._queue.get(*args, **kwargs)
        self._taken.append(item)
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def drain_account(_: Captures, switch: Switch) -> Around:
    """Around ``_DrainSignal.get(timeout, consumer)``, by which newer consumers take events from their queue."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(*args: Any, **kwargs: Any) -> Any:
            item = original(*args, **kwargs)
            consumer = kwargs.get("consumer")
            if consumer is not None and switch.on:
                vars(consumer).setdefault(_TAKEN, []).append(item)
            return item

        return get

    return around


def upload_account(captures: Captures, switch: Switch) -> Around:
    """Around ``Consumer.upload()``: what it takes from the queue and does not ask PostHog to take is dropped."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def upload(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(self, *args, **kwargs)
            queue = self.queue
            if getattr(self, "_drain_signal", None) is None:
                self.queue = _WatchedQueue(queue, vars(self).setdefault(_TAKEN, []))
            try:
                return original(self, *args, **kwargs)
            finally:
                self.queue = queue
                safely(_drop_taken, captures, self, ())

        return upload

    return around


def _drop_taken(captures: Captures, consumer: Any, batch: Any) -> None:
    """What a consumer has taken and does not send is dropped."""
    taken = vars(consumer).get(_TAKEN)
    if not taken:
        return
    sent = set(map(id, batch))
    most_bytes = getattr(consumer, "max_msg_size", MAX_EVENT_BYTES)
    for event in taken:
        if id(event) not in sent:
            captures.settle(uuids_of([event]), DROPPED, reason_for_drop(event, most_bytes, SHUTDOWN))
    taken.clear()


def request_account(captures: Captures, switch: Switch) -> Around:
    """Around ``Consumer.request(batch)``, which raises what remains of its retries."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def request(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(self, batch, *args, **kwargs)
            # Here and not only at the end: an upload may have begun before the SDK was instrumented.
            safely(_drop_taken, captures, self, batch)
            try:
                result = original(self, batch, *args, **kwargs)
            except Exception as error:
                safely(settle_failed, captures, uuids_of(batch), error)
                raise
            safely(captures.settle, uuids_of(batch), DELIVERED)
            return result

        return request

    return around


def discard_account(captures: Captures, switch: Switch) -> Around:
    """Around ``_Lane.discard_undrainable_queued_work()``, which empties a queue that nobody sends from."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def discard(self: Any, *args: Any, **kwargs: Any) -> Any:
            waiting = list(getattr(self.queue, "queue", ())) if switch.on else []
            try:
                return original(self, *args, **kwargs)
            finally:
                if waiting and not self.queue.qsize():
                    safely(captures.settle, uuids_of(waiting), DROPPED, SHUTDOWN)

        return discard

    return around


#: Where each of them is put: (module of the SDK, name in it, what goes around it).
CAPTURE_WAISTS: tuple[tuple[str, str, Callable[[Captures, Switch], Around]], ...] = (
    ("posthog.client", "Client._enqueue", enqueue_account),
    ("posthog.client", "_Lane.discard_undrainable_queued_work", discard_account),
    ("posthog.consumer", "_DrainSignal.get", drain_account),
    ("posthog.consumer", "Consumer.upload", upload_account),
    ("posthog.consumer", "Consumer.request", request_account),
)
