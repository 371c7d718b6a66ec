"""Which RudderStack message each PostHog event becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.rudderstack_mapping import serialised, to_message
from genops_otel_posthog.version import __version__

AT = "2026-11-22T12:00:00+00:00"
TRACE = "5b8efff798038103d269b633813fc60c"


def event(name: str, properties: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "event": name,
        "distinct_id": "user-1",
        "uuid": "7b4d1c70-0000-8000-8000-000000000001",
        "timestamp": AT,
        "properties": properties or {},
        **changes,
    }


@pytest.mark.requirement("S3-25", "S3-63")
def test_an_event_becomes_track_with_all_its_properties() -> None:
    assert to_message(event("order_completed", {"amount": 9, "tags": ["a"], "nothing": None})) == {
        "type": "track",
        "messageId": "7b4d1c70-0000-8000-8000-000000000001",
        "userId": "user-1",
        "anonymousId": "user-1",
        "timestamp": AT,
        "originalTimestamp": AT,
        "channel": "server",
        "context": {"library": {"name": "genops-otel-posthog", "version": __version__}},
        "event": "order_completed",
        "properties": {"amount": 9, "tags": ["a"], "nothing": None},
    }


@pytest.mark.parametrize("name", ["$ai_generation", "$exception", "$feature_flag_called", "flow_executed"])
def test_events_of_posthogs_own_that_are_no_calls_keep_their_name(name: str) -> None:
    message = to_message(event(name))
    assert (message["type"], message["event"]) == ("track", name)


def test_trace_and_span_are_found_in_the_properties_and_in_the_context() -> None:
    message = to_message(event("tool_used", {"$trace_id": TRACE, "$span_id": "eee19b7ec3c1b174"}))
    assert (message["properties"]["trace_id"], message["properties"]["span_id"]) == (TRACE, "eee19b7ec3c1b174")
    assert (message["context"]["traceId"], message["context"]["spanId"]) == (TRACE, "eee19b7ec3c1b174")


@pytest.mark.requirement("S3-42")
def test_an_event_of_nobody_has_an_anonymous_id_and_no_user_id() -> None:
    message = to_message(event("tool_used", {"$process_person_profile": False}, distinct_id="anonymous-1"))
    assert "userId" not in message
    assert message["anonymousId"] == "anonymous-1"


def test_the_device_is_the_anonymous_id_where_it_is_known() -> None:
    message = to_message(event("tool_used", {"$device_id": "device-1"}))
    assert (message["userId"], message["anonymousId"]) == ("user-1", "device-1")


@pytest.mark.parametrize("given", [None, "", "  ", {}, []])
def test_there_is_an_anonymous_id_even_when_the_event_names_nobody(given: Any) -> None:
    message = to_message(event("tool_used", distinct_id=given))
    assert message["anonymousId"] == message["messageId"]


@pytest.mark.requirement("D-39")
def test_the_message_id_of_an_event_without_uuid_is_that_of_its_execution() -> None:
    one = event("agent_execution", {"execution_id": "run-1"}, uuid=None)
    same = event("agent_execution", {"execution_id": "run-1", "source": "database"}, uuid="", timestamp=None)
    other = event("agent_error", {"execution_id": "run-1"}, uuid=None)
    ids = [to_message(each)["messageId"] for each in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_what_happens_several_times_in_an_execution_is_several_messages() -> None:
    one, other = (to_message(event("tool_used", {"execution_id": "run-1", "n": n}, uuid=None)) for n in (1, 2))
    assert one["messageId"] != other["messageId"]


def test_the_message_id_of_an_event_without_uuid_and_execution_depends_on_all_of_it() -> None:
    one, same, other = (to_message(event("paid", {"n": n}, uuid=None))["messageId"] for n in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("name", ["$identify", "$set"])
def test_what_is_known_of_a_person_becomes_identify(name: str) -> None:
    message = to_message(
        event(name, {"$set": {"plan": "pro"}, "$set_once": {"first_seen": "2026"}, "$anon_distinct_id": "anonymous-1"})
    )
    assert message["type"] == "identify"
    assert (message["userId"], message["anonymousId"]) == ("user-1", "anonymous-1")
    assert message["traits"] == {"plan": "pro"}
    assert message["context"]["traits"] == {"first_seen": "2026", "plan": "pro"}
    assert message["properties"] == {"set_once": ["first_seen"]}


def test_person_properties_beside_the_events_own_count_too() -> None:
    message = to_message(event("$identify", {}, **{"$set": {"plan": "pro"}}))
    assert message["traits"] == {"plan": "pro"}


def test_person_properties_of_any_event_are_its_traits() -> None:
    message = to_message(event("paid", {"$set": {"plan": "pro"}, "workspace_id": "w-1", "organization_id": "o-1"}))
    assert message["context"]["traits"] == {"workspaceId": "w-1", "organizationId": "o-1", "plan": "pro"}
    assert message["properties"] == {"workspace_id": "w-1", "organization_id": "o-1"}


def test_a_group_becomes_group_with_its_type_among_the_traits() -> None:
    message = to_message(
        event("$groupidentify", {"$group_type": "workspace", "$group_key": "w-1", "$group_set": {"name": "Acme"}})
    )
    assert (message["type"], message["groupId"], message["context"]["groupId"]) == ("group", "w-1", "w-1")
    assert message["traits"] == {"name": "Acme", "groupType": "workspace"}


def test_an_alias_becomes_alias_and_the_person_that_stays_is_the_user() -> None:
    message = to_message(event("$create_alias", {"distinct_id": "user-1", "alias": "anonymous-1"}))
    assert (message["type"], message["userId"], message["previousId"]) == ("alias", "user-1", "anonymous-1")


def test_a_page_view_becomes_page() -> None:
    message = to_message(
        event(
            "$pageview",
            {
                "$current_url": "https://shop.example/a?b",
                "$pathname": "/a",
                "title": "A",
                "$referrer": "https://x.example",
            },
        )
    )
    page = {"url": "https://shop.example/a?b", "path": "/a", "title": "A", "referrer": "https://x.example"}
    assert (message["type"], message["name"]) == ("page", "A")
    assert message["context"]["page"] == page
    assert message["properties"].items() >= page.items()


def test_a_screen_becomes_screen() -> None:
    message = to_message(event("$screen", {"$screen_name": "Cart"}))
    assert (message["type"], message["name"]) == ("screen", "Cart")


def test_the_context_says_where_and_with_what() -> None:
    context = to_message(
        event(
            "paid",
            {"$ip": "192.0.2.1", "$useragent": "curl/8", "$os": "Linux", "$os_version": "6", "utm_term": "shoes"},
        )
    )["context"]
    assert (context["ip"], context["userAgent"]) == ("192.0.2.1", "curl/8")
    assert context["os"] == {"name": "Linux", "version": "6"}
    assert context["campaign"] == {"term": "shoes"}


@pytest.mark.parametrize(
    ("groups", "group"),
    [
        ({"organization": "o-1", "workspace": "w-1"}, "w-1"),
        ({"company": "c-1", "team": "t-1"}, "c-1"),
        ({"team": "t-1"}, "t-1"),
        ({}, "of-the-properties"),
    ],
)
def test_of_several_groups_the_workspace_is_the_one_that_a_message_names(groups: dict[str, str], group: str) -> None:
    properties = {"$groups": groups, "workspace_id": "of-the-properties"}
    assert to_message(event("paid", properties))["context"]["groupId"] == group


@pytest.mark.parametrize("properties", [None, [], "text", {"$set": "text", "$groups": "text"}])
def test_properties_of_another_shape_do_no_harm(properties: Any) -> None:
    for name in ("paid", "$identify", "$groupidentify", "$create_alias", "$pageview", "$screen"):
        json.dumps(to_message(event(name) | {"properties": properties}))


# --- long messages ------------------------------------------------------------------------------------------------


def shortened(properties: dict[str, Any], most: int = 32_768, name: str = "$ai_generation") -> dict[str, Any]:
    content = serialised(to_message(event(name, properties)), most)
    assert len(content) <= most
    message: dict[str, Any] = json.loads(content)
    return message


def test_a_long_message_is_shortened_by_its_largest_values() -> None:
    properties = {
        "$ai_input": [{"role": "user", "content": "q" * 100_000}],
        "trace_id": TRACE,
        "$ai_output_choices": [{"role": "assistant", "content": "a" * 5_000}],
        "$ai_model": "gpt-5",
    }
    kept = shortened(properties)["properties"]
    assert (kept["trace_id"], kept["$ai_model"]) == (TRACE, "gpt-5")
    assert kept["$ai_output_choices"] == properties["$ai_output_choices"]
    assert kept["$ai_input"][0]["role"] == "user"
    assert kept["$ai_input"][0]["content"].startswith("qqq")
    assert kept["genops_truncated"] == ["$ai_input"]
    assert list(kept)[:4] == list(properties)


def test_what_was_cut_before_stays_named() -> None:
    kept = shortened({"text": "x" * 100_000, "genops_truncated": ["$ai_tools"]})["properties"]
    assert kept["genops_truncated"] == ["$ai_tools", "text"]


def test_ten_thousand_properties_become_as_many_as_fit() -> None:
    kept = shortened({f"property_{number}": number for number in range(10_000)} | {"trace_id": TRACE})
    assert kept["context"]["traceId"] == TRACE
    assert kept["properties"]["genops_truncated"]


def test_what_is_long_shares_the_room_that_is_left() -> None:
    kept = shortened({"question": "q" * 100_000, "answer": "a" * 50_000, "note": "n" * 1_000})["properties"]
    assert kept["genops_truncated"] == ["answer", "question"]
    assert kept["note"] == "n" * 1_000
    assert min(len(kept["question"]), len(kept["answer"])) > 14_000


@pytest.mark.parametrize(
    "text",
    ["ü" * 100_000, '"\\\n' * 50_000, "\x01" * 50_000, "\ud800" * 50_000, "😀" * 30_000],
    ids=["two bytes", "escapes", "control", "half a pair", "four bytes"],
)
def test_every_text_is_cut_by_what_it_takes_in_json(text: str) -> None:
    assert shortened({"text": text})["properties"]["genops_truncated"] == ["text"]


@pytest.mark.parametrize("name", ["$identify", "$groupidentify", "paid"])
def test_long_traits_are_shortened_too(name: str) -> None:
    shortened({"$set": {"bio": "x" * 100_000}, "$group_set": {"bio": "y" * 100_000}, "$group_key": "w"}, name=name)


def test_a_message_that_is_short_enough_is_not_touched() -> None:
    message = to_message(event("paid", {"text": "x" * 30_000}))
    assert json.loads(serialised(message, 32_768))["properties"] == {"text": "x" * 30_000}


def test_without_a_limit_nothing_is_cut() -> None:
    message = to_message(event("paid", {"text": "x" * 1_000_000}))
    assert len(serialised(message, None)) > 1_000_000
