"""The environment variables about spans that become events."""

from __future__ import annotations

import re
from string import Formatter
from typing import Final
from urllib.parse import urlsplit

from genops_otel_posthog.settings.budget_values import names_in_order
from genops_otel_posthog.settings.values import switch, text
from genops_otel_posthog.settings.variable import Variable

TRACE_URL_FIELDS: Final = ("trace_id", "span_id")


def trace_url_template(value: str) -> str:
    """The URL of a trace with ``{trace_id}``, and perhaps ``{span_id}``, in place of the ids."""
    if not value.startswith(("https://", "http://")):
        raise ValueError("it does not begin with https:// or http://")
    if not value.isprintable() or " " in value:
        raise ValueError("it holds a space or a control character")
    try:
        fields = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
    except ValueError:
        raise ValueError("its braces do not belong together") from None
    if "trace_id" not in fields:
        raise ValueError("it has no {trace_id}")
    if fields - set(TRACE_URL_FIELDS):
        raise ValueError("only {trace_id} and {span_id} can be filled in")
    return value


def posthog_project_url(value: str) -> str:
    """The address of a project in PostHog's web application, without a slash at its end."""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        raise ValueError("its address cannot be read") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("it does not begin with https:// or http:// and a host")
    if not value.isprintable() or " " in value or parts.query or parts.fragment:
        raise ValueError("it holds a space or a control character, or goes on with ? or #")
    if ".i.posthog.com" in host:
        raise ValueError("that is where events are sent to; give the address that a browser shows")
    if not re.fullmatch(r"(/.*)?/project/\w+", parts.path.rstrip("/")):
        raise ValueError("it does not end in /project/ and the number of the project")
    return value.rstrip("/")


def _patterns(name: str, field: str, meaning: str, default: str, example: str) -> Variable:
    return Variable(
        name,
        field,
        f"{meaning}, separated by commas; `*` and `?` as in file names, upper or lower case alike.",
        default,
        example,
        names_in_order,
    )


EXPORT_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GENOPS_EXPORT_SPANS",
        "export_spans",
        "Whether spans become PostHog events the moment they end, under `opentelemetry-instrument`, "
        "`auto_instrument()` or `PostHogInstrumentor`. `OTEL_TRACES_EXPORTER=…,posthog` is the other way; with both, "
        "each span is counted once.",
        "`false`",
        "true",
        switch,
    ),
    Variable(
        "GENOPS_DURABLE_CAPTURE",
        "durable_capture",
        "Whether the application's own events wait in the outbox until PostHog has them, instead of in the memory of "
        "the SDK.",
        "`false`",
        "true",
        switch,
    ),
    Variable(
        "GENOPS_SPAN_RULES",
        "span_rules",
        "TOML file with rules that say which spans become which events, asked before the built-in ones.",
        "–",
        "/etc/shop/span-rules.toml",
        text,
    ),
    Variable(
        "GENOPS_EXPORT_CONTENT",
        "export_content",
        "Whether prompts, answers, and the inputs and outputs of tools, where spans hold them, become properties of "
        "events.",
        "`false`",
        "true",
        switch,
    ),
    _patterns(
        "GENOPS_EXPORT_ALLOW_EVENTS",
        "allow_events",
        "Names of the events that may be made, all when not given",
        "–",
        "$ai_*,flow_*",
    ),
    _patterns(
        "GENOPS_EXPORT_DENY_EVENTS", "deny_events", "Names of the events that are not made", "`none`", "$exception"
    ),
    _patterns(
        "GENOPS_EXPORT_ALLOW_PROPERTIES",
        "allow_properties",
        "Properties that may leave, beside PostHog's own (`$…`) and those of this package (`genops_…`); all when not "
        "given",
        "–",
        "trace_id,plan,cart_*",
    ),
    _patterns(
        "GENOPS_EXPORT_DENY_PROPERTIES",
        "deny_properties",
        "Properties that do not leave, whoever made them; when not given, those with names of secrets, as `*password*`",
        "–",
        "*password*,*token*,email",
    ),
    Variable(
        "GENOPS_TRACE_URL_TEMPLATE",
        "trace_url_template",
        "Link to a trace, which every event then carries as `trace_url`: the address of your trace backend with "
        "`{trace_id}`, and perhaps `{span_id}`, in it.",
        "–",
        "https://jaeger.internal/trace/{trace_id}",
        trace_url_template,
    ),
    Variable(
        "GENOPS_POSTHOG_PROJECT_URL",
        "posthog_project_url",
        "Address of the project in PostHog's web application. Spans of captures then carry `posthog.event.url`, and "
        "with `GENOPS_RECORD_DISTINCT_ID=true` all spans whose person is known carry `posthog.person.url`.",
        "–",
        "https://eu.posthog.com/project/4711",
        posthog_project_url,
    ),
)
