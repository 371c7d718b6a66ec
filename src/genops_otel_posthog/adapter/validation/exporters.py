"""Can OpenTelemetry load the exporters that its variables name? Where one is missing, it sets up nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Final

from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error

_SIGNALS: Final = ("traces", "metrics", "logs")
_PACKAGES: Final[Mapping[str, str]] = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "prometheus": "opentelemetry-exporter-prometheus",
    "zipkin": "opentelemetry-exporter-zipkin",
    "posthog": "genops-otel-posthog",
}
# https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specify-protocol; Python's default is grpc.
_BY_PROTOCOL: Final[Mapping[str, str]] = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def exporters_named(signal: str, environ: Mapping[str, str]) -> list[str]:
    """The exporters of a signal (``traces``, ``metrics`` or ``logs``) as ``OTEL_…_EXPORTER`` names them."""
    names = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").split(",")
    return [name.strip() for name in names if name.strip() not in ("", "none")]


def missing_exporters(environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    """Exporters that are named and that no installed package has."""
    for signal in _SIGNALS:
        known = {entry_point.name for entry_point in entry_points(group=f"opentelemetry_{signal}_exporter")}
        for name in exporters_named(signal, environ):
            meant = _otlp(signal, environ) if name == "otlp" else name
            if meant is not None and meant not in known:
                variable = f"OTEL_{signal.upper()}_EXPORTER"
                by_protocol = f", which by its protocol is {meant}" if meant != name else ""
                yield error(
                    "Tracing",
                    f"{variable} names {name}{by_protocol}; no installed package has it, and opentelemetry-instrument "
                    "then sets up neither traces nor metrics.",
                    f"Install its package, or name another exporter{' or protocol' if by_protocol else ''}.",
                    f"pip install {_PACKAGES[meant]}" if meant in _PACKAGES else f"export {variable}=otlp",
                )


def _otlp(signal: str, environ: Mapping[str, str]) -> str | None:
    """Which exporter OTLP means; ``None`` for a protocol that is not known here."""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(variable, "").strip()
        if protocol:
            return _BY_PROTOCOL.get(protocol)
    return _BY_PROTOCOL["grpc"]
