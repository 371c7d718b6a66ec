"""Budgets in a TOML file: as many as there are owners, in one place that can be reviewed.

Every entry that is wrong is reported at once, with its line. Numbers are read as they are written: 12.10 is twelve
dollars and ten cents, and no binary fraction.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from genops_otel_posthog.budgets import fields
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.environment_budgets import settings_thresholds, warn_once
from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.overlap import contradicted, contradiction
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLES: Final = ("budget", "defaults", "sampling")
_DEFAULTS: Final[Mapping[str, Callable[[Any], object]]] = {
    "period": fields.period,
    "time_zone": fields.time_zone,
    "policy": fields.policy,
    "thresholds": fields.thresholds,
    "grace_percent": fields.grace_percent,
    "strict_percent": fields.strict_percent,
    "hold": fields.switch,
}
_KEYS: Final = ("id", "limit", "scope", "meter", *_DEFAULTS, "anchor", "days", "starts", "ends", "override")
_OVERRIDE_KEYS: Final = ("amount", "starts", "until", "reason")
_REQUIRED: Final = {
    "id": "write the name under which the ledger keeps what is spent, like id = 'checkout-daily'",
    "limit": "write what may be spent in US dollars, like limit = 20",
}
_REQUIRED_OF_OVERRIDE: Final = {
    "amount": "write what is added to the limit, like amount = 50",
    "starts": "write the first day, like starts = 2026-11-27",
    "until": "write the last day, like until = 2026-11-30",
}
# Of two that exclude each other, the one that an entry has comes before the other one of the defaults.
_EXCLUSIVE: Final = {"grace_percent": "strict_percent", "strict_percent": "grace_percent"}
_WITHOUT_GRACE: Final = ("advisory", "strict")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_HEADER = re.compile(r"""[ \t]*\[\[[ \t]*["']?budget["']?[ \t]*\]\]""")


@dataclass(frozen=True)
class BudgetFile:
    """What a budgets file says.

    Attributes:
        path: The file; ``None`` where there is none.
        budgets: Its budgets, in its order.
        sampling: Its table ``[sampling]`` as it is written, decimal fractions as ``Decimal``; ``None`` without one.
    """

    path: Path | None = None
    budgets: tuple[Budget, ...] = ()
    sampling: Mapping[str, object] | None = None

    @classmethod
    def from_settings(cls, settings: Settings, *, strict: bool = True) -> BudgetFile:
        """The file that ``GENOPS_BUDGETS_FILE`` names; an empty one where it names none.

        Args:
            settings: The environment; its time zone and thresholds are for budgets that have none of their own.
            strict: Raise where the file cannot be used. Otherwise that is logged once, and it counts as empty.

        Raises:
            GenOpsConfigurationError: ``strict``, and the file cannot be used.
        """
        if settings.budgets_file is None:
            return cls()
        try:
            return load_budget_file(
                settings.budgets_file, time_zone=settings.budget_time_zone, thresholds=settings_thresholds(settings)
            )
        except GenOpsConfigurationError as error:
            if strict:
                raise
            warn_once("the budgets", f"{error}\nUntil this is corrected, no budget of the file applies.")
            return cls()


def load_budget_file(
    path: str | Path,
    *,
    time_zone: str = "UTC",
    thresholds: Mapping[PeriodKind, tuple[Threshold, ...]] | None = None,
) -> BudgetFile:
    """Reads a budgets file.

    Args:
        path: The file; ``~`` stands for the user's directory.
        time_zone: The time zone of budgets for which the file names none.
        thresholds: The thresholds of budgets for which the file names none, by period.

    Raises:
        GenOpsConfigurationError: The file cannot be read or is wrong. The message has a line for each problem, which
            names the file, the entry, the key and the value.
    """
    path = Path(path).expanduser()
    text = _text(path)
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise GenOpsConfigurationError(f"{path}: this is not TOML: {error}") from None
    reader = _Reader(path, text, document)
    sampling = reader.table("sampling")
    budgets = reader.budgets(time_zone, thresholds or {})
    if reader.problems:
        raise GenOpsConfigurationError("\n".join(reader.problems))
    return BudgetFile(path, budgets, None if sampling is None else MappingProxyType(sampling))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GenOpsConfigurationError(f"{path}: this is not UTF-8, as TOML is: {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise GenOpsConfigurationError(f"{path}: the budgets file cannot be read: {reason}") from None


class _Reader:
    """Turns a document into budgets and collects what is wrong with it."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self.problems: list[str] = []
        self._path = path
        self._document = document
        # TOML's reader gives no lines. The headers give them exactly where there are as many as entries; there are more
        # where a text over several lines contains one, and none where the budgets are written as one array.
        self._lines = [number for number, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
        for key in document:
            if key not in _TABLES:
                self._refuse(str(path), f"unknown key {key!r}; {fields.choices(key, _TABLES)}")

    def table(self, name: str) -> dict[str, Any] | None:
        """A table of the document."""
        table = self._document.get(name)
        if table is None or isinstance(table, dict):
            return table
        self._refuse(str(self._path), f"{name} {table!r} is not a table; write [{name}] and its keys below it")
        return None

    def budgets(self, time_zone: str, thresholds: Mapping[PeriodKind, tuple[Threshold, ...]]) -> tuple[Budget, ...]:
        """The budgets, as far as nothing is wrong with them."""
        entries = self._document.get("budget", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._refuse(
                str(self._path), "budget is not a list of tables; write [[budget]], with two brackets, for each"
            )
            return ()
        defaults = {"time_zone": time_zone, **self._defaults()}
        found: dict[str, Budget] = {}
        for number, entry in enumerate(entries, 1):
            where = self._where(number, len(entries), entry)
            budget = self._budget(where, entry, defaults, thresholds)
            if budget is None:
                continue
            other = contradicted(budget, found.values())
            if budget.id in found:
                self._refuse(where, "an entry above has the same id; ids are unique")
            elif other is not None:
                self._refuse(where, contradiction(budget, other))
            else:
                found[budget.id] = budget
        return tuple(found.values())

    def _defaults(self) -> dict[str, Any]:
        where = f"{self._path}: [defaults]"
        given = self.table("defaults") or {}
        self._check_keys(where, given, tuple(_DEFAULTS))
        defaults = {}
        for name, value in given.items():
            if name in _DEFAULTS:
                try:
                    _DEFAULTS[name](value)
                    defaults[name] = value
                except ValueError as error:
                    self._refuse(where, f"{name} {fields.shown(value)} {error}")
        if all(name in defaults for name in _EXCLUSIVE):
            self._refuse(where, f"{' and '.join(_EXCLUSIVE)} exclude each other; keep one of the two")
        return defaults

    def _budget(
        self,
        where: str,
        entry: dict[str, Any],
        defaults: Mapping[str, Any],
        thresholds: Mapping[PeriodKind, tuple[Threshold, ...]],
    ) -> Budget | None:
        overrides = self._overrides(where, entry.get("override", []))
        complete = self._check_keys(where, entry, _KEYS, _REQUIRED)
        if not complete or overrides is None:
            return None
        given = {name: value for name, value in defaults.items() if _EXCLUSIVE.get(name) not in entry}
        given |= {name: value for name, value in entry.items() if name != "override"}
        with contextlib.suppress(ValueError):  # a policy that is none is refused with the budget
            if "grace_percent" not in entry and fields.policy(given.get("policy")) in _WITHOUT_GRACE:
                given.pop("grace_percent", None)
        try:
            budget = Budget(**given, overrides=overrides)
        except GenOpsConfigurationError as error:
            self._refuse(where, str(error).removeprefix(f"budget {entry['id']!r}: "))
            return None
        return budget if "thresholds" in given else replace(budget, thresholds=thresholds.get(budget.period, ()))

    def _overrides(self, where: str, entries: object) -> list[DatedOverride] | None:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._refuse(where, "override is not a list of tables; write [[budget.override]], with two brackets")
            return None
        overrides = []
        for number, entry in enumerate(entries, 1):
            here = f"{where}: override {number}"
            if self._check_keys(here, entry, _OVERRIDE_KEYS, _REQUIRED_OF_OVERRIDE):
                try:
                    overrides.append(DatedOverride(**entry))
                except GenOpsConfigurationError as error:
                    self._refuse(here, str(error).removeprefix("override: "))
        return overrides if len(overrides) == len(entries) else None

    def _check_keys(
        self, where: str, given: Mapping[str, Any], known: Sequence[str], required: Mapping[str, str] = _NOTHING
    ) -> bool:
        before = len(self.problems)
        meant = set()
        for key, value in given.items():
            if key in known:
                continue
            if key in fields.SCOPE_FIELDS and "scope" in known:
                self._refuse(where, f"{key} belongs into the scope; write scope = {{ {key} = {fields.shown(value)} }}")
            else:
                meant.update(difflib.get_close_matches(key, known, n=1))
                self._refuse(where, f"unknown key {key!r}; {fields.choices(key, known)}")
        for key, advice in required.items():
            if key not in given and key not in meant:
                self._refuse(where, f"{key} is missing; {advice}")
        return len(self.problems) == before

    def _where(self, number: int, entries: int, entry: Mapping[str, Any]) -> str:
        line = f":{self._lines[number - 1]}" if len(self._lines) == entries else ""
        name = f" ({fields.shown(entry['id'])})" if "id" in entry else ""
        return f"{self._path}{line}: [[budget]] {number}{name}"

    def _refuse(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}")
