"""Anything that may hang on a span, as plain JSON of bounded size.

Instrumentations put what they find on spans: megabytes of prompts, bytes, NaN, objects that contain themselves. An
event must be JSON that PostHog takes (at most 1 MB, no NUL, valid Unicode), so values are repaired or cut here, in one
walk, and what was cut is named in the event. Sizes are those of JSON in UTF-8, not of JSON in ASCII.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any
from uuid import UUID

from genops_otel_posthog.export.encoding import encode_plain
from genops_otel_posthog.export.text import MAX_VALUE_BYTES, spoken, text

MAX_EVENT_BYTES = 900_000
"""Most bytes of an event's properties: what PostHog's own endpoint for spans takes for one event."""

MAX_PROPERTIES = 500
"""Most properties of one event."""

MAX_DEPTH = 12
"""Deepest nesting of lists and mappings; cycles end here too."""

MAX_ITEMS = 2_000
"""Most items of one list or mapping inside a property."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_EXACT_INTEGERS = 2**63
_PLAIN_TEXT_LENGTH = 1_000
_SHORT_LENGTH = 256  # characters of ASCII
_SHORT_BYTES = 350  # what such a text takes with a name, mostly
_PART_BYTES = 32  # more than any value in a list or mapping takes besides its text
_NOT_PLAIN = -1_000_000_000
_MOST_NAMED = 50
_ELLIPSIS = "…"


def encoded_as_it_is(properties: dict[str, Any], given: int, limit: int) -> tuple[dict[str, Any], bytes] | None:
    """The properties and their JSON, where nothing of them has to be repaired or cut, as it is nearly always.

    The encoder refuses what JSON cannot say, and the size of what it made is that of all values together. So values
    need not be looked at one by one, but for those in lists and mappings.

    Args:
        properties: Those that leave, by the names under which they do.
        given: How many there were before.
        limit: Most bytes of all values together.

    Returns:
        ``None`` where :class:`Plain` has to look at every value.
    """
    room = min(limit, MAX_VALUE_BYTES) - _SHORT_BYTES * given
    if room < 0 or given > MAX_PROPERTIES:
        return None
    kinds = set(map(type, properties.values()))
    if not kinds <= _SCALARS:
        made: dict[str, Any] = {}
        for name, value in properties.items():
            kind = type(value)
            if kind not in _SCALARS:
                if kind is tuple:
                    made[name] = value = list(value)
                elif kind is not list and kind is not dict:
                    return None
                parts = _plain_parts(value, 0)
                if parts < 0:
                    return None
                room -= parts * _PART_BYTES
        if made:
            properties = {**properties, **made}
    encoded = encode_plain(properties)
    if encoded is None or len(encoded) > room:
        return None
    if float in kinds and not all(map(math.isfinite, [one for one in properties.values() if type(one) is float])):
        return None
    return properties, encoded


def _plain_parts(container: Any, depth: int) -> int:
    """How many values there are in a list or mapping in which nothing has to be repaired; below 0 where something may.

    What the encoder refuses need not be looked for.
    """
    if depth >= MAX_DEPTH or len(container) > MAX_ITEMS:
        return _NOT_PLAIN
    parts = 1 + len(container)
    items = container
    if type(container) is dict:
        for key in container:
            if type(key) is not str or len(key) > _PLAIN_TEXT_LENGTH:
                return _NOT_PLAIN
        items = container.values()
    for value in items:
        kind = type(value)
        if kind is list or kind is dict:
            parts += _plain_parts(value, depth + 1)
        elif kind not in _SCALARS or (kind is float and not math.isfinite(value)):
            return _NOT_PLAIN
    return parts


class Plain:
    """One event's values on their way to JSON, with what is left of its size.

    Args:
        limit: Most bytes of all values together.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self.left = limit
        self.cut = False

    def properties(
        self, given: Mapping[Any, Any], name_of: Callable[[Any], str | None]
    ) -> tuple[dict[str, Any], list[str]]:
        """The properties as plain JSON.

        Args:
            given: Names and values, the important ones first: what does not fit is left out from the end on.
            name_of: The name under which a property leaves, ``None`` when it does not.

        Returns:
            The properties, and the names of those that were cut or left out.
        """
        result: dict[str, Any] = {}
        shortened: list[str] = []
        # Short values are the rule. They are not measured one by one: room is set aside for all of them at once.
        self.left -= _SHORT_BYTES * min(len(given), MAX_PROPERTIES)
        for given_name, value in given.items():
            name = name_of(given_name)
            if name is None:
                continue
            kind = type(value)
            if kind is str and len(value) <= _SHORT_LENGTH and value.isascii() and "\x00" not in value:
                plain: Any = value
            elif kind is bool or value is None or (kind is int and -_EXACT_INTEGERS <= value < _EXACT_INTEGERS):
                plain = value
            elif kind is float:
                plain = value if math.isfinite(value) else None
            else:
                self.cut = False
                plain = self.value(value)
                if self.cut:
                    shortened.append(name)
            if self.left < 0 or len(result) >= MAX_PROPERTIES:
                shortened.append(name)
                break
            result[name] = plain
        if self.left < 0 or len(result) >= MAX_PROPERTIES:
            missing = (name_of(name) for name in islice(given, len(result), len(result) + _MOST_NAMED))
            shortened.extend(name for name in missing if name is not None and name not in result)
        return result, list(dict.fromkeys(shortened))[:_MOST_NAMED]

    def value(self, value: Any, depth: int = 0) -> Any:
        """A value as plain JSON: ``None`` for what JSON cannot say (NaN, infinity)."""
        if value is None or isinstance(value, bool):
            self.left -= 5
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Enum):
            return self.value(value.value, depth + 1)
        if isinstance(value, int):
            self.left -= 20
            return int(value) if -_EXACT_INTEGERS <= value < _EXACT_INTEGERS else self._text(_digits(value))
        if isinstance(value, (float, Decimal)):
            self.left -= 24
            number = float(value)
            return number if math.isfinite(number) else None
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(_text_of_bytes(bytes(value)))
        if isinstance(value, date):
            return self._text(value.isoformat())
        if isinstance(value, UUID):
            return self._text(str(value))
        if isinstance(value, (Mapping, Sequence, AbstractSet)):
            return self._container(value, depth)
        return self._text(spoken(value))

    def _container(self, value: Mapping[Any, Any] | Sequence[Any] | AbstractSet[Any], depth: int) -> Any:
        self.left -= 2
        if depth >= MAX_DEPTH:
            self.cut = True
            return _ELLIPSIS
        if isinstance(value, Mapping):
            mapping: dict[str, Any] = {}
            for number, (key, item) in enumerate(value.items()):
                if number >= MAX_ITEMS or self.left <= 0:
                    self.cut = True
                    break
                name = text(key)[:_PLAIN_TEXT_LENGTH]
                self.left -= len(name) + 6
                mapping[name] = self.value(item, depth + 1)
            return mapping
        items: list[Any] = []
        for number, item in enumerate(value):
            if number >= MAX_ITEMS or self.left <= 0:
                self.cut = True
                break
            self.left -= 2
            items.append(self.value(item, depth + 1))
        return items

    def _text(self, value: str) -> str:
        result = text(value[: MAX_VALUE_BYTES + 1])
        size = _size(result)
        room = min(MAX_VALUE_BYTES, max(self.left - 8, 0))
        if size > room:
            self.cut = True
            result = _fitting(result, room)
            size = _size(result)
        self.left -= size + 3
        return result


def _digits(value: int) -> str:
    try:
        return str(int(value))
    except ValueError:  # Python refuses to write out integers of more than 4,300 digits
        return hex(value)


def _text_of_bytes(value: bytes) -> str:
    value = value[:MAX_VALUE_BYTES]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


def _size(value: str) -> int:
    """Bytes of a text in JSON."""
    if len(value) <= _PLAIN_TEXT_LENGTH and value.isascii():
        return len(value)
    escaped = value.count('"') + value.count("\\") + value.count("\n") + value.count("\r") + value.count("\t")
    size = len(value.encode()) + escaped
    if not value.isprintable():
        size += 5 * sum(1 for character in value if character < " " and character not in "\n\r\t")
    return size


def _fitting(value: str, room: int) -> str:
    """The beginning of a text that has at most ``room`` bytes in JSON."""
    length = len(value)
    while length:
        cut = value[:length]
        size = _size(cut)
        if size + len(_ELLIPSIS.encode()) <= room:
            return cut + _ELLIPSIS
        length = min(length - 1, int(length * max(room - 4, 0) / size))
    return ""
