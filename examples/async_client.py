"""An asyncio application with ``AsyncPosthog``: each task's calls have their own customer, and their own cost.

Run it with ``python examples/async_client.py``; it needs ``pip install "posthog[async] >= 7.50"``, no PostHog account
and no network. It sends to a local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev``).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext

from posthog import AsyncPosthog

from genops_otel_posthog import auto_instrument, governance
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = os.environ.get("POSTHOG_API_KEY", "phc_local")
CARTS = {"acme": 3, "globex": 1, "initech": 2}


async def serve(client: AsyncPosthog, customer: str, orders: int) -> None:
    """Serves one customer, at the same time as the others."""
    async with governance(customer_id=customer):
        flags = await client.evaluate_flags(f"{customer}-user")
        for _ in range(orders):
            client.capture("order_completed", distinct_id=f"{customer}-user")
            await asyncio.sleep(0)  # the others get their turn
        if flags.is_enabled("receipts"):
            await client.capture_immediate("receipt_sent", distinct_id=f"{customer}-user")


async def work(url: str) -> None:
    """Serves all customers."""
    client = AsyncPosthog(KEY, host=url)
    await asyncio.gather(*(serve(client, customer, orders) for customer, orders in CARTS.items()))
    await client.shutdown()


def main() -> None:
    """Works, and shows whose events PostHog got and what they cost."""
    running = os.environ.get("POSTHOG_HOST")
    flag = {"id": 1, "key": "receipts", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver(flags=[flag]) as receiver:
        adapter = auto_instrument(KEY, "checkout", "web-shop", posthog_host=receiver.url, pricing_mode="list")
        asyncio.run(work(receiver.url))

        for customer in CARTS:
            costs = [
                event.properties["genops_cost_estimated"]
                for event in receiver.events(**{"property.genops_customer_id": customer})
            ]
            print(f"{customer:<8} {len(costs)} events, {costs.count(0)} of them free  ${sum(costs):.6f}")
        summary = adapter.get_cost_summary()
        print(f"\nThis process has used {summary['usage']} for ${summary['total_cost']:.6f}.")
        print(f"PostHog would bill    {receiver.bill().meters}")


if __name__ == "__main__":
    main()
