"""Where the facts of a call stand on a span, as a table; what of it concerns spans of one shape is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

Row = tuple[str, tuple[str, ...], Callable[[object], Any]]
"""A field of :class:`~.call.AiCall`, the attributes that may say it, and how their values are read."""


class Fields:
    """A table of fields.

    Args:
        *rows: The rows. Of a row's attributes, the first that is there and not empty counts.
    """

    __slots__ = ("_rows",)

    def __init__(self, *rows: Row) -> None:
        self._rows = rows

    def read(self, span: SpanView) -> dict[str, Any]:
        """What the span says, by field; nothing about what it does not say."""
        rows: tuple[Row, ...] | None = span.shape.plans.get(self)
        if rows is None:
            present = ((field, span.shape.of(names), read) for field, names, read in self._rows)
            rows = span.shape.plans[self] = tuple(row for row in present if row[1])
        attributes = span.attributes
        found: dict[str, Any] = {}
        for field, names, read in rows:
            for name in names:
                value = attributes[name]
                if value is not None and value != "":
                    found[field] = read(value)
                    break
        return found
