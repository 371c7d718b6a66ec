"""Reads price books from YAML and refuses a bad one with every problem it has, each with its line.

The document is composed, not loaded: nodes keep their place in the file and the spelling of their figures, so that a
price is taken exactly as written and an error can point at it. ``books/schema.json`` describes the same format for
editors. This module is imported when the first book is loaded, because it brings the YAML parser.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import yaml

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.money import nano_from_usd
from genops_otel_posthog.pricing.book import (
    FLAG_POLL_NOT_MODIFIED_UNITS,
    FLAG_POLL_UNITS,
    PriceBook,
    Rate,
    Tier,
    tier_problems,
)
from genops_otel_posthog.pricing.located_yaml import Fields, NodeReader, choices
from genops_otel_posthog.pricing.meters import METERS, unknown_meter

BOOKS_DIRECTORY = Path(__file__).parent / "books"

_BOOK_KEYS = ("name", "effective_from", "currency", "sources", "notes", "extends", "flag_definitions_poll", "rates")
_RATE_KEYS = ("unit", "plan", "source", "tiers")
_TIER_KEYS = ("from", "up_to", "price")
_POLL_KEYS = ("units", "not_modified_units", "source")
_DEEPEST = 10
_TOO_DEEP = "this is nested deeper than any price book"
_TOO_DEEP_FOR_YAML = "exceeded maximum nesting depth"  # what newer versions of its C library say themselves
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@lru_cache(maxsize=1)
def shipped_books() -> tuple[str, ...]:
    """Names of the books in the package: PostHog's own first, the newest of them at the top."""
    names = sorted((path.stem for path in BOOKS_DIRECTORY.glob("*.yaml")), reverse=True)
    return tuple(sorted(names, key=lambda name: not name.startswith("posthog-")))


def load_book(name_or_path: str | os.PathLike[str]) -> PriceBook:
    """Loads a shipped book by name or a file by path, see :meth:`PriceBook.load`."""
    if isinstance(name_or_path, str) and name_or_path in shipped_books():
        return _shipped_book(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise GenOpsConfigurationError(
            f"there is no price book {str(name_or_path)!r}; {choices(str(name_or_path), shipped_books())}, "
            "or give the path of a file of your own"
        )
    return read_book(path)


@cache
def _shipped_book(name: str) -> PriceBook:
    return read_book(BOOKS_DIRECTORY / f"{name}.yaml")


def read_book(path: Path) -> PriceBook:
    """Reads one file.

    Raises:
        GenOpsConfigurationError: one line ``path:line: reason`` for every problem of the file.
    """
    try:
        root = _compose(path)
    except (OSError, UnicodeDecodeError) as error:
        raise GenOpsConfigurationError(f"the price book {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        if reason == _TOO_DEEP_FOR_YAML:
            raise GenOpsConfigurationError(f"{path}:{mark.line + 1 if mark else 1}: {_TOO_DEEP}") from error
        raise GenOpsConfigurationError(f"{path}:{mark.line + 1 if mark else 1}: this is not YAML: {reason}") from error
    return _BookReader(path).book(root)


def _compose(path: Path) -> yaml.Node | None:
    text = path.read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where the wheel has it
    # Composing recurses, and too deep a recursion of the C loader crashes the interpreter; parsing does not recurse.
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise GenOpsConfigurationError(f"{path}:{line}: {_TOO_DEEP}")
    root: yaml.Node | None = yaml.compose(text, Loader=loader)
    return root


class _BookReader(NodeReader):
    """Builds a book from the nodes of its file."""

    def book(self, root: yaml.Node | None) -> PriceBook:
        """Builds the book.

        Raises:
            GenOpsConfigurationError: with all problems of the file.
        """
        fields = self.fields(root, "the price book", _BOOK_KEYS)
        base = self._base(fields)
        name = self._name(fields)
        effective_from = self._date(fields)
        sources = self._sources(fields)
        self._check_currency(fields, inherited="extends" in fields.values)
        units, not_modified_units = self._poll(fields, base)
        rates = dict(base.rates) if base else {}
        rates |= self._rates(fields, source=sources[0] if sources else "")
        notes = self.text(fields, "notes") or ""
        if self.problems or effective_from is None:
            raise GenOpsConfigurationError(self.report())
        return PriceBook(
            name=name,
            effective_from=effective_from,
            sources=(*sources, *(base.sources if base else ())),
            rates=rates,
            flag_poll_units=units,
            flag_poll_not_modified_units=not_modified_units,
            notes=notes,
        )

    # The parts of a book.

    def _base(self, book: Fields) -> PriceBook | None:
        name = self.text(book, "extends")
        if name is None:
            return None
        if name not in shipped_books():
            self.refuse(
                book.values["extends"], f"extends {name!r} is not a shipped book; {choices(name, shipped_books())}"
            )
            return None
        return _shipped_book(name)

    def _name(self, book: Fields) -> str:
        name = self.required_text(book, "name") or ""
        if name and not _NAME.fullmatch(name):
            self.refuse(
                book.values["name"], f"name {name!r}: use up to 64 letters, digits, dots, dashes and underscores"
            )
        return name

    def _date(self, book: Fields) -> date | None:
        text = self.required_text(book, "effective_from")
        if text is None:
            return None
        if _DATE.fullmatch(text):
            with suppress(ValueError):
                return date.fromisoformat(text)
        self.refuse(book.values["effective_from"], f"effective_from {text!r} is not a date like 2026-07-22")
        return None

    def _sources(self, book: Fields) -> tuple[str, ...]:
        node = self.required(book, "sources")
        if node is None:
            return ()
        items = self.items(node, "sources")
        if items == []:
            self.refuse(node, "sources is empty; say where the figures come from (a URL, a contract)")
        return tuple(filter(None, (self.scalar(item, "a source") for item in items or [])))

    def _check_currency(self, book: Fields, *, inherited: bool) -> None:
        if inherited and "currency" not in book.values:
            return
        currency = self.required_text(book, "currency")
        if currency not in (None, "USD"):
            self.refuse(
                book.values["currency"],
                f"currency {currency!r} is not supported; PostHog bills US dollars: convert the prices and write USD",
            )

    def _poll(self, book: Fields, base: PriceBook | None) -> tuple[int, int]:
        units = base.flag_poll_units if base else FLAG_POLL_UNITS
        not_modified_units = base.flag_poll_not_modified_units if base else FLAG_POLL_NOT_MODIFIED_UNITS
        node = book.values.get("flag_definitions_poll")
        if node is None:
            return units, not_modified_units
        figures = self.fields(node, "flag_definitions_poll", _POLL_KEYS)
        self.text(figures, "source")
        given, given_not_modified = self.whole(figures, "units"), self.whole(figures, "not_modified_units")
        return (
            units if given is None else given,
            not_modified_units if given_not_modified is None else given_not_modified,
        )

    def _rates(self, book: Fields, source: str) -> dict[str, Rate]:
        node = self.required(book, "rates")
        if node is None:
            return {}
        by_meter = self.fields(node, "rates")
        rates = {}
        for meter, value in by_meter.values.items():
            if meter not in METERS:
                self.refuse(by_meter.keys[meter], unknown_meter(meter))
                continue
            rate = self._rate(meter, by_meter.keys[meter], value, source)
            if rate is not None:
                rates[meter] = rate
        return rates

    def _rate(self, meter: str, key: yaml.Node, node: yaml.Node, source: str) -> Rate | None:
        fields = self.fields(node, f"the rate of {meter}", _RATE_KEYS, blame=key)
        unit = self.required_text(fields, "unit")
        expected = METERS[meter].unit
        if unit not in (None, expected):
            self.refuse(
                fields.values["unit"], f"unit {unit!r}: {meter} is counted in {expected!r}, give prices per {expected}"
            )
        plan = self.text(fields, "plan")
        source = self.text(fields, "source") or source
        tiers_node = self.required(fields, "tiers")
        tiers = self._tiers(tiers_node) if tiers_node is not None else None
        return None if tiers is None else Rate(meter=meter, unit=expected, tiers=tiers, plan=plan, source=source)

    def _tiers(self, node: yaml.Node) -> tuple[Tier, ...] | None:
        known_problems = len(self.problems)
        items = self.items(node, "tiers") or []
        tiers: list[Tier] = []
        for item in items:
            fields = self.fields(item, "a tier", _TIER_KEYS)
            self._check_from(fields, tiers[-1].up_to if tiers else 0)
            tiers.append(Tier(self._up_to(fields), self._price(fields)))
        if len(self.problems) == known_problems:
            for index, reason in tier_problems(tiers):
                self.refuse(items[index] if items else node, reason)
        return tuple(tiers) if len(self.problems) == known_problems else None

    def _check_from(self, tier: Fields, end_before: int | None) -> None:
        """``from`` is there for readers; where it is given it must say what the tiers say."""
        start = self.whole(tier, "from")
        if start is None or end_before is None or start == end_before:
            return
        relation = "leaves a gap after" if start > end_before else "overlaps"
        self.refuse(
            tier.values["from"],
            f"the tier from {start:,} {relation} the tier before it, which ends at {end_before:,}; "
            f"a tier holds the units above `from`, so write `from: {end_before}` or leave `from` out",
        )

    def _up_to(self, tier: Fields) -> int | None:
        node = self.required(tier, "up_to", hint="write `up_to: null` for the last one")
        return None if node is None or node.tag == "tag:yaml.org,2002:null" else self.whole(tier, "up_to")

    def _price(self, tier: Fields) -> int:
        text = self.required_text(tier, "price")
        if text is None:
            return 0
        node = tier.values["price"]
        if node.tag == "tag:yaml.org,2002:float":
            self.refuse(
                node, f'price {text} is a YAML float, which other readers round; put it in quotes: price: "{text}"'
            )
        elif not _AMOUNT.fullmatch(text):
            self.refuse(node, f'price {text!r} is not an amount of US dollars per unit, like "0.0000343"')
        else:
            try:
                return nano_from_usd(text)
            except ValueError as error:
                self.refuse(node, f"price {error}")
        return 0
