"""Captures of adapters wait in the outbox where the environment wants it, instrumented or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog import PostHogInstrumentor
from genops_otel_posthog.export.outbox.directory import default_directory
from genops_otel_posthog.export.outbox.waiting import waiting_events

pytestmark = pytest.mark.newest


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENOPS_DURABLE_CAPTURE", "true")
    monkeypatch.setenv("GENOPS_OUTBOX_PATH", str(tmp_path / "outbox"))
    return tmp_path / "outbox"


@pytest.mark.parametrize("instrumented", [False, True], ids=["adapter alone", "beside the instrumentor"])
def test_an_event_of_an_adapter_outlives_an_outage(
    instrumented: bool, outbox: Path, make_adapter: Any, receiver: Any, providers: Any
) -> None:
    if instrumented:
        PostHogInstrumentor().instrument(**providers)
    adapter = make_adapter()
    with receiver.fail("capture", status=503, retry_after="0"):
        result = adapter.capture_event_with_governance("order_completed", {"n": 1}, "ann", True)
        (waits,) = waiting_events(outbox)
        assert waits.content()["uuid"] == result["event_uuid"]
        adapter.flush(timeout=0.2)
        assert receiver.events() == []

    assert adapter.flush(timeout=30)
    (event,) = receiver.wait_for_events(1)
    assert (event.uuid, event.properties["genops_team"]) == (result["event_uuid"], "growth")


def test_without_the_variable_nothing_is_written(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter()
    adapter.capture_event_with_governance("order_completed")

    assert adapter.flush()
    assert not default_directory().exists()
