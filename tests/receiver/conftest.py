"""One receiver for all tests of this directory, empty at the start of each, and raw HTTP to it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from genops_otel_posthog.receiver import LocalReceiver

TOKEN = "phc_test"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """Requests with nothing added: what a test writes is what is sent."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("POST", path, body, headers)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, None, headers)

    def batch(self, *events: Mapping[str, Any], path: str = "/batch/", **envelope: Any) -> Answer:
        """A v0 batch."""
        return self.post(path, {"api_key": TOKEN, "batch": list(events), **envelope})

    def v1(
        self,
        *events: Any,
        path: str = "/i/v1/analytics/events",
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        **envelope: Any,
    ) -> Answer:
        """A v1 batch with all required headers; a header given as ``None`` is left out, ``body`` replaces it all."""
        given: dict[str, str | None] = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "User-Agent": "posthog-python/7.91.1",
            "PostHog-Sdk-Info": "posthog-python/7.91.1",
            "PostHog-Attempt": "1",
            "PostHog-Request-Id": str(uuid4()),
            "PostHog-Request-Timestamp": "2026-11-22T12:00:00+00:00",
            **(headers or {}),
        }
        batch = {"created_at": "2026-11-22T12:00:00+00:00", "batch": list(events), **envelope}
        kept = {name: value for name, value in given.items() if value is not None}
        return self.post(path, batch if body is None else body, kept)


def v0_event(**changes: Any) -> dict[str, Any]:
    """A good v0 event; a change to ``...`` leaves the field out."""
    event = {"event": "signed_up", "distinct_id": "user-1", "uuid": str(uuid4()), "properties": {}, **changes}
    return {name: value for name, value in event.items() if value is not ...}


def v1_event(**changes: Any) -> dict[str, Any]:
    """A good v1 event; a change to ``...`` leaves the field out."""
    event = {
        "event": "signed_up",
        "distinct_id": "user-1",
        "uuid": str(uuid4()),
        "timestamp": "2026-11-22T12:00:00+00:00",
        "options": {},
        "properties": {},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not ...}


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver(keep_bodies=True) as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    """The receiver, with nothing received, no faults and no flags."""
    shared_receiver.recover()
    shared_receiver.set_flags([])
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def http_to(receiver: LocalReceiver) -> Http:
    """Raw HTTP to the receiver."""
    return Http(receiver.url)


@pytest.fixture
def make_v0_event() -> Any:
    return v0_event


@pytest.fixture
def make_v1_event() -> Any:
    return v1_event
