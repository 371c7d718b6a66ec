"""An asyncio application with ``AsyncPosthog`` under ``opentelemetry-instrument``."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.wheel

APPLICATION = """
import asyncio
import os

from opentelemetry import trace
from posthog import AsyncPosthog

from genops_otel_posthog import governance

tracer = trace.get_tracer("shop")


async def serve(client, customer):
    with tracer.start_as_current_span(f"request of {customer}"):
        async with governance(customer_id=customer):
            client.capture("cart_opened", distinct_id=customer)
            await asyncio.sleep(0)
            flags = await client.evaluate_flags(customer)
            if flags.is_enabled("new-checkout"):
                await client.capture_immediate("order_completed", distinct_id=customer)


async def main():
    client = AsyncPosthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
    await asyncio.gather(*(serve(client, customer) for customer in ("acme", "globex", "initech")))
    await client.shutdown()


asyncio.run(main())
"""

CUSTOMERS = ("acme", "globex", "initech")


@pytest.fixture(scope="module")
def application(launch: Any, beside_the_wheel: Any) -> Any:
    beside_the_wheel("posthog >= 7.50", "httpx")
    return launch(APPLICATION, GENOPS_TEAM="checkout").succeed()


def test_it_notices_nothing(application: Any) -> None:
    assert (application.out, application.err) == ("", "")


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_the_calls_of_a_task_are_in_its_own_trace_and_have_its_own_owner(application: Any, customer: str) -> None:
    (request,) = [span for span in application.all_spans() if span.name == f"request of {customer}"]
    children = [span for span in application.spans() if span.parent_span_id == request.span_id]

    assert sorted(span.name for span in children) == [
        "capture $feature_flag_called",  # made by the SDK when the answer is read, and not billed
        "capture cart_opened",
        "capture order_completed",
        "evaluate_flags",
    ]
    assert {span.attributes["genops.customer_id"] for span in children} == {customer}


def test_events_carry_the_owner_of_their_task(application: Any) -> None:
    assert {(event.distinct_id, event.properties["genops_customer_id"]) for event in application.events()} == {
        (customer, customer) for customer in CUSTOMERS
    }


def test_the_estimate_is_the_bill(application: Any) -> None:
    assert application.usage() == application.bill()
    assert application.bill() == {"events": 6, "identified_events": 6, "feature_flag_requests": 3}
