"""The owner of a call as one immutable value."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import Final, TypeAlias, final
from uuid import UUID

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution.clean import MAX_TAGS, clean_tags, clean_value, warn_too_many_tags
from genops_otel_posthog.settings import Settings

#: What a field is usually given as; anything else that has a text is taken with a warning.
FieldValue: TypeAlias = str | int | UUID | Enum | None

#: Each field with the span attribute and the event property that carry it, in the order of ``Attribution._values``.
FIELD_NAMES: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("team", semconv.GENOPS_TEAM, semconv.PROPERTY_GENOPS_TEAM),
    ("project", semconv.GENOPS_PROJECT, semconv.PROPERTY_GENOPS_PROJECT),
    ("environment", semconv.GENOPS_ENVIRONMENT, semconv.PROPERTY_GENOPS_ENVIRONMENT),
    ("customer_id", semconv.GENOPS_CUSTOMER_ID, semconv.PROPERTY_GENOPS_CUSTOMER_ID),
    ("cost_center", semconv.GENOPS_COST_CENTER, semconv.PROPERTY_GENOPS_COST_CENTER),
    ("feature", semconv.GENOPS_FEATURE, semconv.PROPERTY_GENOPS_FEATURE),
    ("user_id", semconv.GENOPS_USER_ID, semconv.PROPERTY_USER_ID),
    ("workspace_id", semconv.GENOPS_WORKSPACE_ID, semconv.PROPERTY_WORKSPACE_ID),
    ("organization_id", semconv.GENOPS_ORGANIZATION_ID, semconv.PROPERTY_ORGANIZATION_ID),
    ("session_id", semconv.GENOPS_SESSION_ID, None),
)
FIELDS: Final = tuple(name for name, _, _ in FIELD_NAMES)
_ATTRIBUTES = tuple(attribute for _, attribute, _ in FIELD_NAMES)
_NO_VALUES: tuple[str | None, ...] = (None,) * len(FIELDS)
_TAG_PROPERTY_PREFIX = "genops_tag_"


def tags_among(attributes: Mapping[str, object]) -> dict[str, object]:
    """The entries whose name says that they are tags, by the tag's key."""
    prefix = semconv.GENOPS_TAG_PREFIX
    return {key[len(prefix) :]: value for key, value in attributes.items() if key.startswith(prefix)}


def _cleaned(values: Iterable[object]) -> tuple[str | None, ...]:
    return tuple(
        [None if value is None else clean_value(field, value) for field, value in zip(FIELDS, values, strict=True)]
    )


@final
class Attribution:
    """Whose call it is. Immutable; equal when every field and tag is equal; false when nobody is named.

    Values are stripped, made printable and cut at 256 characters; blank means "not given". Nothing raises: values of an
    unusual form are used as they are, and what has no text is left out, with one warning each.

    Args:
        team: The team that answers for the cost.
        project: The project within the team.
        environment: The deployment environment.
        customer_id: The customer on whose behalf the call is made.
        cost_center: The cost centre that is charged.
        feature: The product feature that causes the call.
        user_id: The application's user.
        workspace_id: The workspace the user acts in.
        organization_id: The organisation the user belongs to.
        session_id: The governance session.
        tags: Up to 32 free tags. Keys are up to 64 letters, digits and ``_ . -``.
    """

    __slots__ = ("_event_properties", "_hash", "_span_attributes", "_tags", "_values")

    _values: tuple[str | None, ...]
    _tags: dict[str, str]

    def __init__(
        self,
        *,
        team: FieldValue = None,
        project: FieldValue = None,
        environment: FieldValue = None,
        customer_id: FieldValue = None,
        cost_center: FieldValue = None,
        feature: FieldValue = None,
        user_id: FieldValue = None,
        workspace_id: FieldValue = None,
        organization_id: FieldValue = None,
        session_id: FieldValue = None,
        tags: Mapping[str, object] | None = None,
    ) -> None:
        given = (
            team,
            project,
            environment,
            customer_id,
            cost_center,
            feature,
            user_id,
            workspace_id,
            organization_id,
            session_id,
        )
        self._set(_cleaned(given), clean_tags(tags))

    def _set(self, values: tuple[str | None, ...], tags: dict[str, str]) -> None:
        self._values = values
        self._tags = tags
        self._hash = hash((values, frozenset(tags.items()))) if tags else hash(values)
        self._span_attributes: dict[str, str] | None = None
        self._event_properties: dict[str, str] | None = None

    @classmethod
    def _of(cls, values: tuple[str | None, ...], tags: dict[str, str]) -> Attribution:
        attribution = cls.__new__(cls)
        attribution._set(values, tags)
        return attribution

    @classmethod
    def from_settings(cls, settings: Settings) -> Attribution:
        """The attribution that the environment gives."""
        return cls(
            team=settings.team,
            project=settings.project,
            environment=settings.environment,
            customer_id=settings.customer_id,
            cost_center=settings.cost_center,
            feature=settings.feature,
            tags=settings.tags,
        )

    @classmethod
    def from_resource(cls, attributes: Mapping[str, object]) -> Attribution:
        """The attribution that an OpenTelemetry resource gives: ``genops.*`` and ``deployment.environment.name``."""
        given = attributes
        if semconv.GENOPS_ENVIRONMENT not in attributes:
            # https://opentelemetry.io/docs/specs/semconv/resource/deployment-environment/, new name before the old one
            deployment = attributes.get("deployment.environment.name", attributes.get("deployment.environment"))
            given = {**attributes, semconv.GENOPS_ENVIRONMENT: deployment}
        return cls.from_attributes(given)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, object]) -> Attribution:
        """The attribution that span attributes, or entries of baggage, of these names give."""
        return cls._of(_cleaned(map(attributes.get, _ATTRIBUTES)), clean_tags(tags_among(attributes)))

    @property
    def team(self) -> str | None:
        """The team that answers for the cost."""
        return self._values[0]

    @property
    def project(self) -> str | None:
        """The project within the team."""
        return self._values[1]

    @property
    def environment(self) -> str | None:
        """The deployment environment."""
        return self._values[2]

    @property
    def customer_id(self) -> str | None:
        """The customer on whose behalf the call is made."""
        return self._values[3]

    @property
    def cost_center(self) -> str | None:
        """The cost centre that is charged."""
        return self._values[4]

    @property
    def feature(self) -> str | None:
        """The product feature that causes the call."""
        return self._values[5]

    @property
    def user_id(self) -> str | None:
        """The application's user."""
        return self._values[6]

    @property
    def workspace_id(self) -> str | None:
        """The workspace the user acts in."""
        return self._values[7]

    @property
    def organization_id(self) -> str | None:
        """The organisation the user belongs to."""
        return self._values[8]

    @property
    def session_id(self) -> str | None:
        """The governance session."""
        return self._values[9]

    @property
    def tags(self) -> Mapping[str, str]:
        """The free tags."""
        return MappingProxyType(self._tags)

    def over(self, base: Attribution) -> Attribution:
        """This attribution with the gaps filled from ``base``, tag by tag as well.

        Where both together have more than 32 tags, those of ``base`` are left out first.
        """
        if not base:
            return self
        if not self:
            return base
        pairs = zip(self._values, base._values, strict=True)
        values = tuple([own if own is not None else other for own, other in pairs])
        tags = self._tags
        if base._tags and tags is not base._tags:
            tags = {**tags, **{key: value for key, value in base._tags.items() if key not in tags}}
            if len(tags) > MAX_TAGS:
                warn_too_many_tags()
                tags = dict(islice(tags.items(), MAX_TAGS))
        if values == self._values and len(tags) == len(self._tags):
            return self
        return Attribution._of(values, tags)

    def in_session(self, session_id: str) -> Attribution:
        """The same owner, in a session with this id, which is taken as it is."""
        return Attribution._of((*self._values[:-1], session_id), self._tags)

    def span_attributes(self) -> Mapping[str, str]:
        """The attribution as span attributes. The result is shared: do not change it."""
        if self._span_attributes is None:
            pairs = zip(_ATTRIBUTES, self._values, strict=True)
            attributes = {name: value for name, value in pairs if value is not None}
            attributes.update((semconv.GENOPS_TAG_PREFIX + key, value) for key, value in self._tags.items())
            self._span_attributes = attributes
        return self._span_attributes

    def event_properties(self) -> Mapping[str, str]:
        """The attribution as properties of a PostHog event. The result is shared: do not change it."""
        if self._event_properties is None:
            properties = {
                name: value
                for (_, _, name), value in zip(FIELD_NAMES, self._values, strict=True)
                if value is not None and name is not None
            }
            properties.update((_TAG_PROPERTY_PREFIX + key, value) for key, value in self._tags.items())
            self._event_properties = properties
        return self._event_properties

    def select(self, fields: Container[str]) -> dict[str, str]:
        """The named fields as attributes, for metrics and baggage.

        Args:
            fields: Names of :data:`FIELDS`; ``tags`` stands for all tags.
        """
        selected = {
            attribute: value
            for (name, attribute, _), value in zip(FIELD_NAMES, self._values, strict=True)
            if value is not None and name in fields
        }
        if self._tags and "tags" in fields:
            selected.update((semconv.GENOPS_TAG_PREFIX + key, value) for key, value in self._tags.items())
        return selected

    def __bool__(self) -> bool:
        """False when nobody is named."""
        return self._values != _NO_VALUES or bool(self._tags)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Attribution):
            return NotImplemented
        return self._values == other._values and self._tags == other._tags

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:
        # The hash of text differs from process to process, so it must be computed anew where this is unpickled.
        return Attribution._of, (self._values, self._tags)

    def __repr__(self) -> str:
        fields = [f"{name}={value!r}" for name, value in zip(FIELDS, self._values, strict=True) if value is not None]
        if self._tags:
            fields.append(f"tags={self._tags!r}")
        return f"Attribution({', '.join(fields)})"


#: The attribution that names nobody.
NOBODY: Final = Attribution()
