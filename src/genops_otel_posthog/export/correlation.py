"""What ties an event to its span, its trace, its user and its session, by the names every system knows.

The same ids stand on the span in the trace backend and on the event, and they are computed from nothing but the span:
converting a span again gives the same event.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b, sha1
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from genops_otel_posthog import semconv
from genops_otel_posthog.acceptance import MAX_DISTINCT_ID, person_processing_allowed, without_nul
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.attribution.owner import FIELD_NAMES
from genops_otel_posthog.export.shapes import Names
from genops_otel_posthog.version import __version__

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

# PostHog's own endpoint for spans makes anonymous ids in this namespace
# (https://github.com/PostHog/posthog, rust/capture/src/otel/identity.rs); with the same one a trace that reaches
# PostHog both ways has one anonymous person.
_ANONYMOUS: Final = UUID("392e81d5-3d13-4a6f-b541-bdbf6c865e56").bytes
_VARIANT: Final = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}

#: Attributes that name the person, in the order they are asked.
DISTINCT_ID_SOURCES: Final = (
    "posthog.distinct_id",
    "ai.telemetry.metadata.posthog_distinct_id",
    semconv.GENOPS_USER_ID,
    "user.id",
    "enduser.id",
)

#: Attributes that name the session in which a person acts, in the order they are asked.
SESSION_SOURCES: Final = ("posthog.session_id", "session.id", semconv.GENOPS_SESSION_ID)


def event_uuid(trace_id: int, span_id: int, rule: str) -> str:
    """The uuid of the event that a rule makes of a span: version 8 (RFC 9562), the same whenever it is made."""
    data = (trace_id << 64 | span_id).to_bytes(24, "big") + rule.encode("utf-8", "replace")
    return _uuid_text(blake2b(data, digest_size=16).hexdigest(), "8")


def _uuid_text(digits: str, version: str) -> str:
    """32 digits with those that say that they are a uuid of this version."""
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def usable_distinct_id(value: object) -> str | None:
    """A distinct id as PostHog keeps it, ``None`` for what names nobody.

    What is longer than PostHog takes ends in a digest, so that two long ids stay two.
    """
    if value is None or isinstance(value, (bool, float)):
        return None
    text = without_nul(str(value).strip())
    if not text or not person_processing_allowed(text):
        return None
    if len(text) <= MAX_DISTINCT_ID and text.isascii():
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= MAX_DISTINCT_ID:
        return data.decode()
    digest = blake2b(data, digest_size=16).hexdigest()
    return f"{data[: MAX_DISTINCT_ID - 33].decode('utf-8', 'ignore')}~{digest}"


def anonymous_id(trace_id: str, session: str | None = None) -> str:
    """The id of a person who is not known: a uuid of version 5 for a session, else for a trace."""
    name = f"session:{session}" if session else f"trace:{trace_id}"
    return _uuid_text(sha1(_ANONYMOUS + name.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:32], "5")


def posthog_session_id(value: object) -> str | None:
    """A session id that PostHog takes: a UUID of version 7, ``None`` for any other.

    PostHog leaves every other out of its sessions (https://posthog.com/docs/data/sessions), so it is better not given.
    """
    if not isinstance(value, str) or len(value) != 36 or value[14] != "7":
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    return str(found) if found.version == 7 else None


_GROUPS: Final = (
    ("workspace", semconv.PROPERTY_WORKSPACE_ID),
    ("organization", semconv.PROPERTY_ORGANIZATION_ID),
)

#: What every event says about who made it and where it did not come from: the exporter's own address is nobody's place.
_LIBRARY: Final = {
    "$lib": "genops-otel-posthog",
    "$lib_version": __version__,
    "$is_server": True,
    "$geoip_disable": True,
}
_OWNER_ATTRIBUTES: Final = frozenset(attribute for _, attribute, _ in FIELD_NAMES)
_SESSIONS: Final = Names(*SESSION_SOURCES)
_USERS: Final = Names("user.id", "enduser.id")
_MOST_OWNERS: Final = 2_048


class Whose:
    """Whose spans they are that name the same owner.

    Attributes:
        owner: The owner.
        base: What the resource says, which the span's own attributes add to.
        distinct_id: The person, where the owner names one.
        properties: Those of every event, without what differs from span to span.
        names_user: Whether they name the user.
    """

    __slots__ = ("base", "distinct_id", "names_user", "owner", "properties")

    def __init__(self, owner: Attribution, base: Attribution) -> None:
        self.owner = owner
        self.base = base
        self.distinct_id = usable_distinct_id(owner.user_id)
        self.properties: dict[str, Any] = {
            semconv.PROPERTY_DOLLAR_TRACE_ID: None,
            semconv.PROPERTY_DOLLAR_SPAN_ID: None,
            semconv.PROPERTY_TRACE_ID: None,
            **_LIBRARY,
            **owner.event_properties(),
        }
        self.names_user = semconv.PROPERTY_USER_ID in self.properties


class Correlation:
    """Reads owner, person, session and ids off spans.

    Args:
        defaults: The owner where neither the span nor its resource names one.
        trace_url: Template of the link to a trace, with ``{trace_id}`` and ``{span_id}``; ``None`` for no link.
    """

    def __init__(self, defaults: Attribution, trace_url: str | None = None) -> None:
        self._defaults = defaults
        self._trace_url = trace_url
        self._of_resources: dict[int, tuple[object, Whose]] = {}
        self._of_values: dict[tuple[Any, ...], Whose] = {}

    def whose(self, span: SpanView) -> Whose:
        """Whose span it is. Answers are kept, because owners come again and again."""
        resource = span.span.resource
        kept = self._of_resources.get(id(resource))
        of_resource = kept[1] if kept is not None and kept[0] is resource else self._of_resource(span)
        names: tuple[str, ...] | None = span.shape.plans.get(_OWNER_ATTRIBUTES)
        if names is None:
            names = span.shape.plans[_OWNER_ATTRIBUTES] = tuple(filter(_is_of_owner, span.shape.names))
        if not names:
            return of_resource
        base, attributes = of_resource.owner, span.attributes
        values = [attributes[name] for name in names]
        key = (id(base), names, *values)
        try:
            known = self._of_values.get(key)
        except TypeError:  # a value that is a list
            known = None
        if known is None or known.base is not base:
            known = Whose(Attribution.from_attributes(attributes).over(base), base)
            if all(type(value) is str for value in values):  # 1 and true are equal, and not the same owner
                if len(self._of_values) >= _MOST_OWNERS:
                    self._of_values = {}
                self._of_values[key] = known
        return known

    def _of_resource(self, span: SpanView) -> Whose:
        # A process has one resource, so its identity is the key; holding it keeps the identity from being used again.
        owner = Attribution.from_resource(span.resource).over(self._defaults)
        whose = Whose(owner, owner)
        if len(self._of_resources) >= 64:
            self._of_resources = {}
        self._of_resources[id(span.span.resource)] = (span.span.resource, whose)
        return whose

    def properties(self, span: SpanView, whose: Whose) -> dict[str, Any]:
        """The properties that every event of a span has."""
        properties = whose.properties.copy()
        properties[semconv.PROPERTY_DOLLAR_TRACE_ID] = properties[semconv.PROPERTY_TRACE_ID] = span.trace_id
        properties[semconv.PROPERTY_DOLLAR_SPAN_ID] = span.span_id
        if not whose.names_user:
            user = span.first(*span.shape.among(_USERS))
            if user is not None:
                properties[semconv.PROPERTY_USER_ID] = user
        for source in span.shape.among(_SESSIONS):
            session = posthog_session_id(span.attributes[source])
            if session is not None:
                properties["$session_id"] = session
                break
        if self._trace_url is not None:
            link = self._trace_url.replace("{trace_id}", span.trace_id).replace("{span_id}", span.span_id)
            properties[semconv.PROPERTY_TRACE_URL] = link
        return properties


def groups_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """The PostHog groups of an event: its workspace and its organisation."""
    groups: dict[str, str] = {}
    for group, name in _GROUPS:
        key = properties.get(name)
        if key:
            groups[group] = str(key)
    return groups


def _is_of_owner(attribute: str) -> bool:
    return attribute in _OWNER_ATTRIBUTES or attribute.startswith(semconv.GENOPS_TAG_PREFIX)
