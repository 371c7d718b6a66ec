"""What a flag is asked for and what comes back, whoever answered.

*Off* and *unknown* are different things here: off is an answer, and nobody further down is asked; unknown is what makes
the next one be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Source: TypeAlias = Literal["posthog_local", "posthog_remote", "cache", "database", "default"]
"""Who answered: PostHog's definitions evaluated here; PostHog's server; PostHog, but earlier; a row of the database;
nobody, so that the coded default stands."""

Reason: TypeAlias = Literal[
    "static", "default", "targeting_match", "split", "cached", "disabled", "stale", "error", "unknown"
]
"""Why it is so, in the words of https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/."""

Value: TypeAlias = bool | str
"""On, off, or the key of a variant."""

WORKSPACE: Final = "workspace"
"""PostHog's group type of workspaces."""

FLAG_MISSING: Final = "flag_missing"
"""Nobody has heard of the flag; PostHog's own word for it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a flag is asked for.

    Attributes:
        user: PostHog's distinct id.
        workspace: Id of the workspace, which PostHog sees as the group of type ``workspace``.
        groups: Other groups, by group type.
        person_properties: For release conditions; PostHog adds what it knows of the person.
        group_properties: The same for groups, by group type.
    """

    user: str | None = None
    workspace: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    person_properties: Mapping[str, Any] = field(default_factory=dict)
    group_properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def distinct_id(self) -> str:
        """What PostHog is asked with; a request without a user must name something that stays the same."""
        if self.user:
            return self.user
        return f"workspace:{self.workspace}" if self.workspace else "nobody"

    @property
    def all_groups(self) -> dict[str, str]:
        """The groups with the workspace among them."""
        return {**self.groups, WORKSPACE: self.workspace} if self.workspace else dict(self.groups)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for subjects that get equal answers, as far as can be told without PostHog."""
        if not (self.groups or self.person_properties or self.group_properties):
            return self.user, self.workspace
        return (
            self.user,
            self.workspace,
            tuple(sorted(self.groups.items())),
            _plain(self.person_properties),
            _plain(self.group_properties),
        )


EVERYBODY: Final = Subject()
"""Nobody in particular: only what holds for all is known."""


class Answer(NamedTuple):
    """What is known of one flag for one subject.

    Attributes:
        key: The flag.
        enabled: Whether it is on.
        source: Who said so.
        variant: The variant, of a flag that has some.
        payload: What PostHog or the database attaches to the value.
        version: Version of the flag's definition, or of the row.
        reason: Why.
        detail: The reason in the source's own words.
        error: Why nobody above the source answered, ``None`` if there was nobody or nothing went wrong: ``timeout``,
            ``connection_error``, ``quota_limited``, ``api_error_500``, ``breaker_open``, ``flag_missing``, …
        stale_s: Seconds since the source last confirmed it; ``None`` where that cannot be known.
        flag_id: PostHog's number of the flag.
        request_id: PostHog's id of the request that answered.
    """

    key: str
    enabled: bool
    source: Source
    variant: str | None = None
    payload: Any = None
    version: int | None = None
    reason: Reason = "unknown"
    detail: str | None = None
    error: str | None = None
    stale_s: float | None = None
    flag_id: int | None = None
    request_id: str | None = None

    @property
    def value(self) -> Value:
        """The variant of a flag that is on and has one, otherwise whether it is on."""
        return self.variant if self.enabled and self.variant is not None else self.enabled

    @property
    def is_known(self) -> bool:
        """False when the coded default stands because nobody knew."""
        return self.source != "default"


class Unknown(NamedTuple):
    """A source could not answer.

    Attributes:
        error: A short word for metrics and events; see :attr:`Answer.error`.
        is_failure: Whether the source is in trouble, rather than not knowing the flag.
    """

    error: str
    is_failure: bool = True


MISSING: Final = Unknown(FLAG_MISSING, is_failure=False)


def default_answer(key: str, default: Value, error: str | None) -> Answer:
    """The coded default, and why it stands."""
    return Answer(
        key=key,
        enabled=default is not False,
        source="default",
        variant=default if isinstance(default, str) else None,
        reason="default" if error in (None, FLAG_MISSING) else "error",
        error=error,
    )


def _plain(value: object) -> object:
    """Something hashable, equal for equal content in whatever order it was written."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), _plain(each)) for key, each in value.items())) if value else ()
    if value is None or isinstance(value, (str, int, float)):
        # Of different types 1, 1.0 and True are equal, and mean different things to a release condition.
        return type(value).__name__, str(value)
    return type(value).__name__, repr(value)
