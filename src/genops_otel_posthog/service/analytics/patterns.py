"""Habits in what a user did: much switching of modes, much use of one component."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from genops_otel_posthog.service.analytics.records import BehaviorPattern, UserInteraction

LOOKED_AT: Final = 1_000
"""How many of the latest interactions are looked at."""

MODE_SWITCHES_ABOVE: Final = 5
"""More switches of the mode than this are a habit."""

COMPONENT_USES_ABOVE: Final = 10
"""More uses of one component than this are a habit."""


def behavior_patterns(user_id: str, interactions: Sequence[UserInteraction], now: datetime) -> list[BehaviorPattern]:
    """The habits that show in interactions of a user.

    Args:
        user_id: Whose interactions they are.
        interactions: In any order.
        now: When they are looked at, aware UTC.
    """
    found = []
    switches = [each for each in interactions if each.interaction_type == "mode_switch"]
    if len(switches) > MODE_SWITCHES_ABOVE:
        found.append(
            BehaviorPattern(
                pattern_id=f"mode_switch_{user_id}",
                pattern_name="Frequent mode switching",
                user_id=user_id,
                frequency=len(switches),
                last_observed=now,
                confidence=0.85,
                associated_modes=_of_metadata(switches, "to_mode", "toMode"),
                triggers=_of_metadata(switches, "trigger"),
            )
        )
    uses = Counter(
        each.component for each in interactions if each.interaction_type == "component_interaction" and each.component
    )
    for component, count in uses.most_common():
        if count > COMPONENT_USES_ABOVE:
            found.append(
                BehaviorPattern(
                    pattern_id=f"component_{component}_{user_id}",
                    pattern_name=f"Frequent use of {component}",
                    user_id=user_id,
                    frequency=count,
                    last_observed=now,
                    confidence=min(0.5 + count / 100, 0.95),
                )
            )
    return found


def _of_metadata(interactions: Sequence[UserInteraction], *names: str) -> tuple[str, ...]:
    """What the metadata of interactions says under one of these names, each once, ``unknown`` where it says nothing."""

    def word(metadata: Any) -> str:
        given = (metadata.get(name) for name in names) if metadata else ()
        return next((str(value) for value in given if value is not None), "unknown")

    return tuple(sorted({word(each.metadata) for each in interactions}))
