"""What becomes of a span: events, and the reasons why there are no others."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.export.event import Event


class Reason(str, Enum):
    """Why a span, or an event of it, was left out. The values are fit for a metric."""

    FILTERED = "filtered"
    """Nobody asked for it: no rule, a rule that drops, a list of names, a flag that is off."""
    SAMPLED = "sampled"
    """The trace is not among the part that is kept."""
    TOO_LARGE = "too_large"
    """Not even its ids fit into an event."""
    UNSERIALISABLE = "unserialisable"
    """Its values cannot be made JSON."""
    REDACTION_FAILED = "redaction_failed"
    """The redaction hook raised, or returned what is not an event."""
    INVALID = "invalid"
    """The span lacks what an event is made of, or the code of a rule failed on it."""


# What went wrong counts before what was meant.
_GRAVITY: Final = {
    Reason.INVALID: 0,
    Reason.REDACTION_FAILED: 1,
    Reason.UNSERIALISABLE: 2,
    Reason.TOO_LARGE: 3,
    Reason.SAMPLED: 4,
    Reason.FILTERED: 5,
}


class LeftOut(NamedTuple):
    """Something that did not become an event.

    Attributes:
        rule: Id of the rule, ``None`` when it is about the span as a whole.
        reason: Why, for counting.
        detail: Why, for people. Never a value of an attribute.
        event: Name of the event that was not made, where it was known.
    """

    rule: str | None
    reason: Reason
    detail: str
    event: str | None = None


class Made(NamedTuple):
    """An event with the rule that made it.

    Attributes:
        event: The event.
        rule: Id of the rule.
        model_cost: What the model call behind it cost in US dollars, ``None`` where that is not known.
        encoded: Its properties as JSON, where these were made along the way.
    """

    event: Event
    rule: str
    model_cost: Any = None
    encoded: bytes | None = None


class Conversion(NamedTuple):
    """What became of a span: at least one event or one reason.

    Attributes:
        made: The events with their rules.
        left_out: What was not made, and why.
        owner: Whose span it is, where there are events.
    """

    made: tuple[Made, ...]
    left_out: tuple[LeftOut, ...]
    owner: Attribution = NOBODY

    @property
    def events(self) -> tuple[Event, ...]:
        """The events."""
        return tuple([made.event for made in self.made])

    @property
    def reason(self) -> Reason | None:
        """Why there is no event, ``None`` when there is one; the gravest reason of several."""
        if self.made:
            return None
        return min((left.reason for left in self.left_out), key=_GRAVITY.__getitem__)

    @property
    def model_cost(self) -> Any:
        """What the model calls behind the events cost together in US dollars, ``None`` when that is not known."""
        costs = [made.model_cost for made in self.made if made.model_cost is not None]
        return sum(costs[1:], costs[0]) if costs else None


NO_RULE: Final = Conversion((), (LeftOut(None, Reason.FILTERED, "no rule is about such a span"),))
"""The conversion of a span that no rule is about."""
