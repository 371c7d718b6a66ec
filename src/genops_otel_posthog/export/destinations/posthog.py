"""PostHog as a destination: its batch API, or its capture v1 where that is chosen.

The two answer differently. The batch API judges a request as a unit: one bad event refuses all of them with 400, so the
guilty one has to be found by halving; and over its quota it says 200 and keeps nothing. Capture v1 answers for every
event, and 402 over the quota.

Sources: PostHog/posthog on GitHub, ``rust/capture/src`` (``api.rs``, ``router.rs``, ``quota_limiters.rs``,
``v1/analytics``); PostHog/posthog-python, ``posthog/capture_v1.py``.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import (
    MAX_AI_EVENT_BYTES,
    MAX_BATCH_BODY_BYTES,
    MAX_EVENT_BYTES,
    project_key_problem,
    v1_boolean_option,
)
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.compression import COMPRESSIONS, chosen
from genops_otel_posthog.export.destinations.http import Http, Response
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.version import __version__

PROTOCOLS: Final = ("batch", "v1")

_BATCH_PATH = "/batch/"
_V1_PATH = "/i/v1/analytics/events"
_SDK = f"genops-otel-posthog/{__version__}"
_WORTH_COMPRESSING = 1024
_ENVELOPE_BYTES = 1024
_MOST_SHOWN = 200

_RETRIED = frozenset({408, 425, 429})
_REJECTED = frozenset({400, 422})
_ADVICE: Final[Mapping[int, str]] = {
    401: "the project key is not valid: check POSTHOG_API_KEY",
    402: "the billing limit of the PostHog organisation is reached: raise it, or wait for the next billing period",
    403: "access is denied: check the project key and what stands between here and PostHog",
    404: "there is no PostHog at this address: check POSTHOG_HOST",
}

_LIMITS = frozenset({"events", "exceptions", "survey_responses", "llm_events"})
"""Billing limits that events fall under; others, such as that of recordings, are none of this."""

_AI_EVENT = (b'{"event":"$ai_', b'{"event": "$ai_')
# What capture v1 takes beside the properties instead of among them, and the library, which it takes from a header.
_V1_FIELDS = {"$session_id": "session_id", "$window_id": "window_id"}
_V1_OPTIONS: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "$cookieless_mode": ("cookieless_mode", v1_boolean_option),
    "$ignore_sent_at": ("disable_skew_correction", v1_boolean_option),
    "$product_tour_id": ("product_tour_id", lambda value: value if isinstance(value, str) else None),
    "$process_person_profile": ("process_person_profile", v1_boolean_option),
}
_V1_LIBRARY = ("$lib", "$lib_version")
_V1_PERSON = ("$set", "$set_once")  # the batch API also takes them beside the properties
_V1_MARKS = tuple(f'"{name}"'.encode() for name in (*_V1_FIELDS, *_V1_OPTIONS, *_V1_LIBRARY, *_V1_PERSON))


class PostHogDestination:
    """PostHog. See :class:`~.protocol.Destination`.

    Args:
        api_key: The project key, ``phc_…``.
        host: Scheme and host of the ingestion endpoint.
        protocol: ``batch`` or ``v1``.
        compression: ``gzip``, ``zstd`` (capture v1 only) and ``none``, for bodies beyond a kibibyte; see
            :func:`~.compression.chosen` for ``auto``.
        historical_migration: Marks everything as imported from the past, which PostHog bills as usual and keeps out
            of its alarms about bursts.
        max_batch_events: Most events of a request.
        max_batch_bytes: Most bytes of the events of a request; PostHog takes 20 MiB.
        name: Of the destination.
        account: Whose account it is, where that is more than the key; see :class:`~.protocol.Destination`.
        path: Of the batch API, of which PostHog has one for large events about AI.
        sdk: Who the events are of, as ``name/version``; this package when not given.

    Raises:
        GenOpsConfigurationError: The key or another argument cannot be right.
    """

    max_event_bytes = MAX_AI_EVENT_BYTES

    def __init__(
        self,
        api_key: str,
        host: str = "https://us.i.posthog.com",
        *,
        protocol: str = "batch",
        compression: str = "auto",
        historical_migration: bool = False,
        max_batch_events: int = 1000,
        max_batch_bytes: int = 4 * 1024 * 1024,
        name: str = "posthog",
        account: str | None = None,
        path: str = _BATCH_PATH,
        sdk: str | None = None,
    ) -> None:
        problem = project_key_problem(api_key)
        if problem:
            raise GenOpsConfigurationError(problem)
        parts = urlsplit(host)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GenOpsConfigurationError(
                f"the PostHog host {host!r} is no address; use for instance https://us.i.posthog.com"
            )
        if protocol not in PROTOCOLS or compression not in COMPRESSIONS:
            raise GenOpsConfigurationError(
                f"PostHog is spoken to by {' or '.join(PROTOCOLS)}, compressed {', '.join(COMPRESSIONS)}; "
                f"not {protocol!r}, {compression!r}"
            )
        self.name = name
        self.account = account or hashlib.blake2b(api_key.strip().encode(), digest_size=5).hexdigest()
        self.max_batch_events = max_batch_events
        self.max_batch_bytes = min(max_batch_bytes, MAX_BATCH_BODY_BYTES - _ENVELOPE_BYTES)
        self._key = api_key.strip()
        self._path = path
        self._sdk = sdk or _SDK
        self._http = Http(host.rstrip("/"))
        self._is_v1 = protocol == "v1"
        self._compression = chosen(compression, is_v1=self._is_v1, host=host)
        self._historical = historical_migration
        self._head = b'{"api_key":' + json.dumps(self._key).encode() + b',"batch":['

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        """See :meth:`~.protocol.Destination.send`."""
        # A larger event is refused with the whole batch, so it does not go along.
        oversized = [position for position, body in enumerate(bodies) if _is_oversized(body)]
        if not oversized:
            return self._send_v1(bodies, timeout) if self._is_v1 else self._send_batch(bodies, timeout)
        kept = [position for position in range(len(bodies)) if position not in set(oversized)]
        answer = self.send([bodies[position] for position in kept], timeout) if kept else Answer(Verdict.ACCEPTED)
        if answer.verdict is not Verdict.ACCEPTED:
            return answer if len(bodies) > 1 else Answer(Verdict.TOO_LARGE, "too_large")
        rejected = {kept[position]: reason for position, reason in answer.rejected.items()}
        rejected |= dict.fromkeys(oversized, "too_large")
        return answer._replace(rejected=rejected, again=tuple(kept[position] for position in answer.again))

    def close(self) -> None:
        """See :meth:`~.protocol.Destination.close`."""
        self._http.close()

    # --- the batch API ----------------------------------------------------------------------------------------------

    def _send_batch(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        tail = f'],"sent_at":"{_now()}"'.encode() + (b',"historical_migration":true}' if self._historical else b"}")
        response = self._post(self._path, self._head + b",".join(bodies) + tail, {}, timeout)
        if isinstance(response, Answer):
            return response
        if not 200 <= response.status < 300:
            return self._refusal(response)
        if response.status == 204:
            return Answer(Verdict.ACCEPTED)
        said = _json_object(response.body)
        if said is None:
            return _unreadable(response)
        limited = [name for name in said.get("quota_limited") or () if name in _LIMITS]
        if limited:
            detail = f"PostHog answered 200 and kept nothing of {', '.join(limited)}: {_ADVICE[402]}"
            return Answer(Verdict.HELD, "quota_limited", response.retry_after, detail)
        return Answer(Verdict.ACCEPTED)

    # --- capture v1 -------------------------------------------------------------------------------------------------

    def _send_v1(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        now = _now()
        content = b'{"created_at":"' + now.encode() + b'","batch":[' + b",".join(map(_v1_event, bodies)) + b"]"
        content += b',"historical_migration":true}' if self._historical else b"}"
        headers = {
            "Authorization": f"Bearer {self._key}",
            "PostHog-Sdk-Info": self._sdk,
            "PostHog-Attempt": "1",
            "PostHog-Request-Id": str(uuid.uuid4()),
            "PostHog-Request-Timestamp": now,
        }
        response = self._post(_V1_PATH, content, headers, timeout)
        if isinstance(response, Answer):
            return response
        if not 200 <= response.status < 300:
            return self._refusal(response)
        said = _json_object(response.body) or {}
        results = said.get("results")
        if not isinstance(results, dict):
            return _unreadable(response)
        rejected: dict[int, str] = {}
        again: list[int] = []
        for position, body in enumerate(bodies):
            result = results.get(json.loads(body).get("uuid")) or {}
            outcome = result.get("result")
            if outcome == "drop":
                rejected[position] = str(result.get("details") or "dropped")[:_MOST_SHOWN]
            elif outcome not in ("ok", "warning"):
                again.append(position)
        detail = "PostHog took the request and refused these events" if rejected else ""
        reason = "event_retry" if again else ""
        return Answer(Verdict.ACCEPTED, reason, response.retry_after, detail, rejected, tuple(again))

    # --- both -------------------------------------------------------------------------------------------------------

    def _post(self, path: str, content: bytes, headers: Mapping[str, str], timeout: float) -> Response | Answer:
        sent = {"Content-Type": "application/json", "User-Agent": self._sdk, **headers}
        if self._compression is not None and len(content) > _WORTH_COMPRESSING:
            content = self._compression.compress(content)
            sent["Content-Encoding"] = self._compression.encoding
        return self._http.post(path, content, sent, timeout)

    def _refusal(self, response: Response) -> Answer:
        status, reason = response.status, f"http_{response.status}"
        if status in _RETRIED or status >= 500:
            return Answer(Verdict.RETRY, reason, response.retry_after)
        if status == 413:
            return Answer(Verdict.TOO_LARGE, reason, detail="PostHog says that it is too large")
        if status in _REJECTED:
            return Answer(Verdict.REJECTED, reason, detail=_shown(response.body))
        if 300 <= status < 400:
            return Answer(Verdict.HELD, reason, detail="the host redirects: set POSTHOG_HOST to where it redirects to")
        return Answer(Verdict.HELD, reason, response.retry_after, _ADVICE.get(status, "PostHog refuses requests"))


def _is_oversized(body: bytes) -> bool:
    """Whether PostHog would refuse the event for its size; an event about AI may be larger."""
    return len(body) > MAX_EVENT_BYTES and not body.startswith(_AI_EVENT)


def _v1_event(body: bytes) -> bytes:
    """An event as capture v1 wants it. Most need one empty object more; the others are taken apart."""
    if not any(mark in body for mark in _V1_MARKS):
        return body[:-1] + b',"options":{}}'
    event: dict[str, Any] = json.loads(body)
    properties: dict[str, Any] = event.get("properties") or {}
    for name in _V1_PERSON:
        beside = event.pop(name, None)
        if isinstance(beside, dict):
            within = properties.get(name)
            properties[name] = {**beside, **within} if isinstance(within, dict) else properties.get(name, beside)
    options: dict[str, object] = {}
    for name, (option, read) in _V1_OPTIONS.items():
        if name in properties:
            value = read(properties.pop(name))
            if value is not None:
                options[option] = value
    for name, field in _V1_FIELDS.items():
        value = properties.pop(name, None)
        if isinstance(value, str):
            event[field] = value
    for name in _V1_LIBRARY:
        properties.pop(name, None)
    return json.dumps({**event, "options": options, "properties": properties}, separators=(",", ":")).encode()


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(content)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _unreadable(response: Response) -> Answer:
    """A 200 that PostHog would not give: something in between took the events, and nobody knows where to."""
    detail = "200, but not in PostHog's words; does something stand between here and PostHog?"
    return Answer(Verdict.RETRY, "unreadable_answer", response.retry_after, detail)


def _shown(body: bytes) -> str:
    """What the service said, for people. PostHog's refusals name a rule, at most a uuid."""
    text = body[:_MOST_SHOWN].decode("utf-8", "replace")
    return " ".join(text.split())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
