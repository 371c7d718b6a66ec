"""Twelve thousand events within a minute: a tenth of them stands for all, and no sale or error is left out.

Run it with ``python examples/black_friday.py``; it needs no PostHog account and no network. It sends to a local
receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import nullcontext
from typing import Any

from genops_otel_posthog.adapter.high_volume import ScalablePostHogAnalytics
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

EVENTS = 12_000


def burst() -> list[dict[str, Any]]:
    """What happens: mostly views, sometimes a purchase, now and then an error."""

    def name(number: int) -> str:
        if number % 100 == 0:
            return "purchase"
        return "payment_error" if number % 250 == 1 else ("page_view", "add_to_cart")[number % 3 == 0]

    return [
        {"event_name": name(number), "properties": {"n": number}, "distinct_id": f"shopper-{number % 4000}"}
        for number in range(EVENTS)
    ]


def main() -> None:
    """Lets the burst in, twice."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        analytics = ScalablePostHogAnalytics(
            {
                "posthog_api_key": os.environ.get("POSTHOG_API_KEY", "phc_local"),
                "posthog_host": receiver.url,
                "team": "shop",
                "project": "black-friday",
                "pricing_mode": "list",
                "ledger_url": "memory://",
            }
        )
        events = burst()
        results = asyncio.run(analytics.process_high_volume_events(events))
        analytics.base_adapter.flush(30)

        happened, sent = (
            Counter(event["event_name"] for event in events),
            Counter(each["event_name"] for each in results),
        )
        print(f"{'event':<16}{'happened':>9}{'sent':>7}{'stands for':>12}")
        for name, count in happened.most_common():
            weight = sum(
                1 / each["properties"].get("genops_sample_rate", 1) for each in results if each["event_name"] == name
            )
            print(f"{name:<16}{count:>9}{sent[name]:>7}{weight:>12.0f}")
        print(f"Cost ${sum(each['cost'] for each in results):.4f} instead of ${len(events) * 0.00005:.4f}")
        print(f"PostHog received {receiver.bill().meters['events']:,} of them")
        again = asyncio.run(analytics.process_high_volume_events(events))
        same = [each["properties"]["n"] for each in results] == [each["properties"]["n"] for each in again]
        print(f"A second time the same shoppers are chosen: {same}")
        analytics.close()
        analytics.base_adapter.close()


if __name__ == "__main__":
    main()
