"""Whether governed analytics pays for itself: value against what it costs to introduce and to run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

HOURLY_RATE = Decimal(75)
"""US dollars per hour of implementation work, the figure of the guide's examples. Give your own."""


@dataclass(frozen=True)
class ReturnOnInvestment:
    """The first year, and every further one. All amounts in US dollars.

    Attributes:
        implementation_cost: Paid once.
        annual_cost: Paid every year: analytics and maintenance.
        annual_value: Earned or saved every year.
    """

    implementation_cost: Decimal
    annual_cost: Decimal
    annual_value: Decimal

    @property
    def annual_net_benefit(self) -> Decimal:
        """What every further year brings."""
        return self.annual_value - self.annual_cost

    @property
    def first_year_net_benefit(self) -> Decimal:
        """What the first year brings, which pays for the implementation."""
        return self.annual_net_benefit - self.implementation_cost

    @property
    def first_year_percent(self) -> Decimal | None:
        """First year's net benefit in percent of what the first year costs; ``None`` when it costs nothing."""
        cost = self.implementation_cost + self.annual_cost
        return self.first_year_net_benefit / cost * 100 if cost else None

    @property
    def payback_months(self) -> Decimal | None:
        """Months until the net benefit has paid for the implementation; ``None`` when it never does."""
        if not self.implementation_cost:
            return Decimal(0)
        if self.annual_net_benefit <= 0:
            return None
        return self.implementation_cost / (self.annual_net_benefit / 12)


def return_on_investment(
    *,
    annual_value: Decimal | str | float,
    annual_analytics_cost: Decimal | str | float,
    implementation_hours: Decimal | str | float = 0,
    hourly_rate: Decimal | str | float = HOURLY_RATE,
    annual_maintenance: Decimal | str | float = 0,
) -> ReturnOnInvestment:
    """Weighs value against cost.

    Args:
        annual_value: What the analytics earns or saves per year, US dollars.
        annual_analytics_cost: The PostHog bill of a year, for example the total of a forecast, US dollars.
        implementation_hours: Hours of work to introduce it.
        hourly_rate: US dollars per hour.
        annual_maintenance: Upkeep per year, US dollars.

    Raises:
        ValueError: an amount is negative or not a number.
    """
    given = {
        "annual_value": annual_value,
        "annual_analytics_cost": annual_analytics_cost,
        "implementation_hours": implementation_hours,
        "hourly_rate": hourly_rate,
        "annual_maintenance": annual_maintenance,
    }
    amounts = {name: Decimal(str(value)) for name, value in given.items()}
    for name, amount in amounts.items():
        if not amount.is_finite() or amount < 0:
            raise ValueError(f"{name} is {amount}; give a number, 0 or more")
    return ReturnOnInvestment(
        implementation_cost=amounts["implementation_hours"] * amounts["hourly_rate"],
        annual_cost=amounts["annual_analytics_cost"] + amounts["annual_maintenance"],
        annual_value=amounts["annual_value"],
    )
