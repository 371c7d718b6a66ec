"""One trace id in every system: what each of them has of the request that asked the assistant, and whether it is all.

The request became spans; some of them became events; every event went to PostHog, to RudderStack and into a database.
A system that is not on this machine is not asked, and its part is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.request import ProxyHandler, build_opener

from genops_otel_posthog import semconv
from genops_otel_posthog.demo.exported import ExportedEvent
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.records import ReceivedSpan

TOLD = ("rag_query_triggered", "tool_used", "$ai_generation", "agent_execution", "flow_executed", "$exception")
"""What the assistant's request must have become, at least: a search, tools, a model, the agent, its flow, an error."""

_LIBRARY = (
    "genops-otel-posthog"  # what the exporter names itself; the rest of the request's events are of PostHog's SDK
)


@dataclass(frozen=True)
class OneTrace:
    """What the systems have of one trace.

    Attributes:
        trace_id: 32 hexadecimal digits; empty when nothing was exported.
        request: Name of its first span; empty where traces are elsewhere.
        spans: How many spans the trace backend has; ``None``: it is elsewhere.
        failed_spans: How many of them ended in an error.
        events: How many events of each name its spans became.
        posthog: How many events of them PostHog has; ``None``: it is elsewhere.
        sdk_events: How many events of PostHog's own SDK carry the trace id, too.
        rudderstack: How many messages RudderStack has.
        database: How many rows each table has.
        models: The models that were asked.
        model_cost_nano: What they cost, nano-USD; 0 where that is not known.
        trace_url: The link to the trace that the events carry; empty where they carry none.
        problems: What is missing, or there twice.
    """

    trace_id: str
    request: str
    spans: int | None
    failed_spans: int
    events: Counter[str]
    posthog: int | None
    sdk_events: int
    rudderstack: int
    database: Counter[str]
    models: tuple[str, ...]
    model_cost_nano: int
    trace_url: str
    problems: tuple[str, ...]


def read_one_trace(
    receiver: ReceiverClient, exported: Sequence[ExportedEvent], *, telemetry: bool, events: bool
) -> OneTrace:
    """Looks for the assistant's trace in every system that is on this machine.

    Args:
        receiver: Stands for RudderStack, and for what else is here.
        exported: What the database has.
        telemetry: Whether traces went to the receiver.
        events: Whether events went to the receiver.
    """
    trace_id = next((event.trace_id for event in exported if event.name == "flow_executed"), "")
    logged = [event for event in exported if event.trace_id == trace_id]
    spans = receiver.spans(trace_id=trace_id) if telemetry and trace_id else []
    arrived = receiver.events(**{f"property.{semconv.PROPERTY_DOLLAR_TRACE_ID}": trace_id}) if events else None
    messages = receiver.rudder_messages(trace_id=trace_id) if trace_id else []
    trace_url = next((str(event.properties.get("trace_url", "")) for event in logged), "")
    problems = [f"no {name} of the assistant's request is in the database" for name in _missing(logged)]
    if telemetry:
        problems += _span_problems(spans, logged)
        problems += _link_problems(trace_url, len(spans))
    of_spans = [one.uuid for one in arrived or () if one.properties.get("$lib") == _LIBRARY]
    if arrived is not None:
        problems += _differences("PostHog", of_spans, logged)
    problems += _differences("RudderStack", [one.message_id for one in messages], logged)
    return OneTrace(
        trace_id=trace_id,
        request=next((span.name for span in spans if span.parent_span_id is None), ""),
        spans=len(spans) if telemetry else None,
        failed_spans=sum(span.status == "error" for span in spans),
        events=Counter(event.name for event in logged),
        posthog=None if arrived is None else len(of_spans),
        sdk_events=len(arrived or ()) - len(of_spans),
        rudderstack=len(messages),
        database=Counter(table for event in logged for table in event.tables),
        models=tuple(
            sorted({str(event.properties["$ai_model"]) for event in logged if event.name == "$ai_generation"})
        ),
        model_cost_nano=sum(event.model_cost_nano for event in logged),
        trace_url=trace_url,
        problems=tuple(problems),
    )


def _missing(logged: Iterable[ExportedEvent]) -> list[str]:
    names = {event.name for event in logged}
    return [name for name in TOLD if name not in names]


def _span_problems(spans: Iterable[ReceivedSpan], logged: Iterable[ExportedEvent]) -> list[str]:
    arrived = {span.span_id for span in spans}
    strays = sorted({event.name for event in logged if event.span_id not in arrived})
    return [f"{name} names a span that the trace backend does not have" for name in strays]


def _link_problems(trace_url: str, spans: int) -> list[str]:
    """Follows the link that the events carry, as a reader of one would."""
    try:
        with build_opener(ProxyHandler({})).open(trace_url) as answer:  # loopback is never behind a proxy
            found = json.load(answer)["spans"]
    except (OSError, ValueError) as problem:
        return [f"the link {trace_url!r} on the events leads nowhere: {problem}"]
    return [] if found == spans else [f"the link {trace_url} on the events shows {found} spans of {spans}"]


def _differences(system: str, arrived: Sequence[str], logged: Iterable[ExportedEvent]) -> list[str]:
    """Whether a system has the events that the database has, each once."""
    names = {event.uuid: event.name for event in logged}
    times = Counter(arrived)
    return [
        *(f"{system} has {times[uuid]} of {name}" for uuid, name in names.items() if times[uuid] != 1),
        *(f"{system} has an event {uuid} that the database does not have" for uuid in times.keys() - names.keys()),
    ]
