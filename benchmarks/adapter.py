"""The adapter beside a governed call of the SDK: the same capture, and what is told about it."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import cycle
from typing import Any

from benchmarks import workload
from benchmarks.slices import Variant
from benchmarks.stage import Stage
from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.flag_cache import CachedFeatureFlagEvaluator

_ARGUMENTS: dict[str, Any] = {
    "posthog_api_key": "phc_benchmark_adapter",
    "posthog_host": "http://127.0.0.1",
    "team": "checkout",
    "project": "web-shop",
    "environment": "production",
    "ledger_url": "memory://",
    "client_options": {"thread": 0, "max_queue_size": 100_000},
}


def _capture(adapter: GenOpsPostHogAdapter) -> Callable[[Any], Callable[[], object]]:
    """The same events and people as :func:`benchmarks.workload.capture`."""

    def work(_: Any) -> Callable[[], object]:
        draw = random.Random(1)
        calls = cycle([(draw.choice(workload.EVENTS), draw.choice(workload.USERS)) for _ in range(20_000)])

        def call() -> object:
            event, user = next(calls)
            return adapter.capture_event_with_governance(event, workload.PROPERTIES, user, True)

        return call

    return work


def _cached(adapter: GenOpsPostHogAdapter) -> Callable[[], object]:
    """A flag that was read before, of somebody of whom nothing else is known."""
    adapter.client.feature_flags = workload.flag_definitions()
    adapter.client.personal_api_key = "phx_benchmark"  # with definitions and a secret key, the SDK asks nobody
    evaluator = CachedFeatureFlagEvaluator(adapter)
    evaluator.evaluate_with_cache("flag-0", "user-00001")
    assert len(evaluator) == 1

    def call() -> object:
        return evaluator.evaluate_with_cache("flag-0", "user-00001")

    return call


def prepare() -> tuple[Stage, dict[str, Variant]]:
    """The variants of the scenario ``adapter``."""
    stage = Stage(ledger_url="memory://")
    arguments = {**_ARGUMENTS, "tracer_provider": stage.tracer_provider}
    plain = GenOpsPostHogAdapter(**arguments, daily_budget_limit="unlimited")
    limited = GenOpsPostHogAdapter(**arguments)
    stage.drained(plain.client)
    return stage, {
        "nothing": stage.other(lambda: None),
        "capture, governed": stage.governed(workload.capture),
        "capture of an adapter": stage.other(_capture(plain)(None)),
        "capture of an adapter, with its budget": stage.other(_capture(limited)(None)),
        "an adapter for a known key": stage.other(lambda: GenOpsPostHogAdapter(**arguments)),
        "a remembered flag": stage.other(_cached(plain)),
    }
