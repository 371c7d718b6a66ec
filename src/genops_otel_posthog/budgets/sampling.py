"""Before a budget refuses: as it fills, fewer of the events that matter least are sent, each standing for more.

Which events are kept does not depend on chance but on whose they are, so that of one person either all events of a kind
arrive or none, and funnels stay whole. An event that is kept carries the rate at which its kind was kept, so that
counts can be corrected by dividing by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import TypeGuard

from genops_otel_posthog.errors import GenOpsConfigurationError

NEVER_SAMPLED = ("*conversion*", "*converted*", "*signup*", "*sign_up*", "*signed_up*", "*purchase*")
"""Events that decide about money are always sent, whatever a rule says."""

RATES: Mapping[str, float] = MappingProxyType(
    {
        "$pageview": 0.1,
        "$screen": 0.1,
        "*page_view*": 0.1,
        "*pageview*": 0.1,
        "$autocapture": 0.2,
        "*click*": 0.2,
        "*feature_use*": 0.8,
        "*error*": 1.0,
    }
)
"""Parts of each kind of event that are still sent when a budget is spent, the first pattern that matches counts.
The figures are those of the GenOps guide for PostHog, "smart sampling"; other events: :data:`DEFAULT_RATE`."""

DEFAULT_RATE = 0.5

_STEPS = 100  # of a rate: a percent; keeps the rates that occur few
_SPACE = 1 << 64


@dataclass(frozen=True)
class SamplingRules:
    """Which events may be left out, and when.

    Attributes:
        starts_at: Part of the fullest budget from which on events are left out, 0 to 1.
        full_at: Part at which only the rates below are left; in between it is gradual.
        rates: Pattern of event names (``*`` stands for anything) -> part that is still sent at ``full_at``.
        default: The same for all other events.
        never: Patterns of events that are always sent, besides :data:`NEVER_SAMPLED`.

    Raises:
        GenOpsConfigurationError: a rate or a part is not between 0 and 1, or the two parts are in the wrong order.
    """

    starts_at: float = 0.8
    full_at: float = 1.0
    rates: Mapping[str, float] = field(default_factory=lambda: RATES)
    default: float = DEFAULT_RATE
    never: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("default", self.default), *self.rates.items()):
            if not 0 <= value <= 1:
                raise GenOpsConfigurationError(f"sampling: the rate of {name} is {value}; it must be between 0 and 1")
        if not 0 <= self.starts_at < self.full_at <= 1:
            raise GenOpsConfigurationError(
                f"sampling starts at {self.starts_at} and is full at {self.full_at}; "
                "both are parts of a budget between 0 and 1, and the first is the smaller one"
            )

    @classmethod
    def from_table(cls, table: Mapping[str, object], origin: str) -> SamplingRules:
        """Reads the table ``[sampling]`` of a budget file.

        Args:
            table: Keys are the attributes of this class; ``rates`` adds to :data:`RATES`.
            origin: Where it stands, for errors.

        Raises:
            GenOpsConfigurationError: a key is unknown, or a value is of the wrong kind.
        """
        known = set(cls.__dataclass_fields__)
        unknown = sorted(table.keys() - known)
        if unknown:
            raise GenOpsConfigurationError(
                f"{origin}: [sampling] has no {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        given: dict[str, object] = {}
        for key, value in table.items():
            if key == "rates":
                if not isinstance(value, Mapping) or not all(_is_number(rate) for rate in value.values()):
                    raise GenOpsConfigurationError(
                        f"{origin}: [sampling] rates must be a table of numbers, like rates = {{ '*click*' = 0.2 }}"
                    )
                own = {str(name): float(rate) for name, rate in value.items()}
                given[key] = {**own, **{name: rate for name, rate in RATES.items() if name not in own}}
            elif key == "never":
                if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                    raise GenOpsConfigurationError(f"{origin}: [sampling] never must be a list of event names")
                given[key] = tuple(value)
            elif not _is_number(value):
                raise GenOpsConfigurationError(f"{origin}: [sampling] {key} must be a number, not {value!r}")
            else:
                given[key] = float(value)
        return cls(**given)  # type: ignore[arg-type]  # checked above, key by key

    def rate(self, event: str, utilization: float) -> float:
        """The part of an event's kind that is sent: 1.0 is all.

        Args:
            event: Name of the event.
            utilization: How full the fullest budget is; 1.0 is its limit.
        """
        if utilization < self.starts_at:
            return 1.0
        rate = _rate_when_full(self, event)
        if rate == 1.0 or utilization >= self.full_at:
            return rate
        filled = (utilization - self.starts_at) / (self.full_at - self.starts_at)
        return round((1.0 - (1.0 - rate) * filled) * _STEPS) / _STEPS


def keeps(key: str, rate: float) -> bool:
    """Whether an event is sent at a rate. The same key is kept at every higher rate too.

    Args:
        key: Whose event it is: the distinct id, or the trace id where nobody is known.
        rate: Part that is sent, 0 to 1.
    """
    place = int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return place < rate * _SPACE


def _is_number(value: object) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


@lru_cache(maxsize=4096)
def _looked_up(never: tuple[str, ...], rates: tuple[tuple[str, float], ...], default: float, event: str) -> float:
    name = event.casefold()
    if _matches(name, NEVER_SAMPLED) or _matches(name, never):
        return 1.0
    for pattern, rate in rates:
        if fnmatchcase(name, pattern.casefold()):
            return rate
    # PostHog's own events keep books about people, groups and errors; none of them is traffic.
    return 1.0 if name.startswith("$") else default


def _rate_when_full(rules: SamplingRules, event: str) -> float:
    return _looked_up(rules.never, tuple(rules.rates.items()), rules.default, event)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.casefold()) for pattern in patterns)
