"""One flag from PostHog's server, with the truth about what went wrong.

The SDK's getters turn every failure into ``None`` or nothing (a refused connection, a timeout, a server error and a
flag that does not exist look the same), and they wait for up to two times their timeout. So the SDK's own request
function is called, which raises. It is called by the name that the SDK's client uses, so that instrumentation counts
it, and budgets refuse it, like the SDK's own calls.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from genops_otel_posthog.errors import GenOpsBudgetExceededError
from genops_otel_posthog.flags.answer import MISSING, Answer, Reason, Subject, Unknown

REFUSED_SECONDS: Final = 60.0
"""How long PostHog is left alone after it refused for reasons that take people to change: quota, key."""

_LONGEST_RETRY_AFTER: Final = 300.0
_PEOPLE_ARE_NEEDED: Final = frozenset({401, 402, 403})


class Failure(NamedTuple):
    """A request that was not answered.

    Attributes:
        unknown: What is known of the flag: nothing, and why.
        pause: Seconds for which another request is known to be of no use.
        counts: Whether PostHog is to blame.
    """

    unknown: Unknown
    pause: float | None = None
    counts: bool = True


def ask_posthog(client: Any, key: str, subject: Subject, timeout: float) -> Answer | Unknown | Failure:
    """Asks PostHog's server for a flag, once.

    Args:
        client: A ``posthog.Posthog``.
        key: The flag.
        subject: Whom for.
        timeout: Seconds to wait for a connection, and again for the answer.
    """
    groups = subject.all_groups
    try:
        response = _request_function()(
            client.api_key,
            client.host,
            timeout=timeout,
            distinct_id=subject.distinct_id,
            groups=groups,
            person_properties=dict(subject.person_properties),
            group_properties={
                kind: {"$group_key": group, **subject.group_properties.get(kind, {})} for kind, group in groups.items()
            },
            geoip_disable=client.disable_geoip,
            flag_keys_to_evaluate=[key],
            **({"max_retries": 0} if _takes_retries() else {}),
        )
        return read_response(response, key)
    except Exception as error:
        return _failure(error)


def read_response(response: Any, key: str) -> Answer | Unknown:
    """What PostHog's answer says of a flag, in any version of its format."""
    if not isinstance(response, Mapping):
        return Unknown("unknown_error")
    has_errors = bool(response.get("errorsWhileComputingFlags"))
    absent = Unknown("errors_while_computing_flags") if has_errors else MISSING
    request_id = response.get("requestId")
    flags = response.get("flags")
    if not isinstance(flags, Mapping):
        values = _mapping(response.get("featureFlags"))
        if key not in values:
            return absent
        payload = _mapping(response.get("featureFlagPayloads")).get(key)
        return _answer(key, values[key] is not False, values[key], payload, {}, {}, request_id)
    record = flags.get(key)
    if not isinstance(record, Mapping):
        return absent
    if record.get("failed"):
        return Unknown("evaluation_failed")
    metadata, reason = _mapping(record.get("metadata")), _mapping(record.get("reason"))
    return _answer(
        key, bool(record.get("enabled")), record.get("variant"), metadata.get("payload"), metadata, reason, request_id
    )


def semantic_reason(enabled: bool, variant: str | None, code: str | None = None) -> Reason:
    """PostHog's reason in OpenTelemetry's words."""
    if code == "flag_disabled":
        return "disabled"
    if not enabled:
        return "default"
    return "targeting_match" if variant is None else "split"


def _answer(
    key: str, enabled: bool, variant: Any, payload: Any, metadata: Mapping[str, Any], reason: Mapping[str, Any],
    request_id: Any,
) -> Answer:  # fmt: skip
    chosen = variant if isinstance(variant, str) and enabled else None
    return Answer(
        key=key,
        enabled=enabled,
        source="posthog_remote",
        variant=chosen,
        payload=decoded(payload) if enabled else None,
        version=_number(metadata.get("version")),
        reason=semantic_reason(enabled, chosen, reason.get("code")),
        detail=reason.get("description") or reason.get("code"),
        stale_s=0.0,
        flag_id=_number(metadata.get("id")),
        request_id=request_id if isinstance(request_id, str) else None,
    )


def decoded(payload: Any) -> Any:
    """A payload, which PostHog sends as the text of a JSON document."""
    if not isinstance(payload, str):
        return payload
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def _failure(error: Exception) -> Failure:
    from posthog.request import APIError, QuotaLimitError
    from requests.exceptions import InvalidJSONError, RequestException, Timeout

    if isinstance(error, GenOpsBudgetExceededError):
        return Failure(Unknown("budget_exceeded"), counts=False)
    if isinstance(error, QuotaLimitError):
        return Failure(Unknown("quota_limited"), REFUSED_SECONDS)
    if isinstance(error, APIError):
        if error.status == 402:
            return Failure(Unknown("quota_limited"), REFUSED_SECONDS)
        pause = REFUSED_SECONDS if error.status in _PEOPLE_ARE_NEEDED else None
        asked = getattr(error, "retry_after", None)
        if pause is None and isinstance(asked, (int, float)) and asked > 0:
            pause = min(float(asked), _LONGEST_RETRY_AFTER)
        return Failure(Unknown(f"api_error_{error.status}"), pause)
    if isinstance(error, Timeout):
        return Failure(Unknown("timeout"))
    if isinstance(error, RequestException) and not isinstance(error, InvalidJSONError):
        return Failure(Unknown("connection_error"))
    return Failure(Unknown("unknown_error"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _request_function() -> Callable[..., Any]:
    from posthog import client

    found: Callable[..., Any] = vars(client)["flags"]  # as it is at this moment: instrumentation may be around it
    return found


@lru_cache(maxsize=1)
def _takes_retries() -> bool:
    # Without this parameter, versions before it would send it to PostHog.
    from posthog import request

    return "max_retries" in inspect.signature(request.flags).parameters
