"""Does this process see what it is to see: a tracer provider with processors, the SDK instrumented, nothing twice?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from genops_otel_posthog.adapter.validation.delivery import exports_spans
from genops_otel_posthog.adapter.validation.exporters import missing_exporters
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.settings import Settings

_TRACING, _INSTRUMENTATION, _TWICE = "Tracing", "Instrumentation", "Double export"
_ZERO_CODE: Final = "opentelemetry-instrument python app.py"
_HERE: Final = "from genops_otel_posthog import auto_instrument; auto_instrument()"

#: Classes of PostHog's own OpenTelemetry integration, ``posthog.ai.otel``.
_POSTHOGS_OWN: Final = ("PostHogSpanProcessor", "PostHogTraceExporter")


def validate_genops_posthog_integration(
    environ: Mapping[str, str] | None = None, *, tracer_provider: Any = None, in_application: bool = True
) -> list[ValidationIssue]:
    """Checks the tracer provider and its processors, and that the PostHog SDK is instrumented.

    Args:
        environ: The environment; that of the process when not given.
        tracer_provider: The provider to look at; the global one when not given.
        in_application: Whether this process is the application. Otherwise what only the application sets up is not
            missed here.
    """
    from opentelemetry import trace

    environ = os.environ if environ is None else environ
    settings = Settings.from_environ(environ, strict=False)
    provider = tracer_provider or trace.get_tracer_provider()
    findings = list(_switches(environ))
    if isinstance(provider, trace.ProxyTracerProvider):
        findings.append(_no_provider(in_application))
    else:
        findings += _provider_findings(provider, settings, environ)
    return [*findings, *_instrumentation(in_application)]


def _switches(environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    """Variables of OpenTelemetry that switch off what this package does."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield warning(
            _TRACING,
            "OTEL_SDK_DISABLED is true, so there are neither spans nor metrics.",
            "Unset it.",
            "unset OTEL_SDK_DISABLED",
        )
    disabled = {name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if disabled & {"posthog", "*"}:
        yield warning(
            _INSTRUMENTATION,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches the instrumentation of PostHog off.",
            "Take posthog out of it.",
            "unset OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        )
    yield from missing_exporters(environ)


def _no_provider(in_application: bool) -> ValidationIssue:
    if in_application:
        return warning(
            _TRACING,
            "No OpenTelemetry tracer provider is set up in this process, so spans go nowhere.",
            "Run the application under opentelemetry-instrument, or set a tracer provider before instrumenting.",
            _ZERO_CODE,
        )
    return info(
        _TRACING,
        "This command sets up no tracing. What an application gets is seen under opentelemetry-instrument.",
        "Look at it there.",
        "opentelemetry-instrument genops-posthog doctor",
    )


def _provider_findings(provider: Any, settings: Settings, environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    kind = type(provider).__qualname__
    processors = list(_processors(provider))
    described = [_described(processor) for processor in processors]
    if not processors:
        yield warning(
            _TRACING,
            f"A tracer provider ({kind}) is set up, but it has no span processor that could be seen, so spans go "
            "nowhere.",
            "Add one with an exporter.",
            "export OTEL_TRACES_EXPORTER=otlp",
        )
    else:
        yield success(_TRACING, f"{kind} with {', '.join(described)}.")
    names = {name for processor in processors for name in _classes(processor)}
    ours = "PostHogSpanExporter" in names
    if exports_spans(settings, environ) and not ours:
        yield warning(
            _TRACING,
            "Spans are to become events, but the tracer provider of this process has no PostHogSpanExporter.",
            "Instrument after the provider is set, or add it to the provider.",
            "provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter()))",
        )
    both = [name for name in _POSTHOGS_OWN if name in names]
    if ours and both:
        yield warning(
            _TWICE,
            f"{both[0]} of posthog.ai.otel and PostHogSpanExporter both send the spans of calls to language models, so "
            "PostHog counts and bills each of them twice.",
            "Keep one of the two: leave out PostHog's own, or leave those spans to it.",
            "PostHogSpanExporter(built_in=[])",
        )


def _processors(provider: Any) -> Iterator[Any]:
    """The span processors of a provider of OpenTelemetry's SDK, which keeps them to itself."""
    waiting = [getattr(provider, "_active_span_processor", None)]
    while waiting:
        processor = waiting.pop(0)
        inside = getattr(processor, "_span_processors", None)
        if inside is not None:
            waiting[:0] = inside
        elif processor is not None:
            yield processor


def _classes(processor: Any) -> list[str]:
    """The class of a processor and that of its exporter."""
    exporter = getattr(processor, "span_exporter", None) or getattr(processor, "_exporter", None)
    return [type(part).__qualname__ for part in (processor, exporter) if part is not None]


def _described(processor: Any) -> str:
    return " → ".join(_classes(processor))


def _instrumentation(in_application: bool) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.instrumentation import PostHogInstrumentor

    known = entry_points(group="opentelemetry_instrumentor", name="posthog")
    if not any(found.value.startswith("genops_otel_posthog.") for found in known):
        yield error(
            _INSTRUMENTATION,
            "opentelemetry-instrument does not find this package: its entry point is not installed.",
            "Install the package instead of putting its source on the path.",
            'pip install "genops-otel-posthog[instruments]"',
        )
    for found in known:
        if not found.value.startswith("genops_otel_posthog."):
            yield warning(
                _INSTRUMENTATION,
                f"Another package instruments PostHog as well ({found.value}): calls would have two spans.",
                "Keep one of the two.",
                "pip uninstall " + (found.dist.name if found.dist is not None else found.value.partition(".")[0]),
            )
    if PostHogInstrumentor().is_instrumented_by_opentelemetry:
        yield success(_INSTRUMENTATION, "The PostHog SDK is instrumented.")
    elif in_application:
        yield info(
            _INSTRUMENTATION,
            "The PostHog SDK is not instrumented in this process (yet), so its calls have no cost and no owner.",
            "Run the application under opentelemetry-instrument, or instrument it by a line.",
            _HERE,
        )
