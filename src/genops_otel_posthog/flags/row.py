"""What the database says of a flag: one row for a user, a workspace or everybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.flags.answer import Answer, Reason, Subject
from genops_otel_posthog.flags.bucketing import choose_variant, in_rollout

Scope: TypeAlias = Literal["user", "workspace", "global"]
SCOPES: Final[tuple[Scope, ...]] = ("user", "workspace", "global")
"""From the narrowest to the widest; the narrowest that has a row decides."""

MAX_NAME: Final = 255
"""Most characters of a flag's key and of a scope's id: what every database can index."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a split.

    Attributes:
        key: Its name.
        rollout_percentage: Its share, from 0 to 100.
        payload: What comes with it.
    """

    key: str
    rollout_percentage: float
    payload: Any = None


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A flag's setting.

    Attributes:
        flag_key: The flag.
        scope: For whom it is.
        scope_id: Distinct id of the user or id of the workspace; empty for everybody.
        enabled: Whether it is on.
        variant: The variant that all of them get.
        variants: A split into variants, instead.
        payload: What comes with the value, unless the variant has a payload of its own.
        rollout_pct: For how many of them it is on, from 0 to 100. Users are counted within ``user`` and ``global``,
            workspaces within ``workspace``.
        version: Counts the changes of this row, from 1; 0 before it is stored.
        updated_at: When it was last changed, UTC.

    Raises:
        GenOpsValidationError: A value is outside of what is said here.
    """

    flag_key: str
    scope: Scope = "global"
    scope_id: str = ""
    enabled: bool = True
    variant: str | None = None
    variants: tuple[Variant, ...] = ()
    payload: Any = None
    rollout_pct: float = 100
    version: int = 0
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.flag_key) <= MAX_NAME:
            raise GenOpsValidationError(f"a flag's key has 1 to {MAX_NAME} characters, not {len(self.flag_key)}")
        if self.scope not in SCOPES:
            raise GenOpsValidationError(f"the scope of flag {self.flag_key!r} is one of user, workspace and global")
        if (self.scope == "global") is not (self.scope_id == ""):
            raise GenOpsValidationError(
                f"flag {self.flag_key!r}: a {self.scope} row "
                + ("is for everybody and has no id" if self.scope == "global" else "needs the id of its " + self.scope)
            )
        if len(self.scope_id) > MAX_NAME:
            raise GenOpsValidationError(f"flag {self.flag_key!r}: the {self.scope}'s id is longer than {MAX_NAME}")
        if not 0 <= self.rollout_pct <= 100:
            raise GenOpsValidationError(
                f"flag {self.flag_key!r}: rollout_pct is a percentage from 0 to 100, not {self.rollout_pct}"
            )
        if self.variant is not None and self.variants:
            raise GenOpsValidationError(f"flag {self.flag_key!r}: give one variant for all or a split, not both")
        shares = sum(variant.rollout_percentage for variant in self.variants)
        if any(not variant.key or variant.rollout_percentage < 0 for variant in self.variants) or shares > 100.000001:
            raise GenOpsValidationError(
                f"flag {self.flag_key!r}: each variant has a key and a share, and the shares are together at most 100"
            )

    def answer(self, subject: Subject, stale_s: float | None = None) -> Answer:
        """What the row means for a subject.

        Args:
            subject: One that the row is for.
            stale_s: Seconds since the row was last read from the database.
        """
        member = (subject.workspace if self.scope == "workspace" else subject.user) or subject.distinct_id
        within = self.rollout_pct >= 100 or in_rollout(self.flag_key, member, self.rollout_pct)
        enabled = self.enabled and within
        variant, payload = self.variant, self.payload
        if enabled and self.variants:
            variant = choose_variant(
                self.flag_key, member, [(each.key, each.rollout_percentage) for each in self.variants]
            )
            own = next((each.payload for each in self.variants if each.key == variant), None)
            payload = payload if own is None else own
        if not self.enabled:
            reason: Reason = "disabled"
            detail = "off"
        else:
            detail = "within its rollout" if within else "outside of its rollout"
            reason = "split" if self.variants or self.rollout_pct < 100 else "static"
        return Answer(
            key=self.flag_key,
            enabled=enabled,
            source="database",
            variant=variant if enabled else None,
            payload=payload if enabled else None,
            version=self.version,
            reason=reason,
            detail=f"{self.scope} row, {detail}",
            stale_s=stale_s,
        )


def variants_to_json(variants: Sequence[Variant]) -> str | None:
    """The text in the column ``variants``, PostHog's own format with the payload beside it; ``None`` for no split."""
    if not variants:
        return None
    return json.dumps(
        [
            {
                "key": variant.key,
                "rollout_percentage": variant.rollout_percentage,
                **({} if variant.payload is None else {"payload": variant.payload}),
            }
            for variant in variants
        ]
    )


def variants_from_json(text: str | None) -> tuple[Variant, ...]:
    """The reverse of :func:`variants_to_json`.

    Raises:
        ValueError, KeyError, TypeError: It is not such a text.
    """
    if not text:
        return ()
    return tuple(
        Variant(str(each["key"]), float(each["rollout_percentage"]), each.get("payload")) for each in json.loads(text)
    )
