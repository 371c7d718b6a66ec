"""A span's way into the outbox: converted once, asked about once, serialised once, appended, and accounted for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Final

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.export.encoding import encode
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.outbox import Outbox, OutboxFullError
from genops_otel_posthog.export.outbox.accounts import CLOSED, QUEUE_FULL
from genops_otel_posthog.export.outbox.writer import TAKEN
from genops_otel_posthog.export.rules import Conversion, Made, Reason, Rules
from genops_otel_posthog.export.spending import Spending
from genops_otel_posthog.export.tally import BUDGET, INTERNAL_ERROR, SAMPLED, Tally

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from genops_otel_posthog.processor import PostHogContext

_logger = logging.getLogger(__name__)
_numbers = count(1)

NOT_DURABLE: Final = "not_durable"
"""What keeps a span from being exported whose events wait in memory, because there is no place on disk."""

_MEANT: Final = frozenset({BUDGET})
"""Reasons for a drop that somebody has decided on."""

_NONE: Final[Mapping[str, int]] = {}


class Pipeline:
    """See the module. Safe to use from any thread and after a fork.

    Args:
        rules: Which spans become which events.
        outbox: Where these go.
        spending: Who decides about them and counts their cost.

    Attributes:
        tally: What became of the spans.
        meter: Makes the metrics of the process.
    """

    def __init__(self, rules: Rules, outbox: Outbox, spending: Spending) -> None:
        self.rules = rules
        self.outbox = outbox
        self.tally = Tally()
        self.meter = spending.meter
        self._spending = spending
        self._mark = f"_genops_pipeline_{next(_numbers)}"

    def put(self, span: ReadableSpan, remembered: PostHogContext | None = None) -> str:
        """Takes a span that has ended. Never raises.

        A span that comes a second time, because two processors lead here, is passed over.

        Returns:
            Why not all of it that was meant to become events is durable; empty when it is.
        """
        try:
            if not self._is_first(span):
                return ""
            conversion = self.rules.events_for(span, remembered)
            if not conversion.made and conversion.reason is Reason.FILTERED:
                self.tally.add_filtered()
                return ""
            return self._put(conversion)
        except Exception:
            _logger.exception("A span could not be exported; the application is not affected")
            self.tally.add(1, dropped={INTERNAL_ERROR: 1})
            return INTERNAL_ERROR

    def close(self, timeout: float, *, outbox: bool) -> bool:
        """Delivers what it can and ends.

        Args:
            timeout: Most seconds.
            outbox: Whether the outbox ends too.

        Returns:
            Whether everything has been delivered.
        """
        is_delivered = self.outbox.shutdown(timeout) if outbox else self.outbox.flush(timeout)
        self._spending.close()
        return is_delivered

    def refuse(self, span: ReadableSpan) -> str:
        """What :meth:`put` is for an exporter that was shut down."""
        if not self._is_first(span):
            return ""
        self.tally.add(1, dropped={CLOSED: 1})
        return CLOSED

    def _is_first(self, span: ReadableSpan) -> bool:
        # All processors are given the same object, whenever they export it; `setdefault` is one step for all threads.
        mine = object()
        try:
            return vars(span).setdefault(self._mark, mine) is mine
        except TypeError:  # somebody's own kind of span, without a dictionary
            return True

    def _put(self, conversion: Conversion) -> str:
        made, left_out = conversion.made, conversion.left_out
        if len(made) == 1 and not left_out:  # as it is nearly always
            reason = self._write(made[0], conversion.owner)
            if reason == TAKEN:
                self.tally.add(1, enqueued=1, dropped=_NONE)
                return "" if self.outbox.durable else NOT_DURABLE
            return self._count(Counter((reason,)))
        became = Counter(left.reason.value for left in left_out if left.reason is not Reason.FILTERED)
        for one in made:
            became[self._write(one, conversion.owner)] += 1
        return self._count(became)

    def _count(self, became: Counter[str]) -> str:
        ended = sum(became.values())
        enqueued, sampled = became.pop(TAKEN, 0), became.pop(SAMPLED, 0)
        self.tally.add(ended, sampled=sampled, enqueued=enqueued, dropped=became)
        lost = next((reason for reason in became if reason not in _MEANT), "")
        return lost or (NOT_DURABLE if enqueued and not self.outbox.durable else "")

    def _write(self, made: Made, owner: Attribution) -> str:
        """Writes an event. :data:`TAKEN`, or what became of it instead."""
        spending = self._spending
        spending.count_model_call(made, owner)
        admission = spending.admit(made.event, owner)
        if isinstance(admission, str):
            return admission
        became = INTERNAL_ERROR
        try:
            # What the budgets have changed is no longer what was encoded.
            became = self._append(admission.event, made.encoded if admission.event is made.event else None)
        finally:
            spending.conclude(admission, made=became == TAKEN)
        return became

    def _append(self, event: Event, encoded: bytes | None) -> str:
        try:
            return self.outbox.offer(encode(event, encoded), event.importance)
        except OutboxFullError:  # the application wants to be told, but there is nobody here who could be
            return QUEUE_FULL
        except (TypeError, ValueError):
            return Reason.UNSERIALISABLE.value
