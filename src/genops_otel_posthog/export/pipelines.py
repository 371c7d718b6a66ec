"""The pipelines of this process: exporters that were given the same share one.

So a span that ends in two of them (one made by ``OTEL_TRACES_EXPORTER``, one by ``GENOPS_EXPORT_SPANS``) is written and
counted once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.instrumentation.utils import suppress_instrumentation
from typing_extensions import Self

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.http import is_loopback
from genops_otel_posthog.export.destinations.protocol import Destination
from genops_otel_posthog.export.destinations.registry import configured
from genops_otel_posthog.export.export_metrics import observe
from genops_otel_posthog.export.gates import StandingGates
from genops_otel_posthog.export.outbox import Outbox
from genops_otel_posthog.export.pipeline import Pipeline
from genops_otel_posthog.export.privacy import SECRET_NAMES, Privacy, Redact
from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.ai.prices import ModelPrices, PublishedPrices
from genops_otel_posthog.export.rules.engine import Gate
from genops_otel_posthog.export.rules.rule import SpanRule
from genops_otel_posthog.export.rules.toml import load_rules
from genops_otel_posthog.export.spending import Spending
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce
from genops_otel_posthog.settings.values import host as ingestion_host
from genops_otel_posthog.settings.values import project_key

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)


@dataclass(frozen=True)
class Plan:
    """What a pipeline is made of. Two exporters with equal plans share one.

    Attributes:
        settings: With the exporter's arguments in place of the environment's.
        rules: The exporter's own.
        built_in: Families of the built-in ones.
        destinations: ``None`` for those of the settings.
        outbox: The application's own, ``None`` for one in the directory that the settings name.
        redact: See :class:`~.privacy.Privacy`.
        gate: See :class:`~.rules.engine.Rules`; ``None`` for the flags that the settings name.
    """

    settings: Settings
    rules: tuple[SpanRule, ...]
    built_in: tuple[str, ...]
    destinations: tuple[Destination, ...] | None
    outbox: Outbox | None
    redact: Redact | None
    gate: Gate | None

    @classmethod
    def of(
        cls,
        *,
        api_key: str | None,
        host: str | None,
        rules: Iterable[SpanRule],
        built_in: Iterable[str],
        destinations: Iterable[Destination] | None,
        outbox: Outbox | str | os.PathLike[str] | None,
        redact: Redact | None,
        gate: Gate | None,
        settings: Settings | None,
    ) -> Self:
        """The plan of an exporter with these arguments, see :class:`~.exporter.PostHogSpanExporter`."""
        given: dict[str, Any] = {}
        for name, value, parse in (("api_key", api_key, project_key), ("host", host, ingestion_host)):
            if value is not None and value.strip():
                try:
                    given[name] = parse(value.strip())
                except ValueError as error:
                    raise GenOpsConfigurationError(f"{name} cannot be used: {error}") from None
        own: Outbox | None = None
        if isinstance(outbox, Outbox):
            own = outbox
        elif outbox is not None:
            given["outbox_path"] = os.fspath(outbox)
        settings = replace(settings or Settings.from_environ(strict=False), **given)
        chosen = None if destinations is None else tuple(destinations)
        if chosen == ():
            raise GenOpsConfigurationError("destinations is empty: where should events go? Leave it out for PostHog")
        families = (built_in,) if isinstance(built_in, str) else tuple(built_in)
        builtin_rules(families=families)  # refuses what does not exist
        Privacy(redact=redact)
        return cls(
            settings,
            tuple(rules),
            families,
            chosen,
            own,
            redact,
            gate,
        )


_lock = threading.Lock()
_open: list[tuple[Plan, Pipeline, list[int]]] = []


def acquire(plan: Plan) -> Pipeline | None:
    """The pipeline of a plan, made when there is none yet; ``None`` when there is nobody to deliver to.

    Raises:
        GenOpsConfigurationError: A destination that was given cannot be used.
    """
    with _lock:
        for known, pipeline, users in _open:
            if known == plan:
                users[0] += 1
                return pipeline
        made = _make(plan)
        if made is not None:
            _open.append((plan, made, [1]))
        return made


def release(pipeline: Pipeline, timeout: float) -> bool:
    """Lets go of a pipeline. Who does so last shuts it down.

    Args:
        pipeline: From :func:`acquire`.
        timeout: Most seconds.

    Returns:
        Whether everything has been delivered.
    """
    with _lock:
        place = next(place for place, (_, known, _) in enumerate(_open) if known is pipeline)
        plan, _, users = _open[place]
        users[0] -= 1
        is_last = not users[0]
        if is_last:
            del _open[place]
    return pipeline.close(timeout, outbox=plan.outbox is None) if is_last else pipeline.outbox.flush(timeout)


def flush_all(timeout: float) -> bool:
    """Waits until everybody has what the exporters of this process have written.

    Args:
        timeout: Most seconds.

    Returns:
        Whether that is so. Otherwise nothing is lost: it is on disk.
    """
    deadline = time.monotonic() + timeout
    with _lock:
        outboxes = [pipeline.outbox for _, pipeline, _ in _open]
    flushed = [
        outbox.flush(max(0.0, deadline - time.monotonic())) for outbox in outboxes
    ]  # each, whatever the others did
    return all(flushed)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _make(plan: Plan) -> Pipeline | None:
    outbox, gates = plan.outbox, StandingGates(plan.settings)
    if outbox is None:
        destinations = _destinations(plan, gates)
        if not destinations:
            return None
        outbox = Outbox(plan.settings.outbox_path, destinations, quietly=suppress_instrumentation)
    names = {identity.partition(".")[0] for identity in outbox.destinations}
    spending = Spending(plan.settings, bills_events="posthog" in names)
    pipeline = Pipeline(_rules(plan, gates, spending), outbox, spending)
    observe(pipeline.meter, pipeline)
    return pipeline


def _destinations(plan: Plan, gates: StandingGates) -> list[Destination]:
    settings = plan.settings
    if plan.destinations is not None:
        return list(plan.destinations)
    problems: list[GenOpsConfigurationError] = []
    found = list(configured(settings, gate=gates.of_event, leave_out=problems.append))
    for problem in problems:
        _warn("destinations", f"A destination of events is left out until this is corrected: {problem}")
    if not found and not problems and settings.enabled is not False:
        _warn(
            "the key",
            "No PostHog project key: spans do not become events. Set POSTHOG_API_KEY=phc_…, or give "
            "PostHogSpanExporter an api_key or destinations",
        )
    return found


def _rules(plan: Plan, gates: StandingGates, spending: Spending) -> Rules:
    settings = plan.settings
    return Rules(
        (
            *plan.rules,
            *_rules_of_file(settings.span_rules),
            *builtin_rules(families=plan.built_in, content=settings.export_content, prices=_prices()),
        ),
        privacy=Privacy(
            content=settings.export_content,
            allow_events=settings.allow_events or (),
            deny_events=settings.deny_events,
            allow_properties=settings.allow_properties or (),
            deny_properties=SECRET_NAMES if settings.deny_properties is None else settings.deny_properties,
            redact=plan.redact,
        ),
        owner=Attribution.from_settings(settings),
        trace_url=settings.trace_url_template,
        # Not those of this machine: models and other services of the application may be there too.
        delivery_hosts=[
            urlsplit(url).hostname or ""
            for url in (settings.host, settings.rudderstack_data_plane_url)
            if not is_loopback(url)
        ],
        gate=plan.gate or gates.of_span,
        estimate=spending.estimate,
    )


def _rules_of_file(path: str | None) -> tuple[SpanRule, ...]:
    if path is None:
        return ()
    try:
        return load_rules(path)
    except GenOpsConfigurationError as error:
        _warn("rules", f"GENOPS_SPAN_RULES: {error} Until that is corrected, only the other rules are asked.")
        return ()


def _prices() -> ModelPrices | None:
    try:
        return PublishedPrices()
    except GenOpsConfigurationError:
        return None  # it is an extra
