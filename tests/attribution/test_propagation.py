"""Where the owner of a block goes: wherever the OpenTelemetry context goes, and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from genops_otel_posthog.attribution import NOBODY, Attribution, attribution_in, governance


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def context_follows_threads() -> Iterator[None]:
    ThreadingInstrumentor().instrument()
    yield
    ThreadingInstrumentor().uninstrument()


async def test_a_task_has_the_owner_of_the_block_that_created_it():
    async def work():
        await asyncio.sleep(0)
        return attribution_in()

    with governance(team="checkout"):
        inside = asyncio.create_task(work())
    outside = asyncio.create_task(work())
    assert await inside == Attribution(team="checkout")
    assert await outside is NOBODY


async def test_a_block_inside_a_task_is_not_seen_by_the_task_that_waits_for_it():
    async def work(customer):
        with governance(customer_id=customer):
            await asyncio.sleep(0)
            return attribution_in()

    with governance(team="checkout"):
        owners = await asyncio.gather(work("acme"), work("initech"))
        assert attribution_in() == Attribution(team="checkout")
    assert owners == [Attribution(team="checkout", customer_id=customer) for customer in ("acme", "initech")]


async def test_a_worker_thread_of_asyncio_has_the_owner():
    with governance(team="checkout"):
        assert await asyncio.to_thread(attribution_in) == Attribution(team="checkout")


async def test_a_callback_scheduled_in_the_block_has_the_owner():
    loop = asyncio.get_running_loop()
    found = loop.create_future()
    with governance(team="checkout"):
        loop.call_soon(lambda: found.set_result(attribution_in()))
    assert await found == Attribution(team="checkout")


@pytest.mark.skipif(
    getattr(sys.flags, "thread_inherit_context", 0) == 1, reason="this Python hands the context to threads"
)
def test_a_bare_thread_starts_without_the_owner():
    with governance(team="checkout"):
        assert in_a_thread(attribution_in) is NOBODY


def test_a_thread_run_in_a_copy_of_the_context_has_the_owner():
    with governance(team="checkout"):
        copied = contextvars.copy_context()
    assert in_a_thread(lambda: copied.run(attribution_in)) == Attribution(team="checkout")


@pytest.mark.usefixtures("context_follows_threads")
def test_opentelemetrys_threading_instrumentation_carries_the_owner_into_threads_timers_and_pools():
    found = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: None).result()  # the thread exists before the block
        with governance(team="checkout"):
            timer = threading.Timer(0, lambda: found.append(attribution_in()))
            timer.start()
            timer.join()
            found += [in_a_thread(attribution_in), pool.submit(attribution_in).result()]
        assert pool.submit(attribution_in).result() is NOBODY
    assert found == [Attribution(team="checkout")] * 3


@pytest.mark.usefixtures("context_follows_threads")
def test_a_thread_that_outlives_the_block_keeps_the_owner_and_may_have_blocks_of_its_own(caplog):
    left = threading.Event()
    found = []

    def work():
        left.wait()
        with governance(feature="mail"):
            found.append(attribution_in())
        found.append(attribution_in())

    with governance(team="checkout"):
        thread = threading.Thread(target=work)
        thread.start()
    left.set()
    thread.join()
    assert found == [Attribution(team="checkout", feature="mail"), Attribution(team="checkout")]
    assert caplog.records == []


def test_the_context_can_be_handed_over_by_hand():
    with governance(team="checkout"):
        handed_over = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handed_over.run, attribution_in).result() == Attribution(team="checkout")


def test_a_span_processor_sees_the_owner_as_any_span_starts():
    class Owners(SpanProcessor):
        def on_start(self, span, parent_context=None):
            seen[span.name] = attribution_in(parent_context)

    seen: dict[str, Attribution] = {}
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Owners())
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("before"), governance(team="checkout"), tracer.start_as_current_span("inside"):
        tracer.start_span("innermost").end()
    assert seen == {"before": NOBODY, "inside": Attribution(team="checkout"), "innermost": Attribution(team="checkout")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_goes_on_inside_the_block():
    read_end, write_end = os.pipe()
    with governance(team="checkout"):
        child = os.fork()
        if not child:
            with governance(feature="mail"):
                owner = repr(attribution_in())
            os.write(write_end, f"{owner} {attribution_in()!r}".encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        assert pipe.read() == "Attribution(team='checkout', feature='mail') Attribution(team='checkout')"
    assert attribution_in() is NOBODY
