"""Which events an adapter leaves out whatever its budget, so that high traffic costs less and funnels stay whole.

Not chance decides but whose event it is: of one person either all events of a kind are sent or none. An event that is
sent carries the rate of its kind (``genops_sample_rate``), so that counts can be corrected by dividing by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from genops_otel_posthog.budgets.sampling import SamplingRules
from genops_otel_posthog.errors import GenOpsConfigurationError


class EventSampling:
    """The rates of an adapter's events.

    Args:
        rules: Their rates; conversions, sign-ups and purchases are always sent.
        load: How far they apply, 0 (nothing is left out) to 1 (the rates as they stand).

    Raises:
        GenOpsConfigurationError: ``load`` is not between 0 and 1.
    """

    def __init__(self, rules: SamplingRules | None = None, load: float = 1.0) -> None:
        if not 0 <= load <= 1:
            raise GenOpsConfigurationError(f"the load of a sampling is {load}; it must be between 0 and 1")
        self.rules = rules or SamplingRules()
        self.load = load

    def rate(self, event: str) -> float:
        """The part of an event's kind that is sent: 1.0 is all."""
        rules = self.rules
        return rules.rate(event, rules.starts_at + (rules.full_at - rules.starts_at) * self.load)


PRESETS: Final[Mapping[str, EventSampling | None]] = {
    "off": None,
    "enabled": EventSampling(load=0.5),
    "aggressive": EventSampling(),
}
"""What the guide's tag ``cost_optimization`` means: ``aggressive`` is its rates for high traffic (a page view in ten, a
click in five), ``enabled`` half the way there."""


def preset(name: object) -> EventSampling | None:
    """The sampling of a name.

    Raises:
        GenOpsConfigurationError: There is none of that name.
    """
    try:
        return PRESETS[str(name).strip().lower()]
    except KeyError:
        raise GenOpsConfigurationError(
            f"cost_optimization={str(name)[:40]!r} cannot be used; use one of {', '.join(PRESETS)}"
        ) from None
