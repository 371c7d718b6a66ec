"""A sign-up from the first page to the first team mate: what each step costs, and what a customer costs in all.

Run it with ``python examples/onboarding.py``; it needs no PostHog account and no network. It sends to a local receiver
of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

STEPS = ("landing_page_viewed", "signup_started", "email_confirmed", "workspace_created", "teammate_invited")
FLAG = {"key": "short-signup", "active": True, "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]}}


def onboard(adapter: GenOpsPostHogAdapter, customer: str, person: str) -> float:
    """One person of a customer signs up. Returns what that cost."""
    with adapter.track_analytics_session("onboarding", customer_id=customer, plan="trial") as session:
        is_short, asked = session.evaluate_feature_flag("short-signup", person)
        print(f"  {'short-signup is ' + str(is_short):<28} ${asked['cost']:.6f}")
        for step in STEPS:
            # Until the e-mail is confirmed, nobody looks the person up: an anonymous event costs a fifth.
            is_person = step not in {"landing_page_viewed", "signup_started"}
            result = session.capture_event(step, {"short": is_short}, person, is_person)
            print(f"  {step:<28} ${result['cost']:.6f}  {'identified' if is_person else 'anonymous'}")
        session.record_conversion("signup_completed", 49, person)
    print(
        f"  in all ${session.total_cost:.6f} for {session.events_captured} events worth ${session.conversion_value}\n"
    )
    return session.total_cost


def main() -> None:
    """Two customers sign up."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        receiver.set_flags([FLAG])
        adapter = GenOpsPostHogAdapter(
            os.environ.get("POSTHOG_API_KEY", "phc_local"),
            receiver.url,
            team="growth",
            project="onboarding",
            pricing_mode="list",  # as if the free tier were used up
            ledger_url="memory://",
        )
        for customer, person in (("acme", "ada"), ("globex", "bob")):
            print(f"{person} of {customer}")
            onboard(adapter, customer, person)
        adapter.flush()

        print("PostHog knows whose each event is:")
        for customer in ("acme", "globex"):
            events = [
                event
                for event in receiver.events()
                if event.properties["genops_customer_id"] == customer and event.event != "$feature_flag_called"
            ]
            print(f"  {customer}: {len(events)} events, and the flag's own")
        adapter.close()


if __name__ == "__main__":
    main()
