"""Whether a property of a person or a group satisfies one filter of a feature flag, as PostHog's server decides it.

A server knows the whole person, so a missing property is an answer here (it does not match; it *is not* anything),
where an SDK that evaluates locally has to ask the server.

Sources: PostHog/posthog on GitHub, ``rust/feature-flags/src/properties/property_matching.rs``; the operators and their
edge cases as PostHog/posthog-python documents them for local evaluation.
"""

from __future__ import annotations

import calendar
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from genops_otel_posthog.receiver.judgement import parse_loose_timestamp

_NEGATED = frozenset({"is_not", "is_not_set", "not_icontains", "not_regex", "not_starts_with", "not_ends_with"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class CannotEvaluate(Exception):
    """The flag asks for something the receiver does not know; the flag is answered as failed."""


def matches_property(condition: Mapping[str, Any], properties: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether ``properties`` satisfy a filter ``{"key", "value", "operator"}``.

    Args:
        condition: the filter; the operator defaults to ``exact``.
        properties: of the person or group.
        now: aware; relative dates count from it.

    Raises:
        CannotEvaluate: the operator is unknown, or the filter's own value cannot be read.
    """
    operator = condition.get("operator") or "exact"
    wanted = condition.get("value")
    key = str(condition.get("key"))
    if key not in properties:
        if operator not in _OPERATORS and operator not in ("is_set", "is_not_set"):
            raise CannotEvaluate(f"unknown operator {operator!r}")
        return operator in _NEGATED
    if operator in ("is_set", "is_not_set"):
        return bool(operator == "is_set")
    matcher = _OPERATORS.get(operator)
    if matcher is None:
        raise CannotEvaluate(f"unknown operator {operator!r}")
    found = properties[key]
    if found is None and operator.startswith(("is_date_", "semver_")):
        return False
    return matcher(operator, wanted, found, now)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _is_truth_like(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_truth_like, value))
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false"))


def _is_true(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_true, value))
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _exact(operator: str, wanted: Any, found: Any, _now: datetime) -> bool:
    if _is_truth_like(wanted):
        equal = _is_true(wanted) == _is_true(found) if wanted != [] else _is_true(found)
    else:
        candidates = wanted if isinstance(wanted, list) else [wanted]
        equal = _as_text(found).lower() in {_as_text(candidate).lower() for candidate in candidates}
    return equal == (operator == "exact")


def _text(operator: str, wanted: Any, found: Any, _now: datetime) -> bool:
    haystack, needle = _ascii_lower(_as_text(found)), _ascii_lower(_as_text(wanted))
    if operator.endswith("icontains"):
        matched = needle in haystack
    elif operator.endswith("starts_with"):
        matched = haystack.startswith(needle)
    else:
        matched = haystack.endswith(needle)
    return matched != operator.startswith("not_")


def _ascii_lower(text: str) -> str:
    return text.lower() if text.isascii() else re.sub("[A-Z]+", lambda match: match.group().lower(), text)


def _regex(operator: str, wanted: Any, found: Any, _now: datetime) -> bool:
    try:
        matched = re.search(str(wanted), _as_text(found)) is not None
    except re.error:
        return False  # a pattern that does not compile matches nothing, and its negation matches nothing either
    return matched != (operator == "not_regex")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _numeric(operator: str, wanted: Any, found: Any, _now: datetime) -> bool:
    limit = _number(wanted)
    if limit is None:
        raise CannotEvaluate(f"{wanted!r} is not a number")
    number = _number(found)
    return number is not None and _compare(operator, number, limit)


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator.endswith("gt"):
        return bool(left > right)
    if operator.endswith("gte"):
        return bool(left >= right)
    if operator.endswith("lt"):
        return bool(left < right)
    return bool(left <= right)


def _date(operator: str, wanted: Any, found: Any, now: datetime) -> bool:
    limit = _relative_date(str(wanted), now) or parse_loose_timestamp(str(wanted))
    if limit is None:
        raise CannotEvaluate(f"{wanted!r} is not a date")
    moment = parse_loose_timestamp(found) if isinstance(found, str) else None
    if moment is None:
        return False
    return moment < limit if operator == "is_date_before" else moment > limit


def _relative_date(text: str, now: datetime) -> datetime | None:
    """``-3d`` and the like: hours, days, weeks, months or years before now; the sign does not matter."""
    match = re.fullmatch(r"-?(\d{1,4})([hdwmy])", text)
    if match is None:
        return None
    count, unit = int(match.group(1)), match.group(2)
    if unit in "hdw":
        return now - count * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[unit]
    if unit == "y":
        leap_day = (now.month, now.day) == (2, 29) and count > 0
        return now.replace(year=max(now.year - count, 1), day=28 if leap_day else now.day)
    day = now.day
    for step in range(1, count + 1):  # a day the month lacks is cut at every step, as PostHog's SDKs agree to do
        year, month = divmod(now.year * 12 + now.month - 1 - step, 12)
        day = min(day, calendar.monthrange(max(year, 1), month + 1)[1])
        if step == count:
            return now.replace(year=max(year, 1), month=month + 1, day=day)
    return now


def _version(value: Any) -> tuple[int, int, int]:
    """Major, minor and patch; what is missing counts as zero, and a pre-release suffix is ignored.

    Raises:
        ValueError: it is no version.
    """
    text = re.split("[-+]", str(value).strip().lstrip("vV"), maxsplit=1)[0]
    major, minor, patch = [*text.split("."), "", ""][:3]
    return _version_number(major), _version_number(minor or "0"), _version_number(patch or "0")


def _version_number(text: str) -> int:
    """One number of a version; a leading zero is an error (semver 2.0.0, section 2)."""
    if not text.isdigit() or (len(text) > 1 and text[0] == "0"):
        raise ValueError(text)
    return int(text)


def _version_range(operator: str, wanted: Any) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    if operator == "semver_wildcard":
        given = [part for part in str(wanted).strip().lstrip("vV").replace("*", "").split(".") if part]
        if not given:
            raise ValueError(wanted)
        major, minor, patch = [*map(_version_number, given), 0, 0][:3]
        upper = [(major + 1, 0, 0), (major, minor + 1, 0), (major, minor, patch + 1)][min(len(given), 3) - 1]
        return (major, minor, patch), upper
    major, minor, patch = _version(wanted)
    if operator == "semver_tilde":
        return (major, minor, patch), (major, minor + 1, 0)
    if major:
        return (major, minor, patch), (major + 1, 0, 0)
    return (major, minor, patch), ((0, minor + 1, 0) if minor else (0, 0, patch + 1))


def _semver(operator: str, wanted: Any, found: Any, _now: datetime) -> bool:
    try:
        if operator in ("semver_tilde", "semver_caret", "semver_wildcard"):
            lower, upper = _version_range(operator, wanted)
        else:
            lower = upper = _version(wanted)
    except ValueError as problem:
        raise CannotEvaluate(f"{wanted!r} is not a version") from problem
    try:
        version = _version(found)
    except ValueError:
        return False
    if lower != upper:
        return lower <= version < upper
    if operator in ("semver_eq", "semver_neq"):
        return (version == lower) == (operator == "semver_eq")
    return _compare(operator, version, lower)


_TEXT_OPERATORS = ("icontains", "not_icontains", "starts_with", "not_starts_with", "ends_with", "not_ends_with")
_SEMVER_OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret", "wildcard")
_OPERATORS = {
    **dict.fromkeys(("exact", "is_not"), _exact),
    **dict.fromkeys(_TEXT_OPERATORS, _text),
    **dict.fromkeys(("regex", "not_regex"), _regex),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _numeric),
    **dict.fromkeys(("is_date_before", "is_date_after"), _date),
    **dict.fromkeys((f"semver_{name}" for name in _SEMVER_OPERATORS), _semver),
}
