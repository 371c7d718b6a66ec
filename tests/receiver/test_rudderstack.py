"""RudderStack's gateway as the receiver plays it, raw and from RudderStack's own SDK."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.receiver import LocalReceiver

KEY = "1aBcDeFg"
AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}


def message(**changes: Any) -> dict[str, Any]:
    """A good message; a change to ``...`` leaves the field out."""
    good = {"type": "track", "event": "paid", "userId": "user-1", "messageId": "m-1", "properties": {}, **changes}
    return {name: value for name, value in good.items() if value is not ...}


def send(http_to: Any, *messages: Any, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
    content = {"batch": list(messages), "sentAt": "2026-11-22T12:00:00+00:00"} if body is None else body
    return http_to.post("/v1/batch", content, {**AUTHORIZATION, **(headers or {})})


def test_a_batch_is_answered_with_the_gateways_ok_and_kept(receiver: LocalReceiver, http_to: Any) -> None:
    answer = send(http_to, message(timestamp="2026-11-22T11:00:00Z", context={"traceId": "a" * 32}))
    assert (answer.status, answer.text) == (200, "OK")
    (kept,) = receiver.rudder_messages("paid", trace_id="a" * 32)
    assert (kept.type, kept.user_id, kept.message_id, kept.write_key) == ("track", "user-1", "m-1", KEY)
    assert kept.timestamp == "2026-11-22T11:00:00.000000+00:00"
    assert kept.message["properties"] == {}
    assert receiver.summary()["rudder_messages"] == {"total": 1, "distinct": 1, "by_type": {"track": 1}}


@pytest.mark.parametrize("ids", [{"userId": ...}, {"userId": ""}, {"userId": None}, {"userId": "  "}])
def test_one_message_without_ids_refuses_the_whole_batch(receiver: LocalReceiver, http_to: Any, ids: Any) -> None:
    answer = send(http_to, message(), message(**ids))
    assert (answer.status, answer.text) == (400, "Request neither has anonymousId nor userId")
    assert receiver.rudder_messages() == []


@pytest.mark.parametrize("ids", [{"userId": ..., "anonymousId": "a-1"}, {"userId": 42}])
def test_either_id_will_do_and_it_may_be_a_number(receiver: LocalReceiver, http_to: Any, ids: Any) -> None:
    assert send(http_to, message(**ids)).status == 200
    assert len(receiver.rudder_messages()) == 1


@pytest.mark.parametrize(
    "headers", [{"Authorization": ""}, {"Authorization": "Bearer x"}, {"Authorization": "Basic Og=="}]
)
def test_without_a_write_key_a_request_is_not_let_in(http_to: Any, headers: dict[str, str]) -> None:
    answer = send(http_to, message(), headers=headers)
    assert (answer.status, answer.text) == (401, "Failed to read writeKey from header")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b'{"batch":[]}', "Empty batch payload"),
        (b'{"batch":["x"]}', "Event is not a valid rudder event"),
    ],
)
def test_what_is_no_batch_is_refused(http_to: Any, body: bytes, said: str) -> None:
    answer = send(http_to, body=body)
    assert (answer.status, answer.text) == (400, said)


def test_gzip_is_decoded_and_deflate_is_not(http_to: Any) -> None:
    content = gzip.compress(json.dumps({"batch": [message()]}).encode())
    assert send(http_to, body=content, headers={"Content-Encoding": "gzip"}).status == 200
    assert send(http_to, body=content, headers={"Content-Encoding": "deflate"}).text == "Invalid JSON"


def test_a_body_over_4000_kibibytes_once_decompressed_is_too_large(receiver: LocalReceiver, http_to: Any) -> None:
    content = gzip.compress(json.dumps({"batch": [message(properties={"pad": "x" * 4_096_000})]}).encode())
    answer = send(http_to, body=content, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.text) == (413, "Request size exceeds max limit")
    assert receiver.rudder_messages() == []


def test_a_message_without_an_id_gets_one(receiver: LocalReceiver, http_to: Any) -> None:
    send(http_to, message(messageId=" "), message(messageId=...))
    first, second = receiver.rudder_messages()
    assert len({first.message_id, second.message_id, ""}) == 3


def test_without_a_timestamp_the_time_is_the_original_one_by_the_gateways_clock(
    receiver: LocalReceiver, http_to: Any
) -> None:
    send(http_to, message(originalTimestamp="2020-01-01T00:00:00Z", sentAt="2020-01-01T00:00:10Z"))
    (kept,) = receiver.rudder_messages()
    assert kept.at[:4] == kept.timestamp[:4]
    assert kept.timestamp < kept.at


def test_an_outage_of_rudderstack_is_none_of_otlp(receiver: LocalReceiver, http_to: Any) -> None:
    receiver.fail("otlp", status=503)
    assert send(http_to, message()).status == 200
    receiver.fail("rudderstack", status=404)
    assert send(http_to, message()).status == 404
    assert http_to.batch({"event": "paid", "distinct_id": "user-1"}).status == 200


def test_what_rudderstacks_own_sdk_sends_is_taken(
    receiver: LocalReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rudderstack", reason="needs rudder-sdk-python")
    dotenv = importlib.import_module("dotenv")
    monkeypatch.setattr(dotenv, "load_dotenv", lambda: False)  # importing it loads any .env into the process
    for name in [name for name in sys.modules if name.startswith("rudderstack")]:
        monkeypatch.delitem(sys.modules, name)
    client = importlib.import_module("rudderstack.analytics.client").Client(
        KEY, host=receiver.url, gzip=True, sync_mode=False, upload_interval=0.05
    )
    client.identify("user-1", {"plan": "pro"})
    client.track("user-1", "paid", {"amount": 9})
    client.group("user-1", "workspace-1", {"name": "Acme"})
    client.alias("user-0", "user-1")
    client.page("user-1", "docs", "Home")
    client.screen("user-1", "app", "Home")
    client.shutdown()
    assert sorted(kept.type or "" for kept in receiver.rudder_messages()) == [
        "alias", "group", "identify", "page", "screen", "track",
    ]  # fmt: skip
