"""Flags that decide what this package itself writes, asked so often that the answer must already be there.

Whoever writes (the exporter, a destination) asks :meth:`Gates.allows` by name. It never waits, never raises, is never
seen by instrumentation and never becomes an event, so that writing cannot cause more to write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.flags.answer import Subject
from genops_otel_posthog.flags.chain import FlagChain

TRACK_MODEL_COSTS: Final = "track_model_costs"
"""Whether costs of models are written."""
ENABLE_GUARDRAILS_TRACING: Final = "enable_guardrails_tracing"
"""Whether ``prompt_blocked`` is written, whatever blocked the prompt."""
VERSIONED_RAG_TRACKING: Final = "versioned_rag_tracking"
"""Whether ``rag_query_triggered`` is written."""
AGENT_DEBUGGER_UI: Final = "agent_debugger_ui"
"""Whether a front end shows its agent debugger."""

GATES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        TRACK_MODEL_COSTS: True,
        ENABLE_GUARDRAILS_TRACING: True,
        VERSIONED_RAG_TRACKING: True,
        AGENT_DEBUGGER_UI: False,
    }
)
"""Each gate with what holds when neither PostHog nor the database knows it: records are kept, the page is not shown."""

KEPT_SECONDS: Final = 5.0
_MOST_KEPT: Final = 10_000


class Gatekeeper(Protocol):
    """What a writer needs of :class:`Gates`."""

    def allows(self, name: str, owner: Attribution = NOBODY) -> bool:
        """Whether what the gate stands before is to be written for this owner."""


class Gates:
    """Gates that follow flags.

    Args:
        chain: Who knows the flags.
        ask: Whether PostHog's server is asked for gates that the client cannot evaluate locally. Each gate then costs
            a billed request for each user in half a minute.
        kept: Seconds for which a decision is not made anew.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        chain: FlagChain,
        *,
        ask: bool = False,
        kept: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._ask = ask
        self._kept = kept
        self._clock = clock
        self._decisions: dict[tuple[str, str | None, str | None], tuple[bool, float]] = {}

    def allows(self, name: str, owner: Attribution = NOBODY) -> bool:
        """Whether a gate is open.

        Args:
            name: The flag. One that is none of :data:`GATES` is closed when nobody knows it.
            owner: Whose data it is about: its user and workspace decide.
        """
        place = (name, owner.user_id, owner.workspace_id)
        now = self._clock()
        found = self._decisions.get(place)
        if found is not None and now < found[1]:
            return found[0]
        answer = self._chain.answer_now(
            name,
            Subject(user=owner.user_id, workspace=owner.workspace_id),
            GATES.get(name, False),
            ask=self._ask,
        )
        if len(self._decisions) >= _MOST_KEPT:
            self._decisions.clear()
        self._decisions[place] = (answer.enabled, now + self._kept)
        return answer.enabled

    def of_span(self, name: str, span: object, owner: Attribution) -> bool:
        """The same as rules of spans ask it: ``PostHogSpanExporter(gate=gates.of_span)``."""
        return self.allows(name, owner)

    def of_event(self, name: str, event: Mapping[str, Any]) -> bool:
        """The same as destinations ask it, of an event in PostHog's form: ``DatabaseDestination(gate=gates.of_event)``.

        The user is that of the property ``user_id``, else the distinct id; the workspace that of ``workspace_id``.
        """
        properties = event.get("properties") or {}
        user = properties.get(semconv.PROPERTY_USER_ID) or event.get("distinct_id")
        return self.allows(name, Attribution(user_id=user, workspace_id=properties.get(semconv.PROPERTY_WORKSPACE_ID)))
