"""One governed client for all adapters with the same options, so that one can be made for each request.

Adapters with the same options hold the same :class:`.GovernedClient`; the latest are kept although nobody holds them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry import metrics, trace

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.clients import comparable, shared_client
from genops_otel_posthog.adapter.governed_client import GovernedClient, owner_budgets
from genops_otel_posthog.adapter.options import AdapterOptions, environment_now
from genops_otel_posthog.attribution import Attribution, AttributionResolver
from genops_otel_posthog.instrumentation.enforcement import Enforcement
from genops_otel_posthog.instrumentation.own_calls import begin_own_calls, end_own_calls
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.metering.metering import SCOPE, Metering, budget_key
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.version import __version__

_KEPT: Final = 1024
"""How many of the latest are kept although no adapter holds them, for those that are made for each request."""

_lock = threading.RLock()
_known: weakref.WeakValueDictionary[object, GovernedClient] = weakref.WeakValueDictionary()
_latest: OrderedDict[object, GovernedClient] = OrderedDict()
_changed: dict[object, GovernedClient] = {}
"""Those of an earlier time whose limits were changed: who comes again is to find them changed."""

_meterings: dict[tuple[object, ...], Metering] = {}


def governed_client(
    arguments: Mapping[str, Any],
    tracer_provider: trace.TracerProvider | None,
    meter_provider: metrics.MeterProvider | None,
) -> GovernedClient:
    """The governed client of an adapter's arguments.

    Args:
        arguments: Those that were given, without the providers.
        tracer_provider: Where spans go; the global one when not given.
        meter_provider: Where metrics go; the global one when not given.

    Raises:
        GenOpsConfigurationError: An argument or a variable cannot be used, or the SDK is missing or not supported.
    """
    key = _key(arguments, tracer_provider, meter_provider)
    known = _known.get(key)
    if known is not None:
        try:
            _latest.move_to_end(key)
        except KeyError:  # too many came since; an adapter has held it meanwhile
            _keep(key, known)
        return known
    with _lock:
        made = _known.get(key)
        if made is None:
            made = _known[key] = _make(AdapterOptions.of(arguments), tracer_provider, meter_provider)
            _keep(key, made)
        return made


def _keep(key: object, one: GovernedClient) -> None:
    with _lock:
        _latest[key] = one
        while len(_latest) > _KEPT:
            old, unused = _latest.popitem(last=False)
            if unused.has_changed:
                _changed[old] = unused


def _key(arguments: Mapping[str, Any], *providers: object) -> object:
    """What tells adapters apart."""
    # An adapter may be made for each request: what can be compared as it is, is not looked into.
    given = tuple(
        [(name, tuple(value.items()) if isinstance(value, dict) else value) for name, value in arguments.items()]
    )
    key = (given, providers, environment_now())
    try:
        hash(key)
    except TypeError:
        return comparable(key)
    return key


def _make(
    options: AdapterOptions,
    tracer_provider: trace.TracerProvider | None,
    meter_provider: metrics.MeterProvider | None,
) -> GovernedClient:
    settings = options.settings
    client = shared_client(options.key, settings.host, options.secret_key, options.client_options)
    metering = _metering(options.shared, meter_provider, strict=settings.governance_policy != "advisory")
    budgeting = None
    if options.enable_governance:
        budgeting = metering.open_budgets(owner_budgets(settings), replacing=True)
    else:
        settings = replace(settings, event_properties="off")
    owner = Attribution.from_settings(settings)
    telemetry = Telemetry(
        settings,
        AttributionResolver(owner, settings.baggage_in),
        metering,
        trace.get_tracer(SCOPE, __version__, tracer_provider, schema_url=semconv.SCHEMA_URL),
        None if budgeting is None else Enforcement(budgeting),
    )
    if budgeting is not None:
        budgeting.governor.prepare(owner)
    # They stay for as long as the process runs, and cost a call that is no adapter's a look-up.
    begin_own_calls(telemetry, settings, metering.meter)
    return GovernedClient(
        settings,
        options.named,
        telemetry,
        metering,
        budgeting,
        client,
        unnamed=options.unnamed,
        sampling=options.sampling,
        alerts=options.alerts,
        compliance=options.compliance,
        governance=options.enable_governance,
    )


def _metering(settings: Settings, meter_provider: metrics.MeterProvider | None, *, strict: bool) -> Metering:
    """Prices and totals are the same for all adapters that agree on where they are counted."""
    key = (*budget_key(settings), settings.metric_labels, meter_provider)
    metering = _meterings.get(key)
    if metering is None:
        metering = _meterings[key] = Metering(settings, meter_provider=meter_provider, strict=strict)
    return metering


def forget_all() -> None:
    """Lets go of everything, as at the end of the process; adapters that are made later start anew."""
    with _lock:
        end_own_calls()
        _known.clear()
        _latest.clear()
        _changed.clear()
        for metering in _meterings.values():
            metering.close()
        _meterings.clear()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
