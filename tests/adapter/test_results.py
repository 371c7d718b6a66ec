"""What results say holds, whatever is done with them and with the instrumentation."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from genops_otel_posthog import GenOpsPostHogAdapter, GenOpsValidationError
from genops_otel_posthog.adapter.zero_code import auto_instrument, uninstrument_posthog

VALUES = {"at": datetime(2026, 11, 29, tzinfo=timezone.utc), "price": Decimal("9.50"), "id": uuid4(), "bytes": b"x"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"enable_governance": False},
        {"governance_policy": "enforced", "daily_budget_limit": 0, "pricing_mode": "list"},
        {"sampling": "aggressive"},
    ],
    ids=["sent", "not governed", "blocked", "sampled"],
)
def test_a_result_can_be_written_as_json_whatever_the_properties_are(arguments: Any, make_adapter: Any) -> None:
    adapter = make_adapter(**arguments)
    given = {**VALUES, "nested": {"deep": [VALUES]}}
    for person in range(20):
        result = adapter.capture_event_with_governance("$pageview", given, f"u{person}", raises=False)
        assert set(given) <= set(json.loads(json.dumps(result))["properties"])


def test_who_changes_a_result_changes_no_event(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    result = adapter.capture_event_with_governance("x", {"plan": "pro"})
    result["properties"]["plan"] = "changed"
    del result["properties"]["genops_team"]

    adapter.flush()
    properties = receiver.events()[0].properties
    assert (properties["plan"], properties["genops_team"]) == ("pro", "growth")


def test_a_uuid_that_is_none_is_refused_and_a_uuid_object_is_one(adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsValidationError, match="uuid='order-1' cannot be used"):
        adapter.capture_event_with_governance("x", uuid="order-1")

    given = UUID("0193b8f2-7d1b-7c7e-9d3e-3f1f2f6f6a10")
    assert adapter.capture_event_with_governance("x", uuid=given)["event_uuid"] == str(given)


def test_an_adapter_that_outlives_the_instrumentation_tells_what_it_sends(receiver: Any, providers: Any) -> None:
    adapter = auto_instrument("phc_module", posthog_host=receiver.url, **providers)
    uninstrument_posthog()
    result = adapter.capture_event_with_governance("x", distinct_id="ann")

    adapter.flush()
    assert [event.uuid for event in receiver.events()] == [result["event_uuid"]]
