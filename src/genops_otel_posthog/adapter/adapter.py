"""What the guide calls the adapter: the owner of this process's PostHog calls and what they have cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.money import float_usd_from_nano


class GenOpsPostHogAdapter:
    """The governance that :func:`~genops_otel_posthog.adapter.zero_code.auto_instrument` has put on this process.

    Args:
        host: The PostHog host that the module-level client sends to.
        telemetry: Where calls are attributed, priced and counted.
    """

    def __init__(self, host: str, telemetry: Telemetry) -> None:
        self.posthog_host = host
        self._telemetry = telemetry

    @property
    def owner(self) -> Attribution:
        """Who answers for calls that nobody else is named for."""
        return self._telemetry.resolver.defaults

    @property
    def governance_policy(self) -> str:
        """``advisory``, ``enforced`` or ``strict``."""
        return self._telemetry.governance_policy

    @property
    def team(self) -> str | None:
        """The team that answers for the cost."""
        return self.owner.team

    @property
    def project(self) -> str | None:
        """The project within the team."""
        return self.owner.project

    @property
    def environment(self) -> str | None:
        """The deployment environment."""
        return self.owner.environment

    @property
    def customer_id(self) -> str | None:
        """The customer that the process serves."""
        return self.owner.customer_id

    @property
    def cost_center(self) -> str | None:
        """The cost centre that is charged."""
        return self.owner.cost_center

    @property
    def tags(self) -> Mapping[str, str]:
        """The free tags."""
        return self.owner.tags

    def get_cost_summary(self) -> dict[str, Any]:
        """What the PostHog calls of this process have cost since it was instrumented.

        Returns:
            JSON-ready values: ``total_cost`` (USD), ``cost_by_meter`` (USD), ``usage`` (units by meter),
            ``month_to_date_usage`` and ``free_tier_remaining`` (units by meter, of the organisation as far as this
            process knows), ``price_book``, ``pricing_mode``, ``team``, ``project``, ``environment``,
            ``governance_policy``.
        """
        sums = self._telemetry.totals.by_meter()
        pricer = self._telemetry.pricer
        used = {meter: pricer.usage.used(meter) for meter in sums}
        return {
            "total_cost": float_usd_from_nano(sum(nano for _, nano in sums.values())),
            "cost_by_meter": {meter: float_usd_from_nano(nano) for meter, (_, nano) in sums.items()},
            "usage": {meter: units for meter, (units, _) in sums.items()},
            "month_to_date_usage": used,
            "free_tier_remaining": {
                meter: pricer.book.free_units_left(meter, used[meter]) for meter in sums if pricer.book.prices(meter)
            },
            "price_book": pricer.book.name,
            "pricing_mode": pricer.mode,
            "team": self.team,
            "project": self.project,
            "environment": self.environment,
            "governance_policy": self.governance_policy,
        }
