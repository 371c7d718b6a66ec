"""What spans whose attributes have the same names have in common, worked out once for all of them.

An instrumentation writes the same attributes on every span of a kind. Which rules may be about it, which attributes
name its owner, which become properties: that follows from the names alone, and looking it up takes a fraction of
working it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOST_SHAPES = 1_024
_MOST_PLACES = 512  # scopes and names of spans, for one shape


class Names:
    """Names of attributes that are looked for together.

    Args:
        *names: In the order in which they are asked.
    """

    __slots__ = ("names",)

    def __init__(self, *names: str) -> None:
        self.names = names


class Shape:
    """One set of names, in the order in which they were written.

    Attributes:
        names: The names.
        found: By scope and name of a span: the rules that may be about it.
        plans: What others have worked out, by whatever tells them apart.
    """

    __slots__ = ("found", "names", "plans")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.found: dict[tuple[str, str], list[Any]] = {}
        self.plans: dict[Any, Any] = {}

    def among(self, wanted: Names) -> tuple[str, ...]:
        """Those of the wanted names that there are."""
        known: tuple[str, ...] | None = self.plans.get(wanted)
        if known is None:
            known = self.plans[wanted] = self.of(wanted.names)
        return known

    def of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The same, for those who keep the answer."""
        return tuple(name for name in names if name in self.names)

    def remember_found(self, place: tuple[str, str], found: list[Any]) -> None:
        """Keeps the rules for a scope and a name."""
        if len(self.found) >= _MOST_PLACES:  # names of spans that have ids in them
            self.found = {}
        self.found[place] = found


class Shapes:
    """The shapes that were seen lately. Safe to use from any thread: at worst something is worked out twice."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Shape] = {}

    def of(self, attributes: Mapping[str, Any]) -> Shape:
        """The shape of a span with these attributes."""
        names = tuple(attributes)
        known = self._known.get(names)
        if known is None:
            known = Shape(names)
            if len(self._known) >= _MOST_SHAPES:
                self._known = {}
            self._known[names] = known
        return known
