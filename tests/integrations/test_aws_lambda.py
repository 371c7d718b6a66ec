"""AWS Lambda: AWS's own runtime client, frozen between invocations; and handlers that are called directly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from genops_otel_posthog import GenOpsPostHogAdapter, GenOpsValidationError
from genops_otel_posthog.integrations.aws_lambda import governed_handler
from genops_otel_posthog.receiver.server import LocalReceiver

from .lambda_service import LambdaService

pytestmark = pytest.mark.requirement("S4-71")

FUNCTION = """
import json
from genops_otel_posthog.integrations.aws_lambda import governed_handler

@governed_handler(team="serverless-team", project="lambda-analytics", environment="production",
                  owner=lambda event, context: event.get("tenant"))
def lambda_handler(event, context):
    for record in event["Records"]:
        context.analytics_session.capture_event(
            "lambda_processed", {"record_type": record}, distinct_id=f"lambda_{context.aws_request_id}")
    if event.get("fails"):
        raise ValueError("a record that nobody understands")
    return {"statusCode": 200, "body": json.dumps({"processed": len(event["Records"])})}
"""


def context(milliseconds: int = 30_000) -> Any:
    """What Lambda gives a handler."""
    return SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: milliseconds)


@pytest.mark.newest
@pytest.mark.requirement("E-16")
@pytest.mark.skipif(sys.platform != "linux", reason="AWS publishes its runtime client for Linux")
def test_everything_has_been_delivered_when_the_function_answers_cold_warm_and_with_an_error(
    receiver: LocalReceiver, tmp_path: Path
) -> None:
    pytest.importorskip("awslambdaric", reason="needs AWS's runtime client: it is in the extra `newest`")
    (tmp_path / "app.py").write_text(FUNCTION)
    variables = {"POSTHOG_API_KEY": "phc_lambda", "POSTHOG_HOST": receiver.url, "XDG_STATE_HOME": str(tmp_path)}

    def arrived() -> int:
        return len(receiver.events("lambda_processed", token="phc_lambda"))

    with LambdaService(tmp_path, arrived, **variables) as service:
        cold = service.invoke({"Records": ["INSERT", "MODIFY"], "tenant": "acme"})
        warm = service.invoke({"Records": ["REMOVE"], "tenant": "initech"})
        failed = service.invoke({"Records": ["???"], "fails": True})

    assert (cold.kind, json.loads(cold.body["body"]), cold.seen) == ("response", {"processed": 2}, 2), service.log
    assert (warm.kind, warm.seen) == ("response", 3)
    assert (failed.kind, failed.body["errorType"], failed.seen) == ("error", "ValueError", 4)
    events = receiver.events("lambda_processed", token="phc_lambda")
    customers = [event.properties.get("genops_customer_id") for event in events]
    assert customers == ["acme", "acme", "initech", None]
    assert {event.properties["genops_team"] for event in events} == {"serverless-team"}
    assert [event.distinct_id for event in events][:3] == ["lambda_invocation-1"] * 2 + ["lambda_invocation-2"]


def test_the_session_is_the_invocation_s_and_an_exception_marks_it(project: Any) -> None:
    @governed_handler(adapter=project.adapter)
    def handler(event: Any, context: Any) -> str:
        context.analytics_session.capture_event("order_completed", distinct_id="ann")
        if event:
            raise LookupError(event)
        return "done"

    assert handler({}, context()) == "done"
    with pytest.raises(LookupError):
        handler("no such basket", context())

    assert len(project.delivered("order_completed")) == 2
    done, failed = project.sessions()
    assert (done.name, done.status.status_code) == ("session lambda_execution", StatusCode.UNSET)
    assert (failed.status.status_code, failed.attributes["error.type"]) == (StatusCode.ERROR, "LookupError")


def test_baggage_and_trace_of_an_http_request_are_respected(project: Any) -> None:
    @governed_handler(adapter=project.adapter)
    def handler(event: Any, context: Any) -> None:
        context.analytics_session.capture_event("order_completed", distinct_id="ann")

    headers = {
        "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Baggage": "genops.customer_id=acme",
    }
    handler({"headers": headers}, context())
    handler({"headers": None}, context())
    handler(["an event of another kind"], context())

    assert project.customers("order_completed") == ["acme", None, None]
    assert f"{project.sessions()[0].context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_waiting_ends_before_the_deadline_and_what_is_left_is_said(
    project: Any, receiver: LocalReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []

    class Slow(GenOpsPostHogAdapter):
        def flush(self, timeout: float = 10.0) -> bool:
            waited.append(timeout)
            return False

    @governed_handler(adapter=Slow(**project.options), flush_seconds=5, reserve_seconds=0.5)
    def handler(event: Any, context: Any) -> str:
        return "done"

    assert handler({}, context(milliseconds=1_500)) == "done"
    assert handler({}, context(milliseconds=100)) == "done"
    assert handler({}, context(milliseconds=60_000)) == "done"

    until_the_deadline, too_late, at_most = waited
    assert 0.5 < until_the_deadline <= 1.0
    assert too_late == 0
    assert 1.0 < at_most <= 5.0
    assert "Not everything was delivered before the invocation ended" in caplog.text
    assert "GENOPS_DURABLE_CAPTURE=true" in caplog.text


def test_a_handler_can_be_called_without_a_context(project: Any) -> None:
    @governed_handler(adapter=project.adapter)
    def handler(event: Any, context: Any) -> str:
        project.adapter.capture_event_with_governance("order_completed", distinct_id="ann")
        return "done"

    assert handler({}, None) == "done"
    assert len(project.delivered("order_completed")) == 1
    assert len(project.sessions()) == 1


def test_a_coroutine_function_is_refused_because_lambda_would_not_await_it(project: Any) -> None:
    async def handler(event: Any, context: Any) -> None: ...

    with pytest.raises(GenOpsValidationError, match=r"asyncio\.run"):
        governed_handler(adapter=project.adapter)(handler)


@pytest.mark.newest
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="AWS publishes its runtime client for Linux")
def test_what_posthog_did_not_take_is_on_disk_when_the_function_answers_and_delivered_by_the_next(
    receiver: LocalReceiver, tmp_path: Path
) -> None:
    """PostHog is away, and the environment is reclaimed at once; the next one has the same ``/tmp``, for the test."""
    pytest.importorskip("awslambdaric", reason="needs AWS's runtime client: it is in the extra `newest`")
    (tmp_path / "app.py").write_text(FUNCTION)
    variables = {
        "POSTHOG_API_KEY": "phc_durable",
        "POSTHOG_HOST": receiver.url,
        "XDG_STATE_HOME": str(tmp_path),
        "GENOPS_DURABLE_CAPTURE": "true",
        "GENOPS_OUTBOX_PATH": str(tmp_path / "outbox"),
    }

    with receiver.fail("capture", status=503), LambdaService(tmp_path, lambda: None, **variables) as service:
        answered = service.invoke({"Records": ["INSERT", "MODIFY"]}, seconds=1.5)
        assert "Not everything was delivered before the invocation ended" in service.log
    assert (answered.kind, receiver.events("lambda_processed", token="phc_durable")) == ("response", [])

    with LambdaService(tmp_path, lambda: None, **variables) as service:
        service.invoke({"Records": ["REMOVE"]})
    events = receiver.events("lambda_processed", token="phc_durable")
    assert [event.properties["record_type"] for event in events] == ["INSERT", "MODIFY", "REMOVE"]
