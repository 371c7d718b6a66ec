"""From what arrived at a receiver to the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from genops_otel_posthog.demo.evidence import read_figures
from genops_otel_posthog.demo.exported import ExportedEvent
from genops_otel_posthog.demo.figures import Figures, FlagLine, MeterLine
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

TRACE = "0af7651916cd43dd8448eb211c80319c"
BEGIN = 1_780_000_000_000_000_000


@pytest.fixture(scope="module")
def running() -> Iterator[LocalReceiver]:
    flags = [{"key": "a-flag", "filters": {"groups": [{"rollout_percentage": 100}]}}]
    with LocalReceiver(flags=flags) as receiver:
        yield receiver


@pytest.fixture
def receiver(running: LocalReceiver) -> LocalReceiver:
    running.clear()
    return running


def post(receiver: LocalReceiver, path: str, content: object) -> None:
    body = json.dumps(content).encode()
    with urlopen(Request(receiver.url + path, body, {"Content-Type": "application/json"})) as answer:
        answer.read()


def value(given: object) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    return {"doubleValue": given} if isinstance(given, float) else {"stringValue": given}


def attributes(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in given.items()]


def span(name: str, number: int, *, parent: int = 0, trace: str = TRACE, kind: int = 4, **given: Any) -> dict[str, Any]:
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(BEGIN + number),
        "endTimeUnixNano": str(BEGIN + number + 1_000_000),
        "attributes": attributes({key.replace("__", "."): one for key, one in given.items()}),
    }


def call(
    name: str, number: int, meter: str | None, usd: float, *, units: int = 1, parent: int = 0, **given: Any
) -> dict[str, Any]:
    """A span as the instrumentation makes it."""
    billed = {} if meter is None else {"genops__cost__meter": meter}
    return span(
        name,
        number,
        parent=parent,
        genops__provider="posthog",
        genops__cost__amount=usd,
        genops__cost__list_amount=0.00005,
        genops__cost__units=units if meter else 0,
        genops__cost__price_book=DEFAULT_PRICE_BOOK,
        **billed,
        **given,
    )


def send_spans(receiver: LocalReceiver, *spans: dict[str, Any]) -> None:
    post(receiver, "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


def send_metric(receiver: LocalReceiver, name: str, *values: tuple[str, str, float]) -> None:
    points = [
        {
            "attributes": attributes({"genops.cost.meter": meter, "genops.team": team}),
            "timeUnixNano": str(BEGIN),
            "asDouble": number,
        }
        for meter, team, number in values
    ]
    metric = {"name": name, "sum": {"dataPoints": points, "aggregationTemporality": 2, "isMonotonic": True}}
    post(receiver, "/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})


def send_event(receiver: LocalReceiver, name: str, uuid: str, *, identified: bool = True) -> None:
    properties = {} if identified else {"$process_person_profile": False}
    event = {"event": name, "distinct_id": f"user of {uuid}", "uuid": uuid, "properties": properties}
    post(receiver, "/batch/", {"api_key": "phc_demo", "batch": [event]})


def figures_of(receiver: LocalReceiver, requests: int = 1, **usage_to_date: int) -> Figures:
    return read_figures(receiver, usage_to_date, DEFAULT_PRICE_BOOK, requests=requests, telemetry=True, events=True)


def test_an_identified_event_is_a_unit_of_two_meters(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("capture a", 1, "events", 0.000248, posthog__event__identified=True))

    units = {line.meter: line.span_units for line in figures_of(receiver).meters}

    assert units == {"events": 1, "identified_events": 1}


def test_an_anonymous_event_is_a_unit_of_one(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("capture a", 1, "events", 0.00005, posthog__event__identified=False))

    assert {line.meter for line in figures_of(receiver).meters} == {"events"}


def test_a_metric_is_summed_over_its_owners(receiver: LocalReceiver) -> None:
    send_metric(receiver, "genops.usage", ("events", "growth", 2), ("events", "checkout", 3))
    send_metric(receiver, "genops.cost.usage", ("events", "growth", 0.0001), ("events", "checkout", 0.00015))

    assert figures_of(receiver).meters == (MeterLine("events", 0, 5, 0, 250_000, 0),)


def test_the_bill_begins_where_the_month_stood(receiver: LocalReceiver) -> None:
    for _ in range(3):
        send_event(receiver, "a", str(uuid4()), identified=False)

    (line,) = figures_of(receiver, events=999_999).meters

    assert (line.billed_units, line.billed_nano) == (3, 2 * 50_000)


def test_an_event_that_did_not_arrive_is_lost(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("capture a", 1, "events", 0.0, posthog__event__uuid=str(uuid4())))

    figures = figures_of(receiver)

    assert figures.lost_events == 1
    assert "1 events were sent and did not arrive" in figures.problems


def test_an_event_that_arrived_is_not_lost(receiver: LocalReceiver) -> None:
    uuid = str(uuid4())
    send_spans(receiver, call("capture a", 1, "events", 0.0, posthog__event__uuid=uuid))
    send_event(receiver, "a", uuid)

    assert (figures_of(receiver).lost_events, figures_of(receiver).unseen_events) == (0, 0)


def test_a_billable_event_without_a_span_is_noticed(receiver: LocalReceiver) -> None:
    send_event(receiver, "a", str(uuid4()))

    assert figures_of(receiver).unseen_events == 1


def test_the_sdk_s_free_flag_event_needs_no_span(receiver: LocalReceiver) -> None:
    send_event(receiver, "$feature_flag_called", str(uuid4()))

    assert figures_of(receiver).unseen_events == 0


def test_costs_are_grouped_by_owner_and_by_what_bills_them(receiver: LocalReceiver) -> None:
    growth = {"genops__team": "growth", "genops__project": "onboarding"}
    send_spans(
        receiver,
        call("capture a", 1, "events", 0.0, **growth),
        call("capture b", 2, "events", 0.00005, **growth),
        call("evaluate_flags", 3, "feature_flag_requests", 0.0001, **growth),
        call("capture c", 4, "events", 0.00005),
    )

    spans = figures_of(receiver).spans

    assert spans is not None
    assert [(line.team, line.meters, line.calls, line.free, line.amount_nano) for line in spans.costs] == [
        ("", ("events",), 1, 0, 50_000),
        ("growth", ("events",), 2, 1, 50_000),
        ("growth", ("feature_flag_requests",), 1, 0, 100_000),
    ]
    assert spans.amount_nano == 200_000


def test_a_call_that_is_not_billed_is_in_no_cost_line(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("evaluate_flag a", 1, None, 0.0, posthog__flags__locally_evaluated=True))

    figures = figures_of(receiver)

    assert figures.spans is not None
    assert figures.spans.costs == ()
    assert figures.flags == (FlagLine("local", 1, 0),)


def test_customers_come_with_the_largest_first(receiver: LocalReceiver) -> None:
    send_spans(
        receiver,
        call("capture a", 1, "events", 0.0, genops__customer_id="acme"),
        call("capture a", 2, "events", 0.0, genops__customer_id="globex"),
        call("capture a", 3, "events", 0.00005, genops__customer_id="globex"),
    )

    spans = figures_of(receiver).spans

    assert spans is not None
    assert spans.customers == (("globex", 50_000, 100_000), ("acme", 0, 50_000))


def test_the_trace_with_the_most_different_calls_is_shown_as_a_tree(receiver: LocalReceiver) -> None:
    other = "1af7651916cd43dd8448eb211c80319c"
    send_spans(
        receiver,
        span("GET /", 9, trace=other, kind=2),
        {**call("capture $pageview", 10, "events", 0.00005, parent=9), "traceId": other},
        span("POST /orders", 1, kind=2),
        call("evaluate_flags", 2, "feature_flag_requests", 0.0001, parent=1),
        call("capture order_completed", 3, "events", 0.00005, parent=1),
    )

    figures = figures_of(receiver)

    assert figures.spans is not None
    assert (figures.spans.trace_id, figures.spans.trace.name, figures.spans.trace.kind) == (
        TRACE,
        "POST /orders",
        "server",
    )
    assert [one.name for one in figures.spans.trace.calls] == ["evaluate_flags", "capture order_completed"]
    assert figures.spans.requests == 2


def test_flag_requests_are_counted_where_they_arrived(receiver: LocalReceiver) -> None:
    post(receiver, "/flags/?v=2", {"token": "phc_demo", "distinct_id": "somebody"})

    assert figures_of(receiver).flags == (FlagLine("remote", 1, 1),)


def test_what_went_elsewhere_is_not_asked_for(receiver: LocalReceiver) -> None:
    send_event(receiver, "a", str(uuid4()))

    figures = read_figures(receiver, {}, DEFAULT_PRICE_BOOK, requests=1, telemetry=False, events=True)

    assert figures.spans is None
    assert figures.problems == ()
    assert {(line.span_units, line.metric_units) for line in figures.meters} == {(None, None)}


EXPORTED = ExportedEvent(
    uuid="3f0c9d6e-8a55-8a4e-9d5c-0242ac120002",
    name="$ai_generation",
    trace_id=TRACE,
    properties={"genops_team": "support", "genops_customer_id": "acme", "genops_cost_estimated": 0.00035},
    model_cost_nano=124_000,
)


def figures_with(receiver: LocalReceiver, *exported: ExportedEvent, **usage_to_date: int) -> Figures:
    return read_figures(
        receiver, usage_to_date, DEFAULT_PRICE_BOOK, requests=1, telemetry=True, events=True, exported=exported
    )


def test_an_event_that_a_span_became_is_counted_beside_the_calls(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("capture a", 1, "events", 0.00005))
    send_event(receiver, "$ai_generation", EXPORTED.uuid)

    figures = figures_with(receiver, EXPORTED, llm_events=100_000)

    assert figures.spans is not None
    assert [(line.team, line.meters, line.calls, line.amount_nano, line.list_nano) for line in figures.spans.costs] == [
        ("", ("events",), 1, 50_000, 50_000),
        ("support", ("llm_events",), 1, 350_000, 350_000),
    ]
    assert (figures.spans.amount_nano, figures.spans.customers) == (400_000, (("acme", 350_000, 350_000),))
    (line,) = [line for line in figures.meters if line.meter == "llm_events"]
    assert (line.span_units, line.billed_units, line.billed_nano) == (1, 1, 350_000)


def test_an_event_that_a_span_became_is_lost_when_it_did_not_arrive_and_known_when_it_did(
    receiver: LocalReceiver,
) -> None:
    assert (figures_with(receiver, EXPORTED).lost_events, figures_with(receiver, EXPORTED).unseen_events) == (1, 0)
    send_event(receiver, "$ai_generation", EXPORTED.uuid)
    assert (figures_with(receiver, EXPORTED).lost_events, figures_with(receiver, EXPORTED).unseen_events) == (0, 0)


def test_everybodys_budget_pays_for_calls_exported_events_and_models(receiver: LocalReceiver) -> None:
    send_spans(receiver, call("capture a", 1, "events", 0.00005))
    point = {"attributes": attributes({"genops.budget.id": "all", "genops.budget.period": "month"}), "asDouble": 1.0}
    metric = {"name": "genops.budget.limit", "gauge": {"dataPoints": [{**point, "timeUnixNano": str(BEGIN)}]}}
    post(receiver, "/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})

    (budget,) = figures_with(receiver, EXPORTED).budgets

    assert budget.cost_nano == 50_000 + 350_000 + 124_000
