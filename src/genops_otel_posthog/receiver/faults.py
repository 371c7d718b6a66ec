"""Outages on demand: rules that make the receiver fail, stall, forget to answer or reach a billing limit.

A rule says which requests it is for and what happens to them. Tests of delivery use it, and so does anyone who wants
to see what an application does while PostHog is down, before PostHog is.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.receiver.content import GZIP_MAGIC
from genops_otel_posthog.receiver.judgement import parse_rfc3339
from genops_otel_posthog.receiver.quotas import RESOURCES
from genops_otel_posthog.receiver.store import iso

PATH_NAMES: Mapping[str, tuple[str, ...]] = {
    "all": ("*",),
    "capture": ("/batch", "/e", "/capture", "/track", "/engage", "/i/v0/e", "/i/v0/ai/batch", "/i/v1/*/events"),
    "flags": ("/flags", "/decide"),
    "definitions": ("/flags/definitions", "/api/feature_flag/local_evaluation"),
    "remote_config": ("/api/projects/*/remote_config",),
    "otlp": ("/v1/traces", "/v1/metrics", "/v1/logs"),
    "rudderstack": ("/v1/batch",),
}
"""Names a rule may use in place of a path."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault.

    Attributes:
        path: a path pattern (``/batch``, ``/i/*``) or a name of :data:`PATH_NAMES`. A trailing slash is ignored.
        method: only this HTTP method; ``None`` for any.
        contains: only requests whose body, as it is once decompressed, has this text: one poisonous event.
        status: answer with this HTTP status.
        body: the text of that answer; a short JSON object when ``None``.
        retry_after: value of the ``Retry-After`` header: seconds, or an HTTP date.
        delay: seconds to wait first.
        hang: never answer; the connection stays open until the client gives up.
        reset: begin an answer, then reset the connection in the middle of its body.
        stage: ``before``: the request is not processed. ``after``: it is processed and kept, and only the answer is
            lost, as when a client's timeout is too short.
        times: how many requests it strikes; ``None`` for all.
        skip: how many matching requests pass unharmed first.
        start: when it begins; ``None`` at once.
        end: when it ends; ``None`` never.
        quota: resources whose billing limit is reached (see :data:`RESOURCES`); the request is processed as PostHog
            does then.
        event: with ``result``: pattern of the event names it is for.
        result: the v1 result of those events: ``retry``, ``drop`` or ``warning``; not kept for the first two.
        details: the v1 ``details`` beside that result.
    """

    path: str = "all"
    method: str | None = None
    contains: str | None = None
    status: int | None = None
    body: str | None = None
    retry_after: str | None = None
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    stage: Literal["before", "after"] = "before"
    times: int | None = None
    skip: int = 0
    start: datetime | None = None
    end: datetime | None = None
    quota: frozenset[str] = frozenset()
    event: str = "*"
    result: Literal["retry", "drop", "warning"] | None = None
    details: str | None = None

    @property
    def shapes_the_answer(self) -> bool:
        """Whether it delays, replaces or withholds the answer, rather than changing the processing."""
        return bool(self.status or self.delay or self.hang or self.reset)

    def matches(self, method: str, path: str, at: datetime, body: bytes) -> bool:
        """Whether this request is one it is for, times and skips aside."""
        if self.method not in (None, method) or (self.start and at < self.start) or (self.end and at >= self.end):
            return False
        patterns = PATH_NAMES.get(self.path, (self.path.rstrip("/") or "/",))
        if not any(fnmatchcase(path, pattern) for pattern in patterns):
            return False
        return self.contains is None or self.contains.encode() in _plain(body)

    def as_json(self) -> dict[str, Any]:
        """The rule as the query API shows it, without what is at its default."""
        defaults = FaultRule()
        shown = {name: value for name, value in asdict(self).items() if value != getattr(defaults, name)}
        shown.setdefault("path", self.path)
        for name in ("start", "end"):
            if name in shown:
                shown[name] = iso(shown[name])
        if "quota" in shown:
            shown["quota"] = sorted(self.quota)
        return shown


def read_rule(given: Mapping[str, Any], *, now: datetime) -> FaultRule:
    """A rule from JSON.

    Args:
        given: the fields of :class:`FaultRule`. ``start`` and ``end`` are seconds from now, or RFC 3339.
        now: aware.

    Raises:
        GenOpsValidationError: a field is unknown or has a value it cannot have, or the rule would do nothing.
    """
    known = {spec.name for spec in fields(FaultRule)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise GenOpsValidationError(f"a fault has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")
    values = {name: _read_field(name, value, now) for name, value in given.items() if value is not None}
    rule = FaultRule(**values)
    if not (rule.shapes_the_answer or rule.quota or rule.result):
        raise GenOpsValidationError(
            f"the fault {dict(given)!r} does nothing; give it status, delay, hang, reset, quota or result"
        )
    return rule


def read_rule_text(text: str, *, now: datetime) -> FaultRule:
    """A rule from one line, as on the command line: ``503``, ``status=503,path=capture,times=3``, ``hang,path=flags``.

    Several resources of ``quota`` are joined by ``+``.

    Raises:
        GenOpsValidationError: as :func:`read_rule`.
    """
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, value = part.partition("=")
        if not found:
            given.update({"status": name} if name.isdigit() else {name: True})
        elif name == "quota":
            given[name] = value.split("+")
        else:
            given[name] = value
    return read_rule(given, now=now)


@dataclass(slots=True)
class _Armed:
    rule: FaultRule
    seen: int = 0
    struck: int = 0


@dataclass(frozen=True, slots=True)
class Strike:
    """What the rules do to one request.

    Attributes:
        id: of the rule that shapes the answer, or ``None``.
        rule: that rule.
    """

    id: int | None = None
    rule: FaultRule | None = None
    over_quota: frozenset[str] = frozenset()
    event_faults: tuple[FaultRule, ...] = ()


@dataclass(slots=True)
class Faults:
    """The rules in force. Belongs to one thread."""

    _armed: dict[int, _Armed] = field(default_factory=dict)
    _last_id: int = 0

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force behind the others; returns its id."""
        self._last_id += 1
        self._armed[self._last_id] = _Armed(rule)
        return self._last_id

    def remove(self, rule_id: int) -> bool:
        """Lift a rule; ``False`` when there is none of this id."""
        return self._armed.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Lift all rules."""
        self._armed.clear()

    def strike(self, method: str, path: str, at: datetime, body: bytes = b"") -> Strike:
        """What happens to this request; counts it. The first rule that shapes the answer wins, the others add up."""
        shaping: tuple[int, FaultRule] | None = None
        over_quota: set[str] = set()
        event_faults: list[FaultRule] = []
        for rule_id, armed in self._armed.items():
            rule = armed.rule
            if (rule.shapes_the_answer and shaping) or not rule.matches(method, path, at, body):
                continue
            armed.seen += 1
            if armed.seen <= rule.skip or (rule.times is not None and armed.struck >= rule.times):
                continue
            armed.struck += 1
            over_quota |= rule.quota
            if rule.result:
                event_faults.append(rule)
            if rule.shapes_the_answer:
                shaping = (rule_id, rule)
        rule_id_or_none, rule_or_none = shaping or (None, None)
        return Strike(rule_id_or_none, rule_or_none, frozenset(over_quota), tuple(event_faults))

    def as_json(self) -> list[dict[str, Any]]:
        """All rules with their ids and how often they struck."""
        return [
            {"id": rule_id, "struck": armed.struck, **armed.rule.as_json()} for rule_id, armed in self._armed.items()
        ]


def _plain(body: bytes) -> bytes:
    """A body without its compression; as it is where that is broken, for the endpoint to judge."""
    if not body.startswith(GZIP_MAGIC):
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body


def _read_field(name: str, value: Any, now: datetime) -> Any:
    if name in ("hang", "reset"):
        return _one_of(name, str(value).lower(), {"true": True, "1": True, "false": False, "0": False})
    if name == "status":
        return int(_number(name, value, 200, 599))
    if name in ("times", "skip"):
        return int(_number(name, value, 0, 10**9))
    if name == "delay":
        return _number(name, value, 0, 3600)
    if name in ("start", "end"):
        return _moment(name, value, now)
    if name == "stage":
        return _one_of(name, value, {"before": "before", "after": "after"})
    if name == "result":
        return _one_of(name, value, {"retry": "retry", "drop": "drop", "warning": "warning"})
    if name == "quota":
        return _resources(value)
    if name == "method":
        return str(value).upper()
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise GenOpsValidationError(f"{name} of a fault must be text, not {value!r}")
    return str(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:
        raise GenOpsValidationError(f"{name} of a fault must be a number from {low} to {high}, not {value!r}")
    return number


def _one_of(name: str, value: Any, allowed: Mapping[str, Any]) -> Any:
    if value not in allowed:
        raise GenOpsValidationError(f"{name} of a fault must be one of {', '.join(allowed)}, not {value!r}")
    return allowed[value]


def _moment(name: str, value: Any, now: datetime) -> datetime:
    moment = parse_rfc3339(value) if isinstance(value, str) else None
    return moment or now + timedelta(seconds=_number(f"{name} (seconds from now, or RFC 3339)", value, 0, 10**9))


def _resources(value: Any) -> frozenset[str]:
    names: Iterable[Any] = [value] if isinstance(value, str) else value if isinstance(value, (list, frozenset)) else []
    resources = frozenset(map(str, names))
    if not resources or resources - RESOURCES:
        raise GenOpsValidationError(f"quota of a fault must be a list of {', '.join(sorted(RESOURCES))}, not {value!r}")
    return resources
