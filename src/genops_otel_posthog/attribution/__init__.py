"""Who causes a call: team, project, customer and the rest, from the nearest source that knows.

Precedence, field by field and tag by tag: the call itself, then :class:`governance` (the innermost block first), then
W3C baggage of the incoming request, then the instrumentor's options, then the environment, then the tracer provider's
resource. ``None`` always means "not given" and never erases what an outer source gave.

The attribution of a block lives in the OpenTelemetry context, so it goes wherever the context goes: into asyncio tasks,
into threads through ``contextvars.copy_context()`` or OpenTelemetry's threading instrumentation, and to any span
processor.
"""

from __future__ import annotations

from genops_otel_posthog.attribution.block import attribution_in, context_owned_by, governance
from genops_otel_posthog.attribution.owner import FIELDS, NOBODY, Attribution
from genops_otel_posthog.attribution.resolver import AttributionResolver

__all__ = ["FIELDS", "NOBODY", "Attribution", "AttributionResolver", "attribution_in", "context_owned_by", "governance"]
