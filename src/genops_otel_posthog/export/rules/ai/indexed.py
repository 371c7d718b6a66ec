"""Lists that were flattened into attributes: ``llm.prompts.0.role`` and its like, put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MAX_ENTRIES = 2_000


def indexed(attributes: Mapping[str, Any], prefix: str, groups: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The entries below ``prefix``, in the order of their numbers.

    Args:
        attributes: Attributes of a span.
        prefix: What stands before the number, with its point.
        groups: Names inside an entry that are themselves such lists.
    """
    entries: dict[int, dict[str, Any]] = {}
    nested: dict[tuple[int, str], dict[str, Any]] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        number, _, rest = key[len(prefix) :].partition(".")
        if not rest or not number.isdigit() or len(number) > 6:
            continue
        position = int(number)
        if position not in entries and len(entries) >= _MAX_ENTRIES:
            continue
        entry = entries.setdefault(position, {})
        group = next((group for group in groups if rest.startswith(group + ".")), None)
        if group is None:
            entry[rest] = value
        else:
            nested.setdefault((position, group), {})[rest[len(group) + 1 :]] = value
    for (position, group), inner in nested.items():
        entries[position][group] = indexed({f".{key}": value for key, value in inner.items()}, ".")
    return [entries[position] for position in sorted(entries) if entries[position]]
