"""A shop tries a new button: what each variant sold, and what measuring it cost per visitor and per sale.

Run it with ``python examples/ecommerce.py``; it needs no PostHog account and no network. It sends to a local receiver
of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from decimal import Decimal

from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsPostHogAdapter
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

FLAG = {
    "key": "buy-button",
    "active": True,
    "filters": {
        "groups": [{"properties": [], "rollout_percentage": 100}],
        "multivariate": {
            "variants": [
                {"key": "control", "rollout_percentage": 50},
                {"key": "green", "rollout_percentage": 50},
            ]
        },
    },
}
VISITORS = 60
LIMIT = Decimal("0.05")


def main() -> None:
    """Lets visitors shop until the session has spent what the experiment may cost."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        receiver.set_flags([FLAG])
        adapter = GenOpsPostHogAdapter(
            os.environ.get("POSTHOG_API_KEY", "phc_local"),
            receiver.url,
            team="shop",
            project="checkout",
            governance_policy="enforced",
            pricing_mode="list",
            ledger_url="memory://",
        )
        with adapter.track_analytics_session("buy_button_experiment", budget_limit=LIMIT) as session:
            experiment = session.experiment("buy-button")
            visitors = 0
            try:
                for number in range(VISITORS):
                    visitor = f"visitor-{number}"
                    variant = experiment.assign(visitor)
                    experiment.capture("product_viewed", visitor, is_identified=False)
                    experiment.capture("cart_filled", visitor)
                    # The new button sells a little better.
                    if number % (3 if variant == "green" else 4) == 0:
                        experiment.convert(visitor, "purchase", "24.90")
                    visitors += 1
            except GenOpsBudgetExceededError as refusal:
                print(f"Stopped after {visitors} visitors: {refusal}\n")

        print(f"{'variant':<10}{'visitors':>9}{'sold':>6}{'rate':>8}{'cost':>11}{'per visitor':>13}{'per sale':>11}")
        for variant, report in experiment.report().items():
            sale = report["cost_per_conversion"]
            print(
                f"{variant:<10}{report['users']:>9}{report['conversions']:>6}{report['conversion_rate']:>8.0%}"
                f"{report['cost']:>11.6f}{report['cost_per_user']:>13.6f}{sale or 0:>11.6f}"
            )
        print(f"\nSold for ${session.conversion_value}, measured for ${session.total_cost:.6f} of ${LIMIT}")
        adapter.flush()
        print(f"PostHog received {len(receiver.events('purchase'))} purchases")
        adapter.close()


if __name__ == "__main__":
    main()
