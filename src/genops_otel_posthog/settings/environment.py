"""The environment, read into one frozen object."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings.budget_variables import DEFAULT_LEDGER_WAIT_MS
from genops_otel_posthog.settings.destination_variables import DEFAULT_DATA_PLANE_URL
from genops_otel_posthog.settings.names import KNOWN, PREFIX, meant_name
from genops_otel_posthog.settings.service_variables import Network
from genops_otel_posthog.settings.values import BAGGAGE_FIELDS, warn_once
from genops_otel_posthog.settings.variable import Variable
from genops_otel_posthog.settings.variables import (
    ANNOUNCED,
    DEFAULT_HOST,
    DEFAULT_PRICE_BOOK,
    METRIC_LABELS,
    SPAN_KINDS,
    VARIABLES,
)
from genops_otel_posthog.version import __version__

_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Settings:
    """What the environment says, and the documented default where it says nothing.

    Attributes are named by :data:`VARIABLES`, which also gives their meaning; ``None`` means "not given".
    """

    api_key: str | None = field(default=None, repr=False)
    host: str = DEFAULT_HOST
    enabled: bool | None = None
    team: str | None = None
    project: str | None = None
    environment: str | None = None
    customer_id: str | None = None
    cost_center: str | None = None
    feature: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    price_book: str = DEFAULT_PRICE_BOOK
    pricing_mode: str = "metered"
    usage_to_date: str | None = None
    group_analytics: bool = False
    governance_policy: str = "advisory"
    event_properties: str = "auto"
    spans: frozenset[str] = frozenset(SPAN_KINDS)
    metric_labels: frozenset[str] = frozenset(METRIC_LABELS)
    baggage_in: frozenset[str] = frozenset(BAGGAGE_FIELDS)
    baggage_out: frozenset[str] = frozenset()
    record_distinct_id: bool = False
    daily_budget_limit: Decimal | None = None
    weekly_budget_limit: Decimal | None = None
    monthly_budget_limit: Decimal | None = None
    budget_share: Fraction = Fraction(1)
    budget_time_zone: str = "UTC"
    budgets_file: str | None = None
    on_budget_exceeded: str = "drop"
    critical_events: frozenset[str] = frozenset()
    ledger_url: str | None = field(default=None, repr=False)
    ledger_wait_ms: int = DEFAULT_LEDGER_WAIT_MS
    alert_webhook: str | None = field(default=None, repr=False)
    alert_format: str = "auto"
    alert_secret: str | None = field(default=None, repr=False)
    alert_thresholds: str | None = None
    alert_escalation: tuple[str, ...] = ()
    budget_sampling: bool = False
    personal_api_key: str | None = field(default=None, repr=False)
    export_spans: bool = False
    durable_capture: bool = False
    span_rules: str | None = None
    export_content: bool = False
    allow_events: tuple[str, ...] | None = None
    deny_events: tuple[str, ...] = ()
    allow_properties: tuple[str, ...] | None = None
    deny_properties: tuple[str, ...] | None = None
    trace_url_template: str | None = None
    posthog_project_url: str | None = None
    rudderstack_write_key: str | None = field(default=None, repr=False)
    rudderstack_data_plane_url: str = DEFAULT_DATA_PLANE_URL
    database_url: str | None = field(default=None, repr=False)
    flags_database_url: str | None = field(default=None, repr=False)
    gates_ask_posthog: bool = False
    outbox_path: str | None = None
    audit_path: str | None = None
    audit_key: str | None = field(default=None, repr=False)
    audit_fsync: str = "interval"
    consent_path: str | None = None
    pseudonym_key: str | None = field(default=None, repr=False)
    flush_at: int | None = None
    flush_interval_ms: int | None = None
    analytics_url: str | None = field(default=None, repr=False)
    egress_ips: tuple[Network, ...] | None = None
    debug: tuple[str, ...] | None = None

    @property
    def sends_to_posthog(self) -> bool:
        """Whether to send: what ``POSTHOG_ENABLE`` says, and when it says nothing, whether there is a key."""
        return self.api_key is not None if self.enabled is None else self.enabled

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, *, strict: bool = True) -> Settings:
        """Reads the environment.

        Args:
            environ: The environment; ``os.environ`` when not given. A blank value means "not given".
            strict: Raise on bad values. Otherwise each is logged once and the default stands.

        Raises:
            GenOpsConfigurationError: ``strict`` and at least one value is bad; the message names all, one per line.
        """
        environ = os.environ if environ is None else environ
        _remark_on_names(environ)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for variable, read in _readings(environ):
            if not isinstance(read, UnusableValue):
                values[variable.field] = read.value
                continue
            problems.append(read.problem)
            if not strict:
                default = variable.default.replace("`", "")
                stands = "it counts as not given" if default == "–" else f"the default, {default}, stands"
                warn_once("settings", f"{read.problem}. Until it is corrected, {stands}.")
        if problems and strict:
            raise GenOpsConfigurationError("\n".join(problems))
        settings = cls(**values)
        if settings.enabled and settings.api_key is None:
            warn_once("the key", "POSTHOG_ENABLE is true, but there is no key to send with. Set POSTHOG_API_KEY=phc_…")
        return settings


class _Reading(NamedTuple):
    """What a variable's text means."""

    value: Any


class UnusableValue(NamedTuple):
    """A variable whose text means nothing.

    Attributes:
        variable: Which.
        problem: What is wrong and what would do; never a secret.
    """

    variable: Variable
    problem: str


def unusable_values(environ: Mapping[str, str] | None = None) -> list[UnusableValue]:
    """Every variable of an environment whose value cannot be used, in the order of :data:`VARIABLES`."""
    environ = os.environ if environ is None else environ
    return [read for _, read in _readings(environ) if isinstance(read, UnusableValue)]


def _readings(environ: Mapping[str, str]) -> Iterator[tuple[Variable, _Reading | UnusableValue]]:
    for variable in VARIABLES:
        given = environ.get(variable.name, "").strip()
        if given:
            try:
                yield variable, _Reading(variable.parse(given))
            except ValueError as error:
                yield variable, UnusableValue(variable, _problem(variable, given, error))


def _problem(variable: Variable, given: str, error: ValueError) -> str:
    # What holds an @ may be a URL with a password or somebody's address.
    unfit_to_show = variable.secret or "@" in given
    shown = variable.name if unfit_to_show else f"{variable.name}={given[:_LONGEST_SHOWN]!r}"
    return f"{shown} cannot be used: {error}; for example {variable.name}={variable.example}"


def _remark_on_names(environ: Mapping[str, str]) -> None:
    """Says, once each, which variables are not acted on. Their values are not repeated: nobody knows what they are."""
    for name in environ:
        if not environ[name].strip():
            continue
        if name in ANNOUNCED:
            # Another program may well read POSTHOG_… and RUDDERSTACK_… variables, so theirs is no warning.
            level = logging.WARNING if name.startswith(PREFIX) else logging.INFO
            warn_once(
                "variables that are announced",
                f"{name} is not acted on by this version of genops-otel-posthog ({__version__}): "
                f"it is announced for a later one. {ANNOUNCED[name]}",
                level,
            )
        elif name.startswith(PREFIX) and name not in KNOWN:
            meant = meant_name(name)
            remark = " and is ignored" if meant is None else f"; did you mean {meant}?"
            warn_once("variables that are unknown", f"{name} is not a variable of genops-otel-posthog{remark}")
