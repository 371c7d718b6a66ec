"""One answer to "whose call is this?" from all sources, in their order, fast enough to be asked on every call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry import baggage
from opentelemetry.context import Context, get_current

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution.block import attribution_in
from genops_otel_posthog.attribution.clean import MAX_LENGTH
from genops_otel_posthog.attribution.owner import FIELD_NAMES, NOBODY, Attribution, tags_among

_CACHE_SIZE: Final = 2048

# Where a context keeps its baggage, seen by writing some. Looking there takes a fifth of the time of `get_all`, which
# is asked only if what lies there is not the dictionary that `get_all` wraps.
_BAGGAGE_KEY: Final = next(iter(baggage.set_baggage("key", "value", Context())))


class AttributionResolver:
    """Answers "whose call is this?". Safe to use from any thread.

    Answers are kept, so that an owner that comes again costs a look-up. The caches are bounded: a full one starts over.

    Args:
        defaults: What the instrumentor's options, the environment and the resource say, merged.
        baggage_fields: Fields that incoming W3C baggage may set; ``tags`` stands for all tags.
    """

    def __init__(self, defaults: Attribution, baggage_fields: Iterable[str] = ()) -> None:
        fields = frozenset(baggage_fields)
        self.defaults = defaults
        self._baggage_names = tuple(attribute for name, attribute, _ in FIELD_NAMES if name in fields)
        self._baggage_tags = "tags" in fields
        self._reads_baggage = bool(fields)
        self._resolved: dict[object, Attribution] = {}
        self._incoming: dict[tuple[object, ...], Attribution] = {}

    def resolve(self, context: Context | None = None, call: Attribution = NOBODY) -> Attribution:
        """The attribution of a call.

        Args:
            context: The OpenTelemetry context of the call; the current one when not given.
            call: What the call itself says.
        """
        if context is None:
            context = get_current()
        surrounding = attribution_in(context)
        carried = context.get(_BAGGAGE_KEY)
        incoming = NOBODY
        if carried and self._reads_baggage:
            incoming = self._from_baggage(carried if isinstance(carried, dict) else baggage.get_all(context))
        key: object = surrounding
        if call is not NOBODY or incoming is not NOBODY:
            key = (call, surrounding, incoming)
        elif surrounding is NOBODY:
            return self.defaults
        resolved = self._resolved.get(key)
        if resolved is None:
            resolved = call.over(surrounding).over(incoming).over(self.defaults)
            if len(self._resolved) >= _CACHE_SIZE:
                self._resolved.clear()
            self._resolved[key] = resolved
        return resolved

    def _from_baggage(self, entries: Mapping[str, object]) -> Attribution:
        key: tuple[object, ...] = tuple([entries.get(name) for name in self._baggage_names])
        if self._baggage_tags:
            for name, value in entries.items():
                if name.startswith(semconv.GENOPS_TAG_PREFIX):
                    key += (name, value)
        try:
            known = self._incoming.get(key)
        except TypeError:  # the application put something unhashable into the baggage itself
            return self._read(entries)
        if known is None:
            known = self._read(entries)
            # Strangers write baggage. What they write at length is read anew each time rather than kept.
            if all(isinstance(value, str) and len(value) <= MAX_LENGTH for value in key if value is not None):
                if len(self._incoming) >= _CACHE_SIZE:
                    self._incoming.clear()
                self._incoming[key] = known
        return known

    def _read(self, entries: Mapping[str, object]) -> Attribution:
        allowed = {name: entries[name] for name in self._baggage_names if name in entries}
        if self._baggage_tags:
            allowed.update((semconv.GENOPS_TAG_PREFIX + key, value) for key, value in tags_among(entries).items())
        return Attribution.from_attributes(allowed) or NOBODY
