"""The event: what a rule makes of a span, what lies in the outbox, what destinations deliver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, init=False)
class Event:
    """One event in PostHog's form, complete and final: from here on it is only carried.

    Its uuid and timestamp come from the span, so that delivering it again delivers the same event: PostHog counts one
    event per day, name, distinct id and uuid.

    Attributes:
        name: Name of the event, at most 200 characters.
        distinct_id: Whose event it is.
        uuid: Derived from trace id, span id and rule.
        timestamp: ISO 8601 in UTC.
        properties: JSON values only.
        importance: ``critical`` events are kept when an outbox that is full has to drop others; ``low`` ones go first.
    """

    name: str
    distinct_id: str
    uuid: str
    timestamp: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    importance: str = "normal"

    def __init__(
        self,
        name: str,
        distinct_id: str,
        uuid: str,
        timestamp: str,
        properties: Mapping[str, Any] | None = None,
        importance: str = "normal",
    ) -> None:
        # At once: what a frozen dataclass makes of this takes twice as long, and every span that is exported pays it.
        vars(self).update(
            name=name,
            distinct_id=distinct_id,
            uuid=uuid,
            timestamp=timestamp,
            properties={} if properties is None else properties,
            importance=importance,
        )

    def body(self) -> dict[str, Any]:
        """The event as PostHog's batch API takes it; serialised once, these are the bytes in the outbox."""
        return {
            "event": self.name,
            "distinct_id": self.distinct_id,
            "uuid": self.uuid,
            "timestamp": self.timestamp,
            "properties": dict(self.properties),
        }
