"""Names of the ledger's keys in Redis; ``shared.lua`` says what is under them."""

from __future__ import annotations

import re

from genops_otel_posthog.budgets.ledger.protocol import PeriodKey

_NAMESPACE = re.compile(r"[A-Za-z0-9._:-]{1,100}")

_FIXED = (
    "ledger",  # the scripts take the part before it from the first key
    "limits",
    "overrides",
    "alerts",
    "claims",
    "claimants",
    "periods",
    "journal:routine",
    "journal:notable",
)


class Keys:
    """Keys of one ledger. All lie in the slot of a cluster that their hash tag names.

    Args:
        namespace: Sets ledgers on one server apart.

    Raises:
        ValueError: the namespace holds a character that a hash tag or a listing of keys could misread.
    """

    def __init__(self, namespace: str) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(
                f"the namespace {namespace!r} is not made of 1 to 100 letters, digits and . _ : -; name it like acme"
            )
        self.prefix = f"{{gp:{namespace}}}:"
        self.fixed = tuple(self.prefix + name for name in _FIXED)
        self.journals = self.fixed[-2:]

    def process(self, process: str) -> str:
        return f"{self.prefix}process:{process}"

    def counted(self, process: str, month: str) -> str:
        return f"{self.prefix}counted:{process}:{month}"

    def usage(self, month: str) -> str:
        return f"{self.prefix}usage:{month}"

    def leases(self, budget: str) -> str:
        return f"{self.prefix}leases:{budget_name(budget)}"

    def period(self, key: PeriodKey) -> str:
        return f"{self.prefix}period:{period_name(key)}"


def budget_name(budget: str) -> str:
    """A budget's id without the colon that ends it in a key."""
    return budget.replace("%", "%25").replace(":", "%3A")


def period_name(key: PeriodKey) -> str:
    """A period of a budget, in a key."""
    return f"{budget_name(key.budget)}:{key.period}"
