"""The back end of an app: events come in heaps, hours late, and most of them matter little.

They are captured in batches with the times at which they happened; views and clicks as a sample that stands for all,
purchases always.

Run it with ``python examples/mobile_backend.py``; it needs no PostHog account and no network. It sends to a local
receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.batch import BatchEventProcessor
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

PHONES = 100
YESTERDAY = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)


def upload(phone: int) -> list[tuple[str, datetime]]:
    """What a phone has gathered while it was offline."""
    began = YESTERDAY + timedelta(minutes=phone)
    names = ["page_view"] * 6 + ["button_click"] * 3 + (["purchase"] if phone % 10 == 0 else [])
    return [(name, began + timedelta(seconds=place)) for place, name in enumerate(names)]


def main() -> None:
    """Takes the uploads of a hundred phones."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        adapter = GenOpsPostHogAdapter(
            os.environ.get("POSTHOG_API_KEY", "phc_local"),
            receiver.url,
            team="mobile-analytics",
            project="ios-app",
            cost_center="mobile_development",
            tags={"platform": "ios", "app_version": "2.1.0", "cost_optimization": "aggressive"},
            pricing_mode="list",
            ledger_url="memory://",
        )
        happened: Counter[str] = Counter()
        with BatchEventProcessor(adapter, batch_size=250) as batch:
            for phone in range(PHONES):
                for name, moment in upload(phone):
                    happened[name] += 1
                    batch.add_event(name, {"phone": phone}, f"phone-{phone}", timestamp=moment)
        adapter.flush()

        print(f"{'event':<14}{'happened':>9}{'sent':>6}{'stands for':>12}")
        for name, count in happened.items():
            events = receiver.events(name)
            weight = sum(1 / event.properties.get("genops_sample_rate", 1) for event in events)
            print(f"{name:<14}{count:>9}{len(events):>6}{weight:>12.0f}")
        first = min(receiver.events(), key=lambda event: event.timestamp)
        print(f"The oldest event is of {first.timestamp[:10]}, from {first.properties['genops_tag_platform']}")
        summary = adapter.get_cost_summary()
        print(f"Cost: ${summary['daily_costs']:.6f} instead of ${sum(happened.values()) * 0.00005:.6f}")
        adapter.close()


if __name__ == "__main__":
    main()
