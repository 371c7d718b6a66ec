"""The asynchronous client: the same spans and the same money, without waiting."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from genops_otel_posthog import Budget, governance

pytest.importorskip("posthog.async_client", reason="this SDK has no asynchronous client")
pytestmark = pytest.mark.newest

AT_LIST_PRICE = {"pricing_mode": "list", "ledger_url": "memory://", "ledger_wait_ms": 10_000}


def run(receiver: Any, body: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    """Runs ``body`` with an asynchronous client and shuts it down."""
    from posthog import AsyncPosthog

    async def main() -> None:
        client = AsyncPosthog("phc_test", host=receiver.url, **options)
        try:
            await body(client)
        finally:
            await client.shutdown()

    asyncio.run(main())


def test_a_capture_is_one_span_with_its_cost_and_owner(instrument, receiver):
    observed = instrument(usage_to_date="events=1000000,identified_events=1000000")
    returned = []

    async def body(client: Any) -> None:
        async with governance(team="checkout"):
            returned.append(client.capture("e", distinct_id="u1"))

    run(receiver, body)
    span = observed.span("capture e")
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes["posthog.event.uuid"] == returned[0]
    assert span.attributes["genops.team"] == "checkout"
    assert span.attributes["genops.cost.amount"] == 0.000248
    assert observed.usage() == {"events": 1, "identified_events": 1}
    (event,) = receiver.events()
    assert event.uuid == returned[0]
    assert event.properties["genops_team"] == "checkout"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda client: client.set(distinct_id="u1", properties={"a": 1}), "set"),
        (lambda client: client.set_once(distinct_id="u1", properties={"a": 1}), "set_once"),
        (lambda client: client.alias("anonymous-7", "u1"), "alias"),
        (lambda client: client.group_identify("company", "acme"), "group_identify"),
        (lambda client: client.capture_exception(ValueError("boom"), distinct_id="u1"), "capture $exception"),
    ],
)
def test_every_event_method_is_one_span(instrument, receiver, call, name):
    observed = instrument()

    async def body(client: Any) -> None:
        assert call(client)

    run(receiver, body)
    assert observed.names == [name]
    assert sum(observed.usage().values()) in (1, 2)


def test_a_capture_that_waits_for_delivery_is_counted_when_it_is_delivered(instrument, receiver):
    observed = instrument()

    async def body(client: Any) -> None:
        assert await client.capture_immediate("e", distinct_id="u1")
        assert observed.usage() == {"events": 1, "identified_events": 1}

    run(receiver, body)
    assert observed.names == ["capture e"]
    assert observed.usage() == {"events": 1, "identified_events": 1}


def test_a_capture_that_could_not_be_delivered_costs_nothing(instrument, receiver):
    observed = instrument()
    receiver.fail("capture", status=400)

    async def body(client: Any) -> None:
        assert await client.capture_immediate("e", distinct_id="u1") is None

    run(receiver, body)
    assert observed.usage() == {}
    assert observed.span("capture e").attributes["posthog.event.admitted"] is False


def test_evaluating_flags_is_one_client_span_and_one_unit(instrument, receiver):
    receiver.set_flags(
        [{"id": 1, "key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}]
    )
    observed = instrument()

    async def body(client: Any) -> None:
        snapshot = await client.evaluate_flags("u1")
        snapshot.is_enabled("new-checkout")

    run(receiver, body)
    assert observed.span("evaluate_flags").kind is SpanKind.CLIENT
    assert observed.usage() == {"feature_flag_requests": 1}
    assert receiver.bill().meters.get("feature_flag_requests", 0) == 1


def test_events_from_the_sdks_own_tasks_do_not_look_nested_for_ever(instrument, receiver):
    """The SDK starts its worker inside the first capture, and the worker keeps that context for ever."""
    observed = instrument()
    sent = []

    def before_send(message: dict[str, Any]) -> dict[str, Any]:
        if message["event"] == "outer":
            sent.append(holder[0].capture("inner", distinct_id="u1"))
        return message

    holder: list[Any] = []

    async def body(client: Any) -> None:
        holder.append(client)
        client.capture("outer", distinct_id="u1")
        await client.flush()

    run(receiver, body, before_send=before_send)
    assert sorted(observed.names) == ["capture inner", "capture outer"]
    assert all("posthog.event.count" not in span.attributes for span in observed.spans)


def test_tasks_keep_their_own_parent(instrument, receiver):
    observed = instrument()
    tracer = observed.tracer_provider.get_tracer("app")
    parents: dict[str, int] = {}

    async def visit(client: Any, name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            parents[f"capture {name}"] = span.get_span_context().span_id
            await asyncio.sleep(0)
            client.capture(name, distinct_id="u1")

    async def body(client: Any) -> None:
        await asyncio.gather(*(visit(client, f"task-{number}") for number in range(10)))

    run(receiver, body)
    captures = [span for span in observed.spans if span.name.startswith("capture")]
    assert {span.name: span.parent.span_id for span in captures} == parents


def test_the_sdks_warning_points_at_the_caller(instrument, receiver):
    instrument()
    caught: list[warnings.WarningMessage] = []

    async def body(client: Any) -> None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            client.capture("e", distinct_id="u1", send_feature_flags=True)
        caught.extend(found)

    run(receiver, body)
    assert [warning.filename for warning in caught if "send_feature_flags" in str(warning.message)] == [__file__]


def test_a_spent_budget_keeps_events_off_the_wire(instrument, receiver):
    limit = Budget(id="daily", limit=Decimal("0.00015"))
    observed = instrument(
        pricing_mode="list",
        ledger_url="memory://",
        ledger_wait_ms=10_000,
        governance_policy="enforced",
        budgets=[limit],
    )
    returned = []

    async def body(client: Any) -> None:
        for _ in range(3):
            returned.append(client.capture("e", distinct_id="u1", properties={"$process_person_profile": False}))
        returned.append(await client.capture_immediate("e", distinct_id="u1"))

    run(receiver, body)
    assert [uuid is None for uuid in returned] == [False, False, False, True]
    assert len(receiver.events()) == 3
    assert observed.spans[-1].attributes["genops.policy.result"] == "blocked"


def test_what_the_asynchronous_sdk_did_not_take_is_not_spent(instrument, receiver):
    limit = Budget(id="daily", limit=Decimal("0.00005"))
    instrument(
        pricing_mode="list",
        ledger_url="memory://",
        ledger_wait_ms=10_000,
        governance_policy="enforced",
        budgets=[limit],
    )

    async def body(client: Any) -> None:
        client.send = False
        for _ in range(5):
            client.capture("e", distinct_id="u1", properties={"$process_person_profile": False})
        client.send = True
        assert client.capture("e", distinct_id="u1", properties={"$process_person_profile": False})

    run(receiver, body)
    assert len(receiver.events()) == 1
