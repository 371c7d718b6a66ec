"""Asks a user's own OTLP endpoint, before anything is sent there, whether it answers and whether it takes metrics.

A wrong port or a backend that is not started would otherwise be noticed when everything is over, and tracing backends
such as Jaeger answer 404 to metrics.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from genops_otel_posthog.errors import GenOpsConfigurationError

_TIMEOUT = 10.0  # seconds; the exporters' own default


def takes_metrics(endpoint: str) -> bool:
    """Whether the endpoint has a place for metrics.

    An empty export is sent, without credentials: whatever is answered but 404 means that there is one.

    Args:
        endpoint: Base URL for OTLP over HTTP, as in ``OTEL_EXPORTER_OTLP_ENDPOINT``.

    Raises:
        GenOpsConfigurationError: nothing answers there.
    """
    try:
        request = Request(f"{endpoint.rstrip('/')}/v1/metrics", b"", {"Content-Type": "application/x-protobuf"})
        with urlopen(request, timeout=_TIMEOUT):
            return True
    except HTTPError as refused:
        with refused:
            return refused.code != HTTPStatus.NOT_FOUND
    except (URLError, OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise GenOpsConfigurationError(
            f"nothing answers at OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}: {reason}; "
            "start the backend, correct the address, or use --local"
        ) from problem
