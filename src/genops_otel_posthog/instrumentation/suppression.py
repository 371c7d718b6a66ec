"""Whether instrumentation is suppressed in a context that is already at hand.

``opentelemetry.instrumentation.utils.is_instrumentation_enabled`` answers the same for the current context, which it
looks up anew for each of the two keys. In the way of every call that is seven function calls instead of one.
"""

from __future__ import annotations

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

_PLAIN_KEY = "suppress_instrumentation"  # the key of older OpenTelemetry versions, still honoured by today's


def is_suppressed(context: Context) -> bool:
    """Whether ``suppress_instrumentation()`` is in force in ``context``."""
    return bool(context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_PLAIN_KEY))
