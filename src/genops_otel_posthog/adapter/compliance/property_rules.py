"""Which properties are left out and which are replaced, however deep they are: by name, in one walk over an event."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms, is_pseudonym
from genops_otel_posthog.adapter.compliance.safe_harbor import IDENTIFIERS, NOT_ABOUT_PEOPLE, OLDEST_AGE

DENIED: Final = "denied"
"""What a property is counted under that the application itself has denied."""

PSEUDONYMISED: Final = "pseudonymised"
OPAQUE: Final = "opaque"
"""What is counted that cannot be looked into: objects of other types than JSON knows, and what is nested too deeply."""

PERSON_IDS: Final = ("alias", "distinct_id", "*_distinct_id", "user_id", "*_user_id", "person_id")
"""Properties that hold the id of a person, and are replaced where distinct ids are."""

_AGE: Final = "C age"
_OURS: Final = ("genops_",)
_DEEPEST: Final = 32
_MOST_KNOWN: Final = 4_096
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[^a-z0-9]+")
_BETWEEN_IN_PATTERN = re.compile(r"[^a-z0-9*?]+")
_PLAIN: Final = (str, int, float, Decimal, date, UUID, type(None))  # bool is int, datetime is date


class PropertyRules:
    """What happens to properties, by their names.

    Args:
        safe_harbor: Whether those are left out that the Safe Harbor identifiers name.
        deny: Patterns of further ones that are left out.
        pseudonymise: Patterns of those whose value is replaced by a pseudonym; they come first.
        pseudonyms: Makes them; ``None`` when nothing is to be replaced.
    """

    def __init__(
        self,
        *,
        safe_harbor: bool = False,
        deny: Iterable[str] = (),
        pseudonymise: Iterable[str] = (),
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self._pseudonyms = pseudonyms
        groups: list[tuple[str, Iterable[str]]] = []
        if pseudonyms is not None:
            groups.append((PSEUDONYMISED, (*pseudonymise, *PERSON_IDS)))
        groups.append((DENIED, deny))
        if safe_harbor:
            groups += [*IDENTIFIERS.items(), (_AGE, ("age", "*_age"))]
        self._groups = [
            (name, compiled) for name, patterns in groups if (compiled := _any_of(tuple(patterns))) is not None
        ]
        self._known: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def apply(
        self, properties: Mapping[str, Any], distinct_id: str | None = None
    ) -> tuple[dict[str, Any], Counter[str]]:
        """The properties that are left, and how many were left out or replaced, by the reason.

        The given ones are not changed.

        Args:
            distinct_id: Whose event it is. Values that are this id are replaced, whatever they are called.
        """
        walk = _Walk(self, distinct_id if self._pseudonyms is not None else None)
        return walk.mapping(properties, 0), walk.counts

    def verdict(self, name: str) -> str:
        """The reason for which a property of this name does not stay as it is; empty when it does."""
        try:
            return self._known[name]
        except KeyError:
            pass
        found = ""
        if not name.startswith(_OURS) and name not in NOT_ABOUT_PEOPLE:
            plain = _BETWEEN.sub("_", _spaced(name)).strip("_")
            found = next((reason for reason, pattern in self._groups if pattern.match(plain)), "")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[name] = found
        return found


class _Walk:
    """Over one event."""

    def __init__(self, rules: PropertyRules, distinct_id: str | None) -> None:
        self._rules = rules
        self._person = distinct_id
        self.counts: Counter[str] = Counter()

    def mapping(self, given: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in given.items():
            name = key if isinstance(key, str) else str(key)
            reason = self._rules.verdict(name)
            if reason == PSEUDONYMISED:
                kept[name] = self._pseudonym_of(value, depth)
            elif reason == _AGE:
                kept[name] = self._age(value)
            elif reason:
                self.counts[reason] += 1
            else:
                seen = self._value(value, depth + 1)
                if seen is not _LEFT_OUT:
                    kept[name] = seen
        return kept

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            if value == self._person and value:
                return self._pseudonym_of(value, depth)
            return value
        if isinstance(value, _PLAIN):
            return value
        if depth >= _DEEPEST:
            return self._opaque()
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset | deque):
            seen = (self._value(item, depth + 1) for item in value)
            return [item for item in seen if item is not _LEFT_OUT]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self.mapping(fields, depth)
        dump = getattr(value, "model_dump", None)  # pydantic, which the SDK would take apart later
        if callable(dump) and not isinstance(value, type):
            content = dump()
            return self.mapping(content, depth) if isinstance(content, Mapping) else self._opaque()
        return self._opaque()

    def _pseudonym_of(self, value: Any, depth: int) -> Any:
        """Of each text or number in it: a list of ids is a list of pseudonyms."""
        pseudonyms = self._rules._pseudonyms
        if value is None or pseudonyms is None:
            return value
        if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
            return [self._pseudonym_of(item, depth + 1) for item in value]
        text = str(value)
        if is_pseudonym(text):
            return text
        self.counts[PSEUDONYMISED] += 1
        return pseudonyms.of(text)

    def _age(self, value: Any) -> Any:
        """An age is a number; whatever else is called so is not let through."""
        if isinstance(value, int | float | Decimal) and value <= OLDEST_AGE:
            return value
        self.counts[_AGE] += 1
        return OLDEST_AGE + 1 if isinstance(value, int | float | Decimal) else None

    def _opaque(self) -> object:
        self.counts[OPAQUE] += 1
        return _LEFT_OUT


_LEFT_OUT: Final = object()


def _spaced(name: str) -> str:
    return _HUMP.sub("_", name).lower()


@lru_cache(maxsize=128)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    made = [translate(_BETWEEN_IN_PATTERN.sub("_", _spaced(pattern)).strip("_")) for pattern in patterns]
    return re.compile("|".join(made)) if made else None
