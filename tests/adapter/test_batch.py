"""Gathered events belong to whom they were added by; and a batch keeps no thread that has nothing to do."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from genops_otel_posthog import GenOpsPostHogAdapter, governance
from genops_otel_posthog.adapter.batch import BatchEventProcessor


def test_an_event_belongs_to_whom_it_was_added_by(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    batch = BatchEventProcessor(adapter, batch_size=2, flush_interval=3600)
    with governance(customer_id="acme"):
        batch.add_event("a")
    with governance(customer_id="globex"):
        batch.add_event("b")

    adapter.flush()
    owners = {event.event: event.properties["genops_customer_id"] for event in receiver.events()}
    assert owners == {"a": "acme", "b": "globex"}


def test_a_session_counts_what_was_added_inside_it_and_nothing_else(make_adapter: Any, providers: Any) -> None:
    adapter = make_adapter(pricing_mode="list")
    batch = BatchEventProcessor(adapter, batch_size=3, flush_interval=3600)
    batch.add_event("before")
    with adapter.track_analytics_session("first", customer_id="acme") as first:
        batch.add_event("inside")
    with adapter.track_analytics_session("second") as second:
        batch.add_event("full")

    assert (first.events_captured, second.events_captured) == (1, 1)
    assert first.total_cost == pytest.approx(0.00005)
    assert providers.span("capture inside").attributes["genops.customer_id"] == "acme"
    assert providers.span("session batch_processing").attributes["genops.session.events"] == 3
    assert providers.span("session batch_processing").parent is None


def test_a_batch_that_is_through_keeps_no_thread_and_is_let_go(adapter: GenOpsPostHogAdapter) -> None:
    batch = BatchEventProcessor(adapter, flush_interval=0.01)
    batch.add_event("a")
    thread = batch._thread
    assert isinstance(thread, threading.Thread)
    thread.join(10)
    assert not thread.is_alive()

    batch.add_event("b")
    again = batch._thread
    assert isinstance(again, threading.Thread)
    again.join(10)
    assert (again.is_alive(), len(batch)) == (False, 0)

    gone = weakref.ref(batch)
    del batch
    gc.collect()
    assert gone() is None


@pytest.mark.newest  # the oldest SDK raises nothing, also in debug mode
def test_what_the_sdk_raises_ends_no_flushing(make_adapter: Any, receiver: Any, caplog: Any) -> None:
    adapter = make_adapter(client_options={"debug": True, "flush_at": 1})
    client, original = adapter.client, adapter.client._enqueue
    is_broken = threading.Event()
    is_broken.set()

    def breaking(*args: Any, **kwargs: Any) -> Any:
        if is_broken.is_set():
            is_broken.clear()
            raise OSError("out of order")
        return original(*args, **kwargs)

    client._enqueue = breaking
    batch = BatchEventProcessor(adapter, flush_interval=0.01)
    batch.add_event("a")

    assert [event.event for event in receiver.wait_for_events(1)] == ["a"]
    assert any("1 gathered events wait: out of order" in message for message in caplog.messages)
    batch.close()
