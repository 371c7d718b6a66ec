"""Many events at once: all of them one after the other, in parallel, or a sample that stands for them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.moments import moment_utc
from genops_otel_posthog.adapter.results import CaptureResult
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.budgets.sampling import SamplingRules, keeps
from genops_otel_posthog.errors import GenOpsValidationError

SAMPLED_ABOVE: Final = 10_000
"""More events than this are sampled: the guide's figure, like the following."""

PARALLEL_ABOVE: Final = 1_000
SAMPLE_RATE: Final = 0.1
WORKERS: Final = 10

_EVENT_KEYS: Final = frozenset(
    {"event_name", "properties", "distinct_id", "is_identified", "timestamp", "groups", "uuid"}
)
_NEVER_SAMPLED = SamplingRules(rates={"*error*": 1.0, "$exception": 1.0}, default=0.0)


class ScalablePostHogAnalytics:
    """Captures many events through one adapter.

    What a budget refuses is told in the results (``blocked``) and does not end the rest.

    Args:
        base_config: Arguments of :class:`GenOpsPostHogAdapter`.
        workers: Threads for events in parallel, 1 or more.
    """

    def __init__(self, base_config: Mapping[str, Any], workers: int = WORKERS) -> None:
        self.base_adapter = GenOpsPostHogAdapter(**base_config)
        self.executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="genops-posthog-events")
        self._workers = workers

    async def process_high_volume_events(self, events: Iterable[Mapping[str, Any]]) -> list[CaptureResult]:
        """Captures events: more than 10,000 as a sample of a tenth, more than 1,000 in parallel, others in their order.

        Args:
            events: Each with ``event_name``, and ``properties``, ``distinct_id``, ``is_identified``, ``timestamp``,
                ``groups`` and ``uuid`` as for :meth:`GenOpsPostHogAdapter.capture_event_with_governance`.

        Returns:
            What became of those that were captured, in their order.

        Raises:
            GenOpsValidationError: An event has no name, another key, or a value that cannot be used; none was captured.
        """
        given = [_checked(event, place) for place, event in enumerate(events)]
        if len(given) > SAMPLED_ABOVE:
            return await self._process_with_sampling(given, SAMPLE_RATE)
        if len(given) > PARALLEL_ABOVE:
            return await self._process_parallel(given)
        return await self._process_sequential(given)

    async def _process_with_sampling(
        self, events: Sequence[Mapping[str, Any]], sample_rate: float
    ) -> list[CaptureResult]:
        """Captures a part of the events, chosen by whose they are, so that the same are chosen again. Errors,
        conversions, sign-ups and purchases are all captured."""
        kept = [
            event if rate == 1.0 else {**event, "properties": _with_rate(event, rate)}
            for event in events
            if keeps(_key(event), rate := _rate(event, sample_rate))
        ]
        with self.base_adapter.track_analytics_session(
            "high_volume_sampling", sample_rate=sample_rate, original_volume=len(events)
        ) as session:
            return await self._in_parallel(kept, session)

    async def _process_parallel(self, events: Sequence[Mapping[str, Any]]) -> list[CaptureResult]:
        with self.base_adapter.track_analytics_session("high_volume_parallel") as session:
            return await self._in_parallel(events, session)

    async def _process_sequential(self, events: Sequence[Mapping[str, Any]]) -> list[CaptureResult]:
        with self.base_adapter.track_analytics_session("high_volume_sequential") as session:
            return [await self._process_single_event(event, session) for event in events]

    async def _process_single_event(self, event: Mapping[str, Any], session: PostHogAnalyticsSession) -> CaptureResult:
        return self._capture(event, session)

    async def _in_parallel(
        self, events: Sequence[Mapping[str, Any]], session: PostHogAnalyticsSession
    ) -> list[CaptureResult]:
        """In as many parts as there are threads, so that a thread has something to do before it is asked again."""
        size = max(1, -(-len(events) // self._workers))
        parts = [events[start : start + size] for start in range(0, len(events), size)]
        loop = asyncio.get_running_loop()

        def work(part: Sequence[Mapping[str, Any]]) -> list[CaptureResult]:
            return [self._capture(event, session) for event in part]

        done = await asyncio.gather(
            *[loop.run_in_executor(self.executor, contextvars.copy_context().run, work, part) for part in parts]
        )
        return [result for part in done for result in part]

    def _capture(self, event: Mapping[str, Any], session: PostHogAnalyticsSession) -> CaptureResult:
        return self.base_adapter.capture_event_with_governance(
            session_id=session.session_id, always=True, raises=False, **event
        )

    def close(self) -> None:
        """Ends the threads. The adapter, whose client others may share, stays."""
        self.executor.shutdown()


def _checked(event: object, place: int) -> Mapping[str, Any]:
    if not isinstance(event, Mapping) or "event_name" not in event:
        raise GenOpsValidationError(f"event {place} cannot be used: it must be a dict with event_name")
    unknown = sorted(str(key) for key in event.keys() - _EVENT_KEYS)
    if unknown:
        raise GenOpsValidationError(
            f"event {place} cannot be used: it has {', '.join(unknown)}; there are {', '.join(sorted(_EVENT_KEYS))}"
        )
    try:
        arguments.event_name(event["event_name"])
        arguments.distinct_id(event.get("distinct_id"))
        arguments.properties(event.get("properties"))
        if event.get("timestamp") is not None:
            moment_utc(event["timestamp"])
        if event.get("uuid") is not None:
            arguments.event_uuid(event["uuid"])
    except GenOpsValidationError as problem:
        raise GenOpsValidationError(f"event {place} cannot be used: {problem}") from None
    return event


def _rate(event: Mapping[str, Any], sample_rate: float) -> float:
    return 1.0 if _NEVER_SAMPLED.rate(str(event["event_name"]), 1.0) == 1.0 else sample_rate


def _key(event: Mapping[str, Any]) -> str:
    return f"{event.get('distinct_id')}\0{event['event_name']}"


def _with_rate(event: Mapping[str, Any], rate: float) -> dict[str, Any]:
    return {**(event.get("properties") or {}), semconv.PROPERTY_GENOPS_SAMPLE_RATE: rate}
