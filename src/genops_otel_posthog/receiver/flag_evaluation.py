"""Feature flags evaluated from their definitions, as PostHog's server does it for a remote request.

Definitions are in PostHog's own local-evaluation format, so the same file serves remote requests and the SDK's local
evaluation, and both must agree. Persons are known only by what a request says of them: the receiver keeps no person
properties, and a static cohort cannot be evaluated.

Sources: PostHog/posthog on GitHub, ``rust/feature-flags/src/flags/flag_matching.rs`` and ``api/types.rs``; the
bucketing hash as PostHog/posthog-python documents it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.receiver.property_matching import CannotEvaluate, matches_property

_HASH_SCALE = float(0xFFFFFFFFFFFFFFF)  # the first 15 hexadecimal digits, all ones
_UNBILLED_PREFIXES = ("survey-targeting-", "product-tour-targeting-")

Outcome = Literal["match", "no_match", "out_of_rollout"]


@dataclass(frozen=True)
class FlagDefinitions:
    """Flags, cohorts and group types of a project.

    Attributes:
        flags: in PostHog's local-evaluation format.
        group_type_mapping: group type index, as text, to group type name.
        cohorts: cohort id, as text, to its property group.
    """

    flags: Sequence[Mapping[str, Any]] = ()
    group_type_mapping: Mapping[str, str] = field(default_factory=dict)
    cohorts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> Mapping[str, Mapping[str, Any]]:
        """Flags by key."""
        return {flag["key"]: flag for flag in self.flags}

    @cached_property
    def document(self) -> bytes:
        """The answer of the definitions endpoint."""
        return json.dumps(
            {"flags": self.flags, "group_type_mapping": self.group_type_mapping, "cohorts": self.cohorts},
            separators=(",", ":"),
        ).encode()

    @cached_property
    def etag(self) -> str:
        """Changes when anything in the document does."""
        return hashlib.sha256(self.document).hexdigest()[:16]

    @cached_property
    def has_billable_flag(self) -> bool:
        """Whether a remote request is billed: flags that only target surveys and product tours are free."""
        return any(flag.get("active") and not flag["key"].startswith(_UNBILLED_PREFIXES) for flag in self.flags)


def read_definitions(document: object, *, source: str) -> FlagDefinitions:
    """Definitions from JSON: the answer of PostHog's definitions endpoint, or only its list of flags.

    Args:
        document: the decoded JSON.
        source: where it is from, for messages.

    Raises:
        GenOpsConfigurationError: it has another shape; the message names the place.
    """
    whole = {"flags": document} if isinstance(document, list) else document
    if not isinstance(whole, dict) or not isinstance(whole.get("flags"), list):
        raise GenOpsConfigurationError(
            f"{source}: flag definitions must be a list of flags, or an object with 'flags', 'group_type_mapping' and "
            "'cohorts', as GET /flags/definitions answers"
        )
    for name in ("group_type_mapping", "cohorts"):
        if not isinstance(whole.get(name, {}), dict):
            raise GenOpsConfigurationError(f"{source}: {name!r} must be an object, not {whole[name]!r}")
    keys: set[str] = set()
    flags = []
    for index, flag in enumerate(whole["flags"]):
        key = flag.get("key") if isinstance(flag, dict) else None
        if not isinstance(key, str) or not key:
            raise GenOpsConfigurationError(f"{source}: flags[{index}] has no 'key'; give each flag a name")
        if key in keys:
            raise GenOpsConfigurationError(f"{source}: flags[{index}] repeats the key {key!r}; keys must differ")
        if not isinstance(flag.get("filters") or {}, dict):
            raise GenOpsConfigurationError(f"{source}: 'filters' of flag {key!r} must be an object")
        keys.add(key)
        flags.append({"id": index + 1, "active": True, **flag})
    return FlagDefinitions(flags, whole.get("group_type_mapping", {}), whole.get("cohorts", {}))


@dataclass(frozen=True, slots=True)
class FlagResult:
    """The value of one flag for one subject.

    Attributes:
        value: ``True``, ``False`` or the key of a variant.
        payload: the payload of that value, as stored.
        failed: whether it could not be evaluated; the value is then ``False``.
    """

    value: bool | str
    reason: str
    description: str
    condition_index: int | None = None
    payload: Any = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom flags are evaluated for, as a ``/flags`` request says it."""

    distinct_id: str
    groups: Mapping[str, Any] = field(default_factory=dict)
    person_properties: Mapping[str, Any] = field(default_factory=dict)
    group_properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    device_id: str | None = None


def evaluate_flags(
    definitions: FlagDefinitions, subject: Subject, *, now: datetime, keys: Sequence[str] | None = None
) -> dict[str, FlagResult]:
    """The value of each active flag, or of those in ``keys``."""
    evaluation = _Evaluation(definitions, subject, now)
    return {
        key: evaluation.result(key)
        for key, flag in definitions.by_key.items()
        if flag.get("active") and (keys is None or key in keys)
    }


def bucket(key: str, value: str, salt: str = "", separator: str = ".") -> float:
    """Where ``value`` falls for this flag: the same number from 0 to 1 each time, evenly spread over values."""
    digest = hashlib.sha1(f"{key}{separator}{value}{salt}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:15], 16) / _HASH_SCALE


@dataclass(slots=True)
class _Evaluation:
    """Flags of one subject at one moment; flags that depend on each other are evaluated once."""

    definitions: FlagDefinitions
    subject: Subject
    now: datetime
    _results: dict[str, FlagResult] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)

    def result(self, key: str) -> FlagResult:
        known = self._results.get(key)
        if known is not None:
            return known
        if key in self._pending:
            raise CannotEvaluate(f"flag {key!r} depends on itself")
        self._pending.add(key)
        try:
            result = self._evaluate(self.definitions.by_key[key])
        except CannotEvaluate as problem:
            result = FlagResult(False, "evaluation_failed", str(problem), failed=True)
        finally:
            self._pending.discard(key)
        self._results[key] = result
        return result

    def _evaluate(self, flag: Mapping[str, Any]) -> FlagResult:
        filters = flag.get("filters") or {}
        index = filters.get("aggregation_group_type_index")
        if index is None:
            bucketing, properties = self._person(flag)
        else:
            group = self._group(index)
            if group is None:
                return FlagResult(False, "no_group_type", "No group type")
            bucketing, properties = group
        if filters.get("feature_enrollment") is True:
            enrolled = properties.get(f"$feature_enrollment/{flag['key']}")
            return _answer(
                flag, enrolled is True or enrolled == "true", "super_condition_value", "Super condition value"
            )
        holdout = _holdout(filters.get("holdout"), bucketing)
        if holdout is not None:
            return _answer(flag, holdout, "holdout_condition_value", "Holdout condition value")
        return self._conditions(flag, filters, bucketing, properties)

    def _conditions(
        self, flag: Mapping[str, Any], filters: Mapping[str, Any], bucketing: str, properties: Mapping[str, Any]
    ) -> FlagResult:
        flag_index = filters.get("aggregation_group_type_index")
        rolled_out_of: int | None = None
        for number, condition in enumerate(filters.get("groups") or ()):
            target, known = bucketing, properties
            index = condition.get("aggregation_group_type_index", flag_index)
            if index != flag_index:  # this condition looks at somebody else than the flag does
                other = self._person(flag) if index is None else self._group(index)
                if other is None:
                    continue
                target, known = other
            outcome = self._condition(flag["key"], condition, target, known)
            if outcome == "match":
                value = _variant(flag, condition, target)
                return _answer(flag, value, "condition_match", f"Matched condition set {number + 1}", number)
            if outcome == "out_of_rollout":
                rolled_out_of = number
                if filters.get("early_exit"):
                    break
        if rolled_out_of is not None:
            return FlagResult(False, "out_of_rollout_bound", "Out of rollout bound", rolled_out_of)
        return FlagResult(False, "no_condition_match", "No matching condition set")

    def _condition(
        self, key: str, condition: Mapping[str, Any], bucketing: str, properties: Mapping[str, Any]
    ) -> Outcome:
        if not all(self._filter(one, properties) for one in condition.get("properties") or ()):
            return "no_match"
        rollout = condition.get("rollout_percentage")
        if rollout is not None and bucket(key, bucketing) > rollout / 100:
            return "out_of_rollout"
        return "match"

    def _filter(self, condition: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
        if condition.get("type") == "cohort":
            return self._cohort(condition, properties)
        if condition.get("type") == "flag":
            return self._dependency(condition)
        return matches_property(condition, properties, now=self.now)

    def _dependency(self, condition: Mapping[str, Any]) -> bool:
        key, wanted = condition.get("key"), condition.get("value")
        if condition.get("operator") != "flag_evaluates_to" or not key or wanted is None:
            return False
        if key not in self.definitions.by_key:
            raise CannotEvaluate(f"it depends on the flag {key!r}, which is not defined")
        if not self.definitions.by_key[key].get("active"):
            return wanted is False
        result = self.result(key)
        if result.failed:
            raise CannotEvaluate(f"it depends on the flag {key!r}: {result.description}")
        if isinstance(wanted, bool):
            return wanted == bool(result.value)
        return bool(wanted == result.value)

    def _cohort(self, condition: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
        cohort = self.definitions.cohorts.get(str(condition.get("value")))
        if cohort is None:
            raise CannotEvaluate(f"cohort {condition.get('value')} is static or unknown")
        return self._property_group(cohort, properties) != (condition.get("operator") == "not_in")

    def _property_group(self, group: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
        members = group.get("values") or ()
        answers = (
            self._property_group(member, properties)
            if "values" in member
            else self._filter(member, properties) != bool(member.get("negation"))
            for member in members
        )
        return not members or (any(answers) if group.get("type") == "OR" else all(answers))

    def _person(self, flag: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        subject = self.subject
        properties = {"distinct_id": subject.distinct_id, **subject.person_properties}
        by_device = (flag.get("bucketing_identifier") or (flag.get("filters") or {}).get("bucketing_identifier")) == (
            "device_id"
        )
        return (subject.device_id if by_device and subject.device_id else subject.distinct_id), properties

    def _group(self, index: object) -> tuple[str, Mapping[str, Any]] | None:
        """The key and the properties of the group of this type, or ``None`` when the request names none."""
        name = self.definitions.group_type_mapping.get(str(index))
        key = self.subject.groups.get(name) if name is not None else None
        if name is None or key is None:
            return None
        return str(key), {"$group_key": key, **self.subject.group_properties.get(name, {})}


def _answer(
    flag: Mapping[str, Any], value: bool | str, reason: str, description: str, condition_index: int | None = None
) -> FlagResult:
    payloads = (flag.get("filters") or {}).get("payloads") or {}
    payload = None if value is False else payloads.get("true" if value is True else value)
    return FlagResult(value, reason, description, condition_index, payload)


def _variant(flag: Mapping[str, Any], condition: Mapping[str, Any], bucketing: str) -> bool | str:
    """The variant of a match: the one the condition forces, else the one the subject falls into."""
    variants = ((flag.get("filters") or {}).get("multivariate") or {}).get("variants") or ()
    forced = condition.get("variant")
    if forced and any(variant["key"] == forced for variant in variants):
        return str(forced)
    position = bucket(flag["key"], bucketing, salt="variant")
    low = 0.0
    for variant in variants:
        high = low + variant["rollout_percentage"] / 100
        if low <= position < high:
            return str(variant["key"])
        low = high
    return True


def _holdout(holdout: Mapping[str, Any] | None, bucketing: str) -> str | None:
    """The variant of those who are held out of an experiment, or ``None`` for the others."""
    if not holdout or holdout.get("exclusion_percentage") is None or holdout.get("id") is None:
        return None
    percentage = min(max(float(holdout["exclusion_percentage"]), 0.0), 100.0)
    if percentage < 100.0 and bucket("holdout", bucketing, separator="-") > percentage / 100:
        return None
    return f"holdout-{holdout['id']}"
