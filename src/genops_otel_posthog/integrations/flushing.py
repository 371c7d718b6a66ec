"""Delivers what a process still has in memory, in a given time: events, what they have cost, spans, metrics."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_logger = logging.getLogger(__name__)


def flush(adapter: GenOpsPostHogAdapter, seconds: float) -> bool:
    """Delivers what is in memory, the most important first. Never raises.

    Args:
        adapter: Whose events, and whose budgets.
        seconds: Most time.

    Returns:
        Whether everything was delivered in time.
    """
    deadline = monotonic() + seconds
    delivered = [_is_done_in_time(what, call, deadline) for what, call in _deliveries(adapter)]
    return all(delivered)


def _deliveries(adapter: GenOpsPostHogAdapter) -> Iterator[tuple[str, Callable[[float], object]]]:
    """What there is to deliver, each with a function of the seconds that are left."""
    yield "events", adapter.flush
    budgeting = adapter.governed.budgeting
    if budgeting is not None:
        yield "what was spent", budgeting.governor.flush
    spans = getattr(trace.get_tracer_provider(), "force_flush", None)
    if spans is not None:
        yield "spans", lambda left: spans(int(left * 1000))
    # Spans become events when they are exported, and no processor asks an exporter to flush.
    exported = sys.modules.get("genops_otel_posthog.export.pipelines")
    if exported is not None:
        yield "events from spans", exported.flush_all
    recorded = getattr(metrics.get_meter_provider(), "force_flush", None)
    if recorded is not None:
        yield "metrics", lambda left: recorded(int(left * 1000))


def _is_done_in_time(what: str, deliver: Callable[[float], object], deadline: float) -> bool:
    """Delivers in a thread, because exporters do not keep to the time that they are given."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append(deliver(max(0.0, deadline - monotonic())) is not False)
        except Exception:
            _logger.exception("Delivering %s failed", what)

    thread = threading.Thread(target=ask, name="genops-flush", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - monotonic()))
    return answers == [True]
