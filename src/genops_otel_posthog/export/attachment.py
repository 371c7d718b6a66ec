"""``GENOPS_EXPORT_SPANS=true``: spans of an application that was not changed become events where they end.

``opentelemetry-instrument`` calls :func:`attach_if_asked` when it has set up everything, and so does
:class:`~genops_otel_posthog.instrumentation.PostHogInstrumentor`; both know it by the entry point and not by import.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from opentelemetry import trace

from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

_attached: WeakSet[Any] = WeakSet()


def attach_if_asked(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Attaches the exporter to a tracer provider, if ``GENOPS_EXPORT_SPANS`` says so. Never raises.

    Args:
        tracer_provider: The global one when not given. If the application has not set that yet, it is attached as soon
            as it does.
    """
    try:
        settings = Settings.from_environ(strict=False)
        if settings.export_spans:
            provider = tracer_provider or trace.get_tracer_provider()
            if isinstance(provider, trace.ProxyTracerProvider):
                _attach_when_set()
            else:
                _attach(provider, settings)
    except Exception:
        _logger.exception("GENOPS_EXPORT_SPANS: the exporter could not be attached; spans do not become events")


def _attach(provider: Any, settings: Settings) -> None:
    add: Callable[[Any], None] | None = getattr(provider, "add_span_processor", None)
    if add is None:
        _logger.warning(
            "GENOPS_EXPORT_SPANS: spans of %s do not become events, because it takes no span processor",
            type(provider).__qualname__,
        )
        return
    if provider in _attached:
        return
    _attached.add(provider)
    # Only now: an application that does not ask for this needs neither OpenTelemetry's SDK nor the outbox.
    from genops_otel_posthog.export.exporter import PostHogSpanExporter
    from genops_otel_posthog.processor import GovernanceSpanProcessor

    add(GovernanceSpanProcessor(PostHogSpanExporter(settings=settings), settings=settings))


def _attach_when_set() -> None:
    """Attaches to the global provider when the application sets it. OpenTelemetry has no hook for that: its function
    is replaced by one that calls it, once."""
    original = getattr(trace, "_set_tracer_provider", None)
    if original is None:
        _logger.warning("GENOPS_EXPORT_SPANS: set up OpenTelemetry before instrumenting; spans do not become events")
        return
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def set_and_attach(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        trace._set_tracer_provider = original
        attach_if_asked()

    trace._set_tracer_provider = set_and_attach
