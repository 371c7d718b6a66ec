"""A span's way into the outbox: converted once, asked about once, serialised once, appended, and accounted for."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.export.encoding import encode
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.outbox import Outbox, OutboxFullError
from genops_otel_posthog.export.outbox.accounts import CLOSED, QUEUE_FULL
from genops_otel_posthog.export.rules import Conversion, Made, Reason, Rules
from genops_otel_posthog.export.tally import BUDGET, INTERNAL_ERROR, Tally

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from genops_otel_posthog.processor import PostHogContext

_logger = logging.getLogger(__name__)
_numbers = count(1)

_MEANT: Final = frozenset({BUDGET})
"""Reasons for a drop that somebody has decided on."""


class Spending(Protocol):
    """Who is asked before an event is written, and told what it cost."""

    def admit(self, event: Event, owner: Attribution) -> object | None:
        """Sets aside what an event costs; ``None``: a budget refuses it."""
        ...

    def conclude(self, admission: object, *, made: bool) -> None:
        """Spends what was set aside, or gives it back."""
        ...

    def model_call(self, made: Made, owner: Attribution) -> None:
        """Counts what the model call behind an event has cost; nothing that is decided here can save it any more."""
        ...


class Pipeline:
    """See the module. Safe to use from any thread and after a fork.

    Args:
        rules: Which spans become which events.
        outbox: Where these go.
        spending: Who decides about them and counts their cost; ``None``: nobody.

    Attributes:
        tally: What became of the spans.
    """

    def __init__(self, rules: Rules, outbox: Outbox, spending: Spending | None = None) -> None:
        self.rules = rules
        self.outbox = outbox
        self.tally = Tally()
        self._spending = spending
        self._mark = f"_genops_pipeline_{next(_numbers)}"

    def put(self, span: ReadableSpan, remembered: PostHogContext | None = None) -> bool:
        """Takes a span that has ended. Never raises.

        A span that comes a second time, because two processors lead here, is passed over.

        Returns:
            Whether all of it that was meant to become events is durable.
        """
        try:
            if not self._is_first(span):
                return True
            conversion = self.rules.events_for(span, remembered)
            if not conversion.made and conversion.reason is Reason.FILTERED:
                self.tally.add_filtered()
                return True
            return self._put(conversion)
        except Exception:
            _logger.exception("A span could not be exported; the application is not affected")
            self.tally.add(1, dropped={INTERNAL_ERROR: 1})
            return False

    def refuse(self, span: ReadableSpan) -> bool:
        """What :meth:`put` is for an exporter that was shut down."""
        if not self._is_first(span):
            return True
        self.tally.add(1, dropped={CLOSED: 1})
        return False

    def _is_first(self, span: ReadableSpan) -> bool:
        # All processors are given the same object, whenever they export it; `setdefault` is one step for all threads.
        mine = object()
        try:
            return vars(span).setdefault(self._mark, mine) is mine
        except TypeError:  # somebody's own kind of span, without a dictionary
            return True

    def _put(self, conversion: Conversion) -> bool:
        enqueued = sampled = 0
        dropped: Counter[str] = Counter()
        for made in conversion.made:
            refused = self._write(made, conversion.owner)
            if refused:
                dropped[refused] += 1
            else:
                enqueued += 1
        unmade = [left.reason for left in conversion.left_out if left.reason is not Reason.FILTERED]
        for reason in unmade:
            if reason is Reason.SAMPLED:
                sampled += 1
            else:
                dropped[reason.value] += 1
        self.tally.add(len(conversion.made) + len(unmade), sampled=sampled, enqueued=enqueued, dropped=dropped)
        return (not enqueued or self.outbox.durable) and (not dropped or _MEANT.issuperset(dropped))

    def _write(self, made: Made, owner: Attribution) -> str:
        """Writes an event; why it was not written, or nothing."""
        try:
            body = encode(made.event)
        except (TypeError, ValueError) as error:
            _logger.debug("An event of rule %s cannot be serialised: %s", made.rule, error)
            return Reason.UNSERIALISABLE.value
        spending = self._spending
        if spending is None:
            return self._offer(body, made.event.importance)
        if made.model_cost is not None:
            spending.model_call(made, owner)
        admission = spending.admit(made.event, owner)
        if admission is None:
            return BUDGET
        refused = INTERNAL_ERROR
        try:
            refused = self._offer(body, made.event.importance)
        finally:
            spending.conclude(admission, made=not refused)
        return refused

    def _offer(self, body: bytes, importance: str) -> str:
        try:
            return self.outbox.offer(body, importance)
        except OutboxFullError:  # the application has chosen to be told, but there is nobody here who could be
            return QUEUE_FULL
