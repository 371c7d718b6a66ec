"""The feature flag endpoints: remote evaluation, definitions for local evaluation, remote config payloads.

Every answered request is kept with the units PostHog bills for it: 1 for a remote evaluation, 10 for definitions, and
0 when the definitions had not changed (304) or the project has no billable flag.

Sources: PostHog/posthog on GitHub, ``rust/feature-flags/src/api`` (``types.rs``, ``errors.rs``,
``flag_definitions.rs``, ``remote_config.rs``) and ``docs/internal/feature-flags/billing.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from genops_otel_posthog.acceptance import MAX_SINGLE_BODY_BYTES, masked_key, token_refusal
from genops_otel_posthog.receiver.content import (
    GZIP_MAGIC,
    BodyTooLarge,
    BodyUndecodable,
    EncodingUnsupported,
    decompress,
    parse_json,
)
from genops_otel_posthog.receiver.exchange import Call, Reply, json_reply, text_reply
from genops_otel_posthog.receiver.flag_evaluation import FlagDefinitions, FlagResult, Subject, evaluate_flags
from genops_otel_posthog.receiver.judgement import RequestRefused
from genops_otel_posthog.receiver.store import Transaction, clean_text, iso, to_json

COLUMNS = ("request", "at", "token", "kind", "distinct_id", "status", "units", "answer")
UNITS_PER_REMOTE_EVALUATION = 1
UNITS_PER_DEFINITIONS = 10

_NO_TOKEN = "No API token provided. Please include a valid API token in your request."
_BAD_TOKEN = "The provided API key is invalid or has expired. Please check your API key and try again."
_NO_DISTINCT_ID = "The distinct_id field is missing from the request. Please include a valid identifier."
_EMPTY_DISTINCT_ID = "The distinct_id field cannot be empty. Please provide a valid identifier."


@dataclass(slots=True)
class FlagService:
    """The endpoints, around the definitions they answer from.

    Attributes:
        definitions: replaced as a whole when they change.
    """

    definitions: FlagDefinitions = field(default_factory=FlagDefinitions)

    def flags(self, call: Call, transaction: Transaction) -> Reply:
        """``POST /flags/``: every flag for one subject."""
        return self._evaluate(call, transaction, _flags_shape)

    def decide(self, call: Call, transaction: Transaction) -> Reply:
        """``POST /decide/``: the predecessor of ``/flags/``."""
        return self._evaluate(call, transaction, _decide_shape)

    def definitions_poll(self, call: Call, transaction: Transaction) -> Reply:
        """``GET /flags/definitions``, formerly ``/api/feature_flag/local_evaluation``: what local evaluation needs."""
        definitions = self.definitions
        token = call.query.get("token", "")
        if "feature_flag_requests" in call.over_quota:
            reply = json_reply(
                {
                    "type": "quota_limited",
                    "code": "payment_required",
                    "detail": "You have exceeded your feature flag request quota",
                },
                402,
                note="over quota",
            )
        else:
            reply = _refuse_credentials(call, token) or _definitions_reply(call, definitions)
        units = UNITS_PER_DEFINITIONS if reply.status == 200 else 0
        _keep(transaction, call, "definitions", token, None, reply.status, units, None)
        return reply

    def remote_config(self, call: Call, transaction: Transaction) -> Reply:
        """``GET /api/projects/…/feature_flags/{key}/remote_config``: the payload of one flag."""
        token = call.query.get("token", "")
        key = call.path.removesuffix("/remote_config").rpartition("/feature_flags/")[2]
        flag = self.definitions.by_key.get(key)
        reply = _refuse_credentials(call, token, token_required=False)
        if reply is None and (flag is None or not flag.get("is_remote_configuration")):
            reply = json_reply({"detail": "Not found."}, 404, note=f"no remote config flag {key!r}")
        if reply is None:
            payload = ((flag or {}).get("filters") or {}).get("payloads", {}).get("true")
            reply = json_reply(payload) if payload else Reply()
        _keep(transaction, call, "remote_config", token, None, reply.status, 0, None)
        return reply

    def _evaluate(self, call: Call, transaction: Transaction, shape: Any) -> Reply:
        definitions = self.definitions
        try:
            body = _read_body(call)
            token, subject, keys = _read_subject(body)
        except RequestRefused as refused:
            return text_reply(refused.message, refused.status, note=f"{refused.code}: {refused.message}")
        limited = "feature_flag_requests" in call.over_quota
        results = {} if limited else evaluate_flags(definitions, subject, now=call.at, keys=keys)
        content = {
            "errorsWhileComputingFlags": any(result.failed for result in results.values()),
            **shape(call.query.get("v", ""), definitions, results),
            "requestId": str(uuid4()),
            "evaluatedAt": int(call.at.timestamp() * 1000),
        }
        if limited:
            content["quotaLimited"] = ["feature_flags"]
        units = UNITS_PER_REMOTE_EVALUATION if definitions.has_billable_flag and not limited else 0
        answer = {key: result.value for key, result in results.items()}
        _keep(transaction, call, "flags", token, subject.distinct_id, 200, units, answer)
        return json_reply(content, note="over quota" if limited else None)


def _read_body(call: Call) -> Mapping[str, Any]:
    encoding = call.headers.get("content-encoding", "").lower()
    if call.body.startswith(GZIP_MAGIC):
        encoding = "gzip"
    try:
        body = parse_json(decompress(call.body, encoding, limit=MAX_SINGLE_BODY_BYTES).decode())
    except BodyTooLarge as problem:
        raise RequestRefused(413, "payload_too_large", f"Payload too large: {problem}") from problem
    except EncodingUnsupported as problem:
        raise RequestRefused(415, "unsupported_encoding", f"Unsupported content encoding: {problem}") from problem
    except (BodyUndecodable, UnicodeDecodeError) as problem:
        raise RequestRefused(400, "request_decoding", f"Failed to parse request: {problem}") from problem
    if not isinstance(body, dict):
        raise RequestRefused(400, "request_decoding", "Failed to parse request: it is not an object")
    return body


def _read_subject(body: Mapping[str, Any]) -> tuple[str, Subject, list[str] | None]:
    token = next((body[name] for name in ("token", "api_key", "$token") if body.get(name) is not None), None)
    if token is None:
        raise RequestRefused(401, "no_token", _NO_TOKEN)
    if not isinstance(token, str) or token_refusal(token) is not None:
        raise RequestRefused(401, "invalid_token", _BAD_TOKEN)
    distinct_id = body.get("distinct_id")
    if distinct_id is None:
        raise RequestRefused(400, "missing_distinct_id", _NO_DISTINCT_ID)
    if distinct_id == "":
        raise RequestRefused(400, "empty_distinct_id", _EMPTY_DISTINCT_ID)
    groups, person, group_properties = (
        _object(body, name) for name in ("groups", "person_properties", "group_properties")
    )
    device_id = body.get("device_id") or body.get("$device_id") or person.get("$device_id")
    keys = body.get("flag_keys_to_evaluate") or body.get("flag_keys")
    subject = Subject(
        distinct_id=distinct_id if isinstance(distinct_id, str) else json.dumps(distinct_id),
        groups=groups,
        person_properties=person,
        group_properties={name: value for name, value in group_properties.items() if isinstance(value, dict)},
        device_id=device_id if isinstance(device_id, str) else None,
    )
    return token.strip(), subject, keys if isinstance(keys, list) else None


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestRefused(400, "request_decoding", f"Failed to parse request: `{name}` is not an object")
    return value


def _flags_shape(version: str, definitions: FlagDefinitions, results: Mapping[str, FlagResult]) -> dict[str, Any]:
    """The flags in the shape of this version: values alone before 2, records from 2 on, typed values from 4 on."""
    number = int(version) if version.isdigit() else 0
    if number < 2:
        return _values_and_payloads(results)
    return {
        "flags": {key: _record(definitions.by_key[key], result, typed=number >= 4) for key, result in results.items()}
    }


def _decide_shape(version: str, definitions: FlagDefinitions, results: Mapping[str, FlagResult]) -> dict[str, Any]:
    """The flags as ``/decide`` numbered its versions, which is one ahead of ``/flags``."""
    number = int(version) if version.isdigit() else 1
    if number >= 4:
        return _flags_shape("2", definitions, results)
    if number == 3:
        return _values_and_payloads(results)
    enabled = {key: result.value for key, result in results.items() if result.value}
    return {"featureFlags": enabled if number == 2 else list(enabled)}


def _values_and_payloads(results: Mapping[str, FlagResult]) -> dict[str, Any]:
    return {
        "featureFlags": {key: result.value for key, result in results.items()},
        "featureFlagPayloads": {key: result.payload for key, result in results.items() if result.payload is not None},
    }


def _record(flag: Mapping[str, Any], result: FlagResult, *, typed: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "key": flag["key"],
        "enabled": bool(result.value),
        "variant": result.value if isinstance(result.value, str) else None,
        "reason": {
            "code": result.reason,
            "condition_index": result.condition_index,
            "description": result.description,
        },
        "metadata": {
            "id": flag["id"],
            "version": flag.get("version") or 1,
            "description": flag.get("name") or "",
            "payload": result.payload,
        },
    }
    if result.failed:
        record["failed"] = True
    if typed:
        record["value"] = None if result.failed else result.value
    return record


def _definitions_reply(call: Call, definitions: FlagDefinitions) -> Reply:
    headers = {"ETag": f'W/"{definitions.etag}"', "Cache-Control": "private, must-revalidate"}
    known = call.headers.get("if-none-match", "").strip().removeprefix("W/").strip('"')
    if known == definitions.etag:
        return Reply(304, headers=headers, note="not modified")
    return Reply(200, definitions.document, headers=headers)


def _refuse_credentials(call: Call, token: str, *, token_required: bool = True) -> Reply | None:
    """Definitions and remote config need a secret key beside the project key."""
    if (token_required or token) and token_refusal(token) is not None:
        return _unauthorized("The `token` parameter must be a project API key.")
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return _unauthorized("Authentication credentials were not provided.", code="not_authenticated")
    if not key.strip().startswith(("phx_", "phs_")):
        return _unauthorized("Personal API key found in request Authorization header is invalid.")
    return None


def _unauthorized(detail: str, *, code: str = "authentication_failed") -> Reply:
    content = {"type": "authentication_error", "code": code, "detail": detail, "attr": None}
    return json_reply(content, 401, note=f"{code}: {detail}")


def _keep(
    transaction: Transaction, call: Call, kind: str, token: str, distinct_id: str | None, status: int, units: int,
    answer: Mapping[str, Any] | None,
) -> None:  # fmt: skip
    shown = token.strip() if token_refusal(token) is None else masked_key(token)
    row = (
        call.id, iso(call.at), clean_text(shown), kind, None if distinct_id is None else clean_text(distinct_id),
        status, units, None if answer is None else to_json(answer),
    )  # fmt: skip
    transaction.add("flag_requests", COLUMNS, [row])
