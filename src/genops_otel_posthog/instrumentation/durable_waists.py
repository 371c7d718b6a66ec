"""Where events of the SDK's client are taken to the outbox, and where it waits for their delivery.

These functions are around those of the SDK only with ``GENOPS_DURABLE_CAPTURE=true``, and beneath the meters.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from genops_otel_posthog.instrumentation.durable import DurableCaptures, Kept, patience_of
from genops_otel_posthog.instrumentation.patches import Around, Switch

_KEPT = "_genops_kept"
_FLUSH_SECONDS = 10.0  # what the SDK's `flush` waits when it is not told; before it could be told it waited for ever


def kept_of(durable: DurableCaptures, sender: Any) -> Kept | None:
    """The outbox of a client, lane or consumer; it remembers it."""
    known: tuple[DurableCaptures, Kept | None] | None = vars(sender).get(_KEPT)
    if known is None or known[0] is not durable:
        known = durable, durable.kept_by(sender)
        setattr(sender, _KEPT, known)
    return known[1]


def keep_lane_event(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``_Lane.enqueue(msg) -> bool``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def enqueue(self: Any, msg: Any) -> Any:
            if not switch.on or self._closed or not self.available:
                return original(self, msg)
            kept = kept_of(durable, self)
            if kept is not None and durable.keep(kept, msg):
                return True
            taken = original(self, msg)
            if taken:
                durable.passed_by()
            return taken

        return enqueue

    return around


def deliver_for_lane(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``_Lane.__init__``: what an earlier process captured is delivered before this one captures anything."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if switch.on and self.send and self.available and self.api_key:
                durable.kept_by(self, only_if_waiting=True)

        return __init__

    return around


class _KeptQueue:
    """The queue of a client of an SDK without lanes, into which its events do not get while the outbox takes them."""

    def __init__(self, queue: Any, durable: DurableCaptures, keep: Callable[[Any], bool | None]) -> None:
        self.queue = queue
        self.durable = durable
        self._keep = keep

    def put(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """As of the queue."""
        kept = self._keep(event)
        if not kept:
            self.queue.put(event, *args, **kwargs)
            if kept is not None:
                self.durable.passed_by()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


def keep_queued(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``Client._enqueue`` of SDKs without lanes: the last thing that it does is ``self.queue.put(msg)``."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _enqueue(self: Any, *args: Any, **kwargs: Any) -> Any:
            if switch.on and self.send and not self.disabled and not self.sync_mode:
                queue = self.queue
                if not isinstance(queue, _KeptQueue):
                    self.queue = _KeptQueue(queue, durable, partial(keep, self))
                elif queue.durable is not durable:  # from before it was instrumented anew
                    self.queue = _KeptQueue(queue.queue, durable, partial(keep, self))
            return original(self, *args, **kwargs)

        return _enqueue

    def keep(client: Any, event: Any) -> bool | None:
        """Whether the outbox has it; ``None`` when it was not meant to."""
        if not switch.on:
            return None
        kept = kept_of(durable, client)
        return kept is not None and durable.keep(kept, event)

    return around


def deliver_for_consumer(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``Consumer.__init__`` of SDKs without lanes, as :func:`deliver_for_lane`."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if switch.on and self.api_key:
                durable.kept_by(self, only_if_waiting=True)

        return __init__

    return around


def keep_posted(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``posthog.client.batch_post(api_key, host, batch=[event], ...)``, of the synchronous mode."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def batch_post(*args: Any, **kwargs: Any) -> Any:
            key, host = (*args, None)[:2]
            batch = kwargs.get("batch")
            if not switch.on or not batch:
                return original(*args, **kwargs)
            path, sdk = kwargs.get("path", "/batch/"), kwargs.get("_user_agent")
            address = durable.address(
                str(key), host, path, is_v1=False, historical=kwargs.get("historical_migration"), sdk=sdk
            )
            if _keep_and_deliver(durable, durable.kept_for(address), batch, kwargs.get("timeout")):
                return None
            return original(*args, **kwargs)

        return batch_post

    return around


def keep_posted_v1(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``posthog.client._send_v1_batch(api_key, host, [event], ...)``, likewise."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def _send_v1_batch(key: Any, host: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on:
                return original(key, host, batch, *args, **kwargs)
            historical, sdk = kwargs.get("historical_migration"), kwargs.get("sdk_info")
            address = durable.address(key, host, "/batch/", is_v1=True, historical=historical, sdk=sdk)
            if _keep_and_deliver(durable, durable.kept_for(address), batch, kwargs.get("timeout")):
                return None
            return original(key, host, batch, *args, **kwargs)

        return _send_v1_batch

    return around


def _keep_and_deliver(durable: DurableCaptures, kept: Kept | None, batch: Any, timeout: Any) -> bool:
    """Takes the one event of a synchronous call, and waits as long as its request might take."""
    if kept is None or len(batch) != 1 or not durable.keep(kept, batch[0]):
        durable.passed_by()
        return False
    seconds = float(timeout or _FLUSH_SECONDS)
    kept.flush(seconds, seconds)
    return True


class _Waiting(threading.local):
    """Whether this thread is in a call that waits at its end, as ``shutdown`` of older SDKs calls ``flush``."""

    is_outer: bool = True


_waiting = _Waiting()


def _then_wait(durable: DurableCaptures, switch: Switch, limit_of: Callable[..., float | None]) -> Around:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on or not _waiting.is_outer:
                return original(self, *args, **kwargs)
            began = time.monotonic()
            _waiting.is_outer = False
            try:
                result = original(self, *args, **kwargs)
            finally:
                _waiting.is_outer = True
            if not _is_sender(self):
                limit = limit_of(*args, **kwargs)
                left = None if limit is None else max(0.0, limit - (time.monotonic() - began))
                durable.flush(self.api_key, self.host, left, patience_of(self))
            return result

        return and_wait

    return around


def _is_sender(client: Any) -> bool:
    """Whether this is a thread of the client's own, which must not wait: a callback flushes."""
    asked = getattr(client, "_is_lifecycle_callback_thread", None)
    return bool(asked()) if asked is not None else threading.current_thread() in (client.consumers or ())


def wait_in_flush(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``Client.flush(timeout_seconds=10)``."""

    def limit_of(timeout_seconds: float | None = _FLUSH_SECONDS) -> float | None:
        return timeout_seconds

    return _then_wait(durable, switch, limit_of)


def wait_at_end(durable: DurableCaptures, switch: Switch) -> Around:
    """Around ``Client.join()`` and ``Client.shutdown()``, which have no limit while the SDK tries."""
    return _then_wait(durable, switch, lambda: None)


_Waists = tuple[tuple[str, str, Callable[[DurableCaptures, Switch], Around]], ...]

#: Where each of them is put: (module of the SDK, name in it, what goes around it).
DURABLE_WAISTS: _Waists = (
    ("posthog.client", "batch_post", keep_posted),
    ("posthog.client", "_send_v1_batch", keep_posted_v1),
    ("posthog.client", "Client.flush", wait_in_flush),
    ("posthog.client", "Client.join", wait_at_end),
    ("posthog.client", "Client.shutdown", wait_at_end),
)

#: The same of SDKs whose clients have lanes, each with a queue.
LANE_WAISTS: _Waists = (
    ("posthog.client", "_Lane.__init__", deliver_for_lane),
    ("posthog.client", "_Lane.enqueue", keep_lane_event),
)

#: The same of SDKs whose clients have one queue.
QUEUE_WAISTS: _Waists = (
    ("posthog.consumer", "Consumer.__init__", deliver_for_consumer),
    ("posthog.client", "Client._enqueue", keep_queued),
)
