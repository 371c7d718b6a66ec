"""A region goes down in the middle of a sale: the other one gets every order, once.

Run it with ``python examples/failover.py``; it needs no PostHog account and no network: both regions are receivers on
this machine. ``POSTHOG_HOST`` may name one that is running (``genops-posthog dev``) for the second region.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.failover import FailoverAdapter
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver


def region(name: str, role: str, host: str) -> GenOpsPostHogAdapter:
    """An adapter that sends to one region, and gives up soon."""
    return GenOpsPostHogAdapter(
        os.environ.get("POSTHOG_API_KEY", "phc_local"),
        host,
        team="ha-analytics",
        project="global-platform",
        environment=f"production-{role}",
        tags={"region": name, "ha_role": role},
        client_options={"max_retries": 0, "timeout": 2, "flush_at": 1},
        ledger_url="memory://",
    )


def main() -> None:
    """Takes orders while the first region fails and comes back."""
    running = os.environ.get("POSTHOG_HOST")
    with (
        LocalReceiver() as east,
        nullcontext(ReceiverClient(running)) if running else LocalReceiver() as west,
    ):
        orders = FailoverAdapter(
            region("us-east-1", "primary", east.url), region("us-west-2", "secondary", west.url), retry_seconds=3600
        )

        def take(number: int) -> None:
            result = orders.capture_event_with_governance("order_completed", {"order": number}, f"customer-{number}")
            print(f"  order {number} goes to {result['region']}")

        print("Both regions work:")
        for number in (1, 2):
            take(number)
        orders.flush()
        print("us-east-1 answers 503 from here on:")
        east.fail("capture", status=503)
        take(3)  # nobody knows yet; what the primary gives up is handed over
        west.wait_for_events(1)
        for number in (4, 5):
            take(number)
        orders.flush()

        print("Where the orders are:")
        for name, receiver in (("us-east-1", east), ("us-west-2", west)):
            print(f"  {name}: {sorted(event.properties['order'] for event in receiver.events('order_completed'))}")
        arrived = [event.uuid for receiver in (east, west) for event in receiver.events("order_completed")]
        print(f"{len(arrived)} orders, {len(set(arrived))} uuids; handed over: {orders.handed_over}")
        for adapter in (orders.primary, orders.secondary):
            adapter.close()


if __name__ == "__main__":
    main()
