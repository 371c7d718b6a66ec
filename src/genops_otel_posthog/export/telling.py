"""How :mod:`.flows` and :mod:`.interactions` open a span: stamped with its owner and the execution it belongs to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import create_key, get_value
from opentelemetry.trace import SpanKind, Status, StatusCode

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export import names
from genops_otel_posthog.version import __version__

EXECUTION = create_key("genops-execution")
"""Where a context keeps the execution that runs in it."""

_A_YEAR = 366 * 24 * 3_600_000  # milliseconds; what is longer, negative or not a number is not a duration


def owner_attributes(given: Mapping[str, str | None]) -> dict[str, str | None]:
    """The parts of the owner that a call gives, as attributes.

    Raises:
        GenOpsValidationError: There is no such part.
    """
    attributes = {}
    for name, value in given.items():
        attribute = _OWNER.get(name)
        if attribute is None:
            raise GenOpsValidationError(f"{name} is not among {', '.join(_OWNER)}, the parts of the owner given here")
        attributes[attribute] = value
    return attributes


_OWNER: Mapping[str, str] = {
    "user_id": semconv.GENOPS_USER_ID,
    "workspace_id": semconv.GENOPS_WORKSPACE_ID,
    "organization_id": semconv.GENOPS_ORGANIZATION_ID,
}


def tracer() -> trace.Tracer:
    """The tracer of these spans."""
    # Asked every time, because the provider may be set after this module is imported; the SDK keeps tracers.
    return trace.get_tracer(names.SCOPE, __version__)


def given_only(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is ``None``."""
    return {name: value for name, value in attributes.items() if value is not None}


def stamped(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """With the owner of the surrounding ``governance`` block, which a processor may not be there to stamp."""
    return {**attribution_in().span_attributes(), **given_only(attributes)}


def tell(name: str, attributes: Mapping[str, Any], *, milliseconds: float = 0.0, error: str | None = None) -> None:
    """A span that began ``milliseconds`` ago and ends now."""
    end = time.time_ns()
    execution = get_value(EXECUTION)
    given = stamped(attributes)
    if execution is not None:
        given.setdefault(names.EXECUTION_ID, execution)
    span = tracer().start_span(
        name,
        kind=SpanKind.INTERNAL,
        attributes=given,
        start_time=end - int(milliseconds * 1_000_000) if 0 <= milliseconds < _A_YEAR else end,
    )
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(end)
