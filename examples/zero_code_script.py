"""A script that knows nothing of OpenTelemetry, and what it cost.

Run it with ``python examples/zero_code_script.py``; it needs no PostHog account and no network. It starts a local
receiver that stands for PostHog and for a tracing backend, runs itself under ``opentelemetry-instrument``, and shows
what arrived. The application is :func:`application`; everything else is the stage.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from genops_otel_posthog.receiver.server import LocalReceiver, environment_for


def application() -> None:
    """Uses PostHog as it would without us."""
    import posthog

    posthog.api_key = os.environ["POSTHOG_API_KEY"]
    posthog.host = os.environ["POSTHOG_HOST"]

    posthog.capture("user_signed_up", distinct_id="ann", properties={"plan": "pro"})
    posthog.capture("page_viewed")  # nobody is named, so this is an anonymous event, which costs less
    posthog.set(distinct_id="ann", properties={"name": "Ann"})
    try:
        raise TimeoutError("the payment provider did not answer")
    except TimeoutError as error:
        posthog.capture_exception(error, distinct_id="ann")
    posthog.get_all_flags("ann")


def main() -> None:
    """Sets the stage, and shows what arrived."""
    flag = {"id": 1, "key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 50}]}}
    with LocalReceiver(flags=[flag]) as receiver:
        settings = {
            **environment_for(receiver.url),
            "OTEL_SERVICE_NAME": "sign-up",
            "GENOPS_TEAM": "growth",
            "GENOPS_PROJECT": "onboarding",
            "GENOPS_PRICING_MODE": "list",  # what it costs once the free tier is used up
        }
        command = Path(sys.executable).with_name("opentelemetry-instrument")
        subprocess.run([command, sys.executable, __file__, "--application"], env={**os.environ, **settings}, check=True)

        print(f"{'span':<28}{'cost':>12}  {'meter':<24}team")
        for span in receiver.spans(scope="genops_otel_posthog"):
            cost, meter = span.attributes["genops.cost.amount"], span.attributes["genops.cost.meter"]
            print(f"{span.name:<28}{f'${cost:.6f}':>12}  {meter:<24}{span.attributes['genops.team']}")
        total = sum(series.value or 0 for series in receiver.metrics("genops.cost.usage"))
        print(f"\nThe metric genops.cost.usage says ${total:.6f}.")
        print("PostHog would bill", ", ".join(f"{units} {meter}" for meter, units in receiver.bill().meters.items()))


if __name__ == "__main__":
    application() if "--application" in sys.argv else main()
