"""The table of environment variables: what each is called, what it means and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from genops_otel_posthog.settings.budget_variables import BUDGET_VARIABLES
from genops_otel_posthog.settings.compliance_variables import COMPLIANCE_VARIABLES
from genops_otel_posthog.settings.destination_variables import DESTINATION_VARIABLES
from genops_otel_posthog.settings.export_variables import EXPORT_VARIABLES
from genops_otel_posthog.settings.service_variables import SERVICE_VARIABLES
from genops_otel_posthog.settings.values import (
    BAGGAGE_FIELDS,
    choice,
    host,
    names,
    names_or_switch,
    parse_tags,
    policy,
    project_key,
    switch,
    text,
)
from genops_otel_posthog.settings.variable import Variable

DEFAULT_HOST = "https://us.i.posthog.com"
DEFAULT_PRICE_BOOK = "posthog-2026-07-22"

SPAN_KINDS = ("capture", "flags", "local_flags", "definitions", "config")
METRIC_LABELS = ("team", "project", "environment")
_OWNER_FIELDS = ("team", "project", "environment", "customer_id", "cost_center", "feature")
_ANY_FIELD = (*_OWNER_FIELDS, "user_id", "workspace_id", "organization_id", "session_id", "tags")


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "POSTHOG_API_KEY",
        "api_key",
        "Project key, for `auto_instrument()` and the commands.",
        "–",
        "phc_…",
        project_key,
        secret=True,
    ),
    Variable(
        "POSTHOG_HOST",
        "host",
        "Ingestion host, for the same: one of PostHog's (`us.i`, `eu.i`, `us`, `eu` or `app`, each before "
        "`.posthog.com`) or your own.",
        f"`{DEFAULT_HOST}`",
        "https://eu.i.posthog.com",
        host,
    ),
    Variable(
        "POSTHOG_ENABLE",
        "enabled",
        "Whether the same send anything to PostHog: `true` or `false`. Not given: when there is a key.",
        "–",
        "false",
        switch,
    ),
    Variable("GENOPS_TEAM", "team", "The team that answers for the cost.", "–", "checkout", text),
    Variable("GENOPS_PROJECT", "project", "The project within the team.", "–", "web-shop", text),
    Variable("GENOPS_ENVIRONMENT", "environment", "The deployment environment.", "–", "production", text),
    Variable("GENOPS_CUSTOMER_ID", "customer_id", "The customer that the process serves.", "–", "acme", text),
    Variable("GENOPS_COST_CENTER", "cost_center", "The cost centre that is charged.", "–", "cc-1042", text),
    Variable("GENOPS_FEATURE", "feature", "The product feature.", "–", "one-click-checkout", text),
    Variable("GENOPS_TAGS", "tags", "Free tags, `k=v,k=v`.", "–", "tier=gold,platform=ios", parse_tags, secret=True),
    Variable(
        "GENOPS_PRICE_BOOK",
        "price_book",
        "Name of a shipped price book or path of your own.",
        f"`{DEFAULT_PRICE_BOOK}`",
        DEFAULT_PRICE_BOOK,
        text,
    ),
    Variable(
        "GENOPS_PRICING_MODE",
        "pricing_mode",
        "`metered`: marginal price at the month-to-date usage, free tier included. `list`: first paid tier, always.",
        "`metered`",
        "list",
        choice("metered", "list"),
    ),
    Variable(
        "GENOPS_USAGE_TO_DATE",
        "usage_to_date",
        "What the organisation has used this month before the process started, `meter=units,…`.",
        "–",
        "events=900000,feature_flag_requests=10",
        text,
    ),
    Variable(
        "GENOPS_GROUP_ANALYTICS",
        "group_analytics",
        "Whether the organisation has PostHog's group analytics add-on, which bills every identified event once more.",
        "`false`",
        "true",
        switch,
    ),
    Variable(
        "GENOPS_GOVERNANCE_POLICY",
        "governance_policy",
        "What a spent budget means where it does not say so itself: `advisory` (nothing is refused), `enforced` (what "
        "would exceed it is), `strict` (from 95 percent on, without a known owner and without a ledger). From "
        "`enforced` on, the application's own `genops_*` properties cannot replace the attribution.",
        "`advisory`",
        "enforced",
        policy,
    ),
    Variable(
        "GENOPS_EVENT_PROPERTIES",
        "event_properties",
        "Whether events carry their owner, cost and trace to PostHog: `auto` when an owner is known, `on`, `off`.",
        "`auto`",
        "off",
        choice("auto", "on", "off"),
    ),
    Variable(
        "GENOPS_SPANS",
        "spans",
        f"Which calls get a span, among {_listed(SPAN_KINDS)}, or `none`; cost and usage are counted either way.",
        "`all`",
        "capture,flags",
        names(*SPAN_KINDS),
    ),
    Variable(
        "GENOPS_METRIC_LABELS",
        "metric_labels",
        f"Attribution on metrics, among {_listed(_OWNER_FIELDS)}, or `none`.",
        f"`{','.join(METRIC_LABELS)}`",
        "team,project,customer_id",
        names(*_OWNER_FIELDS),
    ),
    Variable(
        "GENOPS_BAGGAGE_IN",
        "baggage_in",
        f"Attribution read from incoming W3C baggage (`genops.team=…`), among {_listed(_ANY_FIELD)}, or `none`. Use "
        "`none` at the edge, where callers are strangers.",
        f"`{','.join(BAGGAGE_FIELDS)}`",
        "team,customer_id",
        names(*_ANY_FIELD),
    ),
    Variable(
        "GENOPS_BAGGAGE_OUT",
        "baggage_out",
        "Attribution that `governance(...)` also writes to W3C baggage, which OpenTelemetry sends with every outgoing "
        "request, to strangers too. The same names; `true` stands for the default of `GENOPS_BAGGAGE_IN`.",
        "`false`",
        "true",
        names_or_switch(BAGGAGE_FIELDS, *_ANY_FIELD),
    ),
    Variable(
        "GENOPS_RECORD_DISTINCT_ID",
        "record_distinct_id",
        "Whether spans carry the distinct id, which is personal data.",
        "`false`",
        "true",
        switch,
    ),
    *BUDGET_VARIABLES,
    *EXPORT_VARIABLES,
    *DESTINATION_VARIABLES,
    *COMPLIANCE_VARIABLES,
    Variable(
        "GENOPS_OUTBOX_PATH",
        "outbox_path",
        "Directory where events wait until they are delivered; created readable by its user alone. Not given: in the "
        "user's state directory.",
        "–",
        "/var/lib/shop/outbox",
        text,
    ),
    *SERVICE_VARIABLES,
)

#: Variables that are announced but not acted on yet, with what they will mean.
ANNOUNCED: Mapping[str, str] = MappingProxyType({})
