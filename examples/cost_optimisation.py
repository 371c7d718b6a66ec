"""From a day of traffic to a plan: what a month will cost, how it could cost less, and whether it pays.

Run it with ``python examples/cost_optimisation.py``; it needs no PostHog account and no network. It sends to a local
receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from decimal import Decimal

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.pricing.forecast import forecast
from genops_otel_posthog.pricing.roi import return_on_investment
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

FLAG = {"key": "beta", "active": True, "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]}}
MONTH = 6_000_000


def a_day(adapter: GenOpsPostHogAdapter) -> None:
    """What is observed: four people in five are looked up as persons, and flags are asked for again and again."""
    for number in range(40):
        person = f"user-{number % 20}"
        adapter.evaluate_feature_flag_with_governance("beta", person)
        for name in ("page_view", "button_click", "report_opened"):
            adapter.capture_event_with_governance(name, None, person, is_identified=number % 5 != 0)
    adapter.record_session_recording(4)


def main() -> None:
    """Observes, projects, advises."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        receiver.set_flags([FLAG])
        adapter = GenOpsPostHogAdapter(
            os.environ.get("POSTHOG_API_KEY", "phc_local"),
            receiver.url,
            team="finops",
            project="analytics",
            ledger_url="memory://",
        )
        a_day(adapter)
        adapter.flush()
        analysis = adapter.get_volume_discount_analysis(projected_monthly_events=MONTH)
        cost = analysis["projected_monthly_cost"]
        print(f"{MONTH:,} events a month cost ${cost:,.2f}, ${analysis['cost_per_event']:.7f} each")
        print(f"The next event is in the tier {analysis['tier']['current_tier']}\n")

        best = 0.0
        for advice in analysis["optimization_recommendations"]:
            best = max(best, advice["potential_savings_per_month"])
            print(f"{advice['optimization_type']} (priority {advice['priority_score']:.0f} of 100)")
            print(f"  {advice['arithmetic']}")
            print(f"  {advice['how']}")

        print("\nGrowing by 10 % a month, with a buffer of 20 %:")
        year = forecast(Decimal(str(cost)), Decimal("0.10"), 12)
        print(f"  month 12 ${year.months[-1]:,.2f}, the year ${year.total:,.2f}, budget ${year.total_with_buffer:,.2f}")
        paid = return_on_investment(
            annual_value=Decimal(str(best)) * 12, annual_analytics_cost=0, implementation_hours=40, hourly_rate=75
        )
        months = "never" if paid.payback_months is None else f"after {paid.payback_months:.1f} months"
        print(f"Forty hours at $75 for the best of these pay back {months}; ${paid.annual_net_benefit:,.2f} a year")
        adapter.close()


if __name__ == "__main__":
    main()
