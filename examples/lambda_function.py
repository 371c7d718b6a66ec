"""An AWS Lambda function: what it captures has been delivered when it answers, cold or warm.

``python examples/lambda_function.py`` invokes it as Lambda would and shows what PostHog had when it answered; it needs
no account and no network, only ``pip install 'genops-otel-posthog[instruments,receiver]'``. In earnest, set
``POSTHOG_API_KEY`` in the function's configuration, and ``lambda_function.lambda_handler`` as its handler.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from time import monotonic
from types import SimpleNamespace
from typing import Any

from genops_otel_posthog.integrations.aws_lambda import governed_handler

# --- The function -----------------------------------------------------------------------------------------------------


def tenant_of(event: dict[str, Any], context: Any) -> str | None:
    """Whose an invocation is."""
    return event.get("tenant")


def process(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Counts the records of a stream."""
    for record in event["Records"]:
        context.analytics_session.capture_event(
            "lambda_processed", {"record_type": record["eventName"]}, f"lambda_{context.aws_request_id}"
        )
    return {"statusCode": 200, "body": json.dumps({"processed": len(event["Records"])})}


# What Lambda calls. The adapter is made here, while the environment starts, and serves all of its invocations. Run as a
# script, this module is the stage, and imports itself as Lambda would.
if __name__ != "__main__":
    lambda_handler = governed_handler(team="serverless-team", project="lambda-analytics", owner=tenant_of)(process)


# --- The stage --------------------------------------------------------------------------------------------------------


def context(number: int, seconds: float) -> Any:
    """What Lambda tells a handler of an invocation that may take so long."""
    deadline = monotonic() + seconds
    return SimpleNamespace(
        aws_request_id=f"invocation-{number}",
        get_remaining_time_in_millis=lambda: int((deadline - monotonic()) * 1000),
    )


def main() -> None:
    """Invokes the function, and looks at PostHog whenever it answers."""
    from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

    with LocalReceiver() as posthog:
        os.environ.update(environment_for(posthog.url), GENOPS_LEDGER_URL="memory://")
        function = import_module("lambda_function")  # a cold start
        for number, (start, tenant, kinds) in enumerate(
            (("cold", "acme", ["INSERT", "MODIFY"]), ("warm", "initech", ["REMOVE"])), start=1
        ):
            event = {"tenant": tenant, "Records": [{"eventName": kind} for kind in kinds]}
            answer = function.lambda_handler(event, context(number, seconds=3))
            print(f"{start}: answered {answer['body']}, and PostHog has")
            for received in posthog.events(distinct_id=f"lambda_invocation-{number}"):
                said = received.properties
                print(f"  {received.event} {said['record_type']} for {said['genops_customer_id']}")


if __name__ == "__main__":
    main()
